import Checkpoints
import Images
import SystemPackage
import Training

/// Opens an archive as a data set: CIFAR in its versions, or folders of classes.
enum DatasetTrial {
  /// Images of each part that are decoded.
  private static let imageLimit = 8

  /// - Throws: `FuzzTrial.Finding`, or the error with which the archive is refused.
  static func run(_ bytes: UnsafeRawBufferPointer) throws {
    let file = MappedFile(borrowing: bytes, path: "input")
    let source = try DatasetSource(TarArchive(file), decoding: ImageTrial.options)
    try FuzzTrial.require(source.splits.allSatisfy(DatasetSplit.allCases.contains), "\(source.splits)")
    for split in source.splits {
      do {
        try read(source.dataset(split))
      } catch let finding as FuzzTrial.Finding {
        throw finding
      } catch {
        try FuzzTrial.check(error)
      }
    }
    _ = try source.trainingSets(validationShare: 0.5, seed: 1)
  }

  private static func read(_ dataset: any ImageDataset) throws {
    let classes = dataset.classNames.count
    for index in 0..<dataset.count {
      try FuzzTrial.require((0..<classes).contains(dataset.label(index)), "a label out of range")
    }
    for index in 0..<min(dataset.count, imageLimit) {
      do {
        let image = try dataset.image(index)
        try FuzzTrial.require(
          image.pixels.count == image.width * image.height * 3, "\(dataset.name(index)): pixels")
      } catch let finding as FuzzTrial.Finding {
        throw finding
      } catch {
        try FuzzTrial.check(error)
      }
    }
  }
}
