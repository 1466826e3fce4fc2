import Checkpoints
import Images
import Pipeline
import SystemPackage
import VisionTransformer

/// A data set as it lies on the disk: what it is and what parts it has. The parts are opened one by one.
public struct DatasetSource: Sendable {
  public let path: FilePath
  /// The parts that there are.
  public let splits: [DatasetSplit]
  /// Such as "CIFAR-10, binary version".
  public let description: String
  private let kind: Kind
  private let options: DecodingOptions

  private enum Kind: Sendable {
    /// The folders of the parts, and the classes of all of them.
    case folders(any DatasetFiles, [DatasetSplit: FilePath], classes: [String])
    case cifar(any DatasetFiles, CIFARFormat, folder: FilePath)
    case list(LabelList)
  }

  /// Looks at what is there; no image is read.
  /// - Parameters:
  ///   - path: a folder, a tar archive (perhaps compressed by gzip), or a file of labels (`LabelList`).
  ///   - classes: a file of the classes' names in the order of their indices, one a line; nil for the data set's own order.
  ///   - decoding: of images that are files.
  /// - Throws: `DatasetError`, or `CheckpointError` where the archive is damaged.
  public init(_ path: FilePath, classes: FilePath? = nil, decoding: DecodingOptions = DecodingOptions())
    throws
  {
    self.path = path
    options = decoding
    guard let status = fileStatus(path) else {
      throw DatasetError.unreadable(path: path, reason: "there is no such file or folder")
    }
    let names = try classes.map { try Self.readNames($0) }
    let files: any DatasetFiles
    if status.isDirectory {
      files = FolderFiles(path: path)
    } else if TarArchive.isArchive(path) {
      files = try ArchiveFiles(TarArchive(path))
    } else if path.extension?.lowercased() == "csv" {
      let list = try LabelList(path, classes: names)
      (kind, splits, description) = (.list(list), list.splits, "images with labels in a list")
      return
    } else {
      throw DatasetError.unknownLayout(path: path, found: "a file of another kind")
    }
    (kind, splits, description) = try Self.look(into: files, classes: names)
  }

  /// A data set in an archive.
  /// - Throws: `DatasetError`.
  package init(_ archive: TarArchive, decoding: DecodingOptions = DecodingOptions()) throws {
    path = archive.path
    options = decoding
    (kind, splits, description) = try Self.look(into: ArchiveFiles(archive), classes: nil)
  }

  private static func look(
    into files: any DatasetFiles, classes names: [String]?
  ) throws -> (Kind, splits: [DatasetSplit], description: String) {
    switch try DatasetLayout.find(in: files) {
    case .cifar(let format, let folder):
      let listing = try files.list(folder).files
      let splits = [DatasetSplit.train, .test].filter {
        !Set(format.files($0)).isDisjoint(with: listing)
      }
      return (.cifar(files, format, folder: folder), splits, format.description)
    case .folders(let folders):
      let reference = folders[.train] ?? folders[.all] ?? folders.values.min { $0.string < $1.string }
      let classes = try names ?? reference.map { try files.list($0).folders } ?? []
      let splits = DatasetSplit.allCases.filter { folders[$0] != nil }
      return (.folders(files, folders, classes: classes), splits, "class folders")
    }
  }

  private static func readNames(_ path: FilePath) throws -> [String] {
    let text = try MappedFile(path).contents.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    let names = text.split(whereSeparator: \.isNewline).map { $0.trimmingSpaces }.filter { !$0.isEmpty }
    guard Set(names).count == names.count else {
      throw DatasetError.malformed(path: path, reason: "a class is named twice")
    }
    return names
  }

  /// One part.
  /// - Throws: `DatasetError` where it is not there, has a class without images or a label that is none; `CheckpointError` where a file
  ///   is damaged.
  public func dataset(_ split: DatasetSplit) throws -> any ImageDataset {
    guard splits.contains(split) else {
      throw DatasetError.missingSplit(path: path, split: split.rawValue, found: splits.map(\.rawValue))
    }
    switch kind {
    case .folders(let files, let folders, let classes):
      guard let folder = folders[split] else {
        throw DatasetError.missingSplit(path: path, split: split.rawValue, found: splits.map(\.rawValue))
      }
      return try FolderDataset(files, folder: folder, classes: classes, options: options)
    case .cifar(let files, let format, let folder):
      return try CIFARDataset(format, files, folder: folder, split: split)
    case .list(let list):
      return try list.dataset(split, options: options)
    }
  }

  /// The part that tells how good a model is: the test images, else those for validation, else all there are.
  public var evaluationSplit: DatasetSplit {
    [.test, .validation, .all].first(where: splits.contains) ?? .train
  }

  /// The images to train on, and those to watch the training by: the part for validation, or the test images where there is none; with a
  /// share, that share of the images to train on.
  /// - Parameters:
  ///   - validationShare: of the images to train on to hold out (`holdingOut`); nil for a part of its own.
  ///   - seed: of the choice of those images.
  /// - Returns: nil for `validation` where there is neither a part nor a share.
  /// - Throws: what `dataset` throws; `DatasetError.oneClass` where there is only one class.
  public func trainingSets(
    validationShare: Double? = nil, seed: UInt64
  ) throws -> (train: any ImageDataset, validation: (any ImageDataset)?) {
    let train = try dataset(splits.contains(.all) ? .all : .train)
    let counts = train.classCounts
    guard counts.count(where: { $0 > 0 }) > 1 else {
      let only = counts.firstIndex { $0 > 0 }.map { train.classNames[$0] } ?? train.classNames.first ?? ""
      throw DatasetError.oneClass(path: path, name: only)
    }
    if let validationShare {
      let (rest, heldOut) = try train.holdingOut(validationShare, seed: seed)
      return (rest, heldOut)
    }
    let split = [DatasetSplit.validation, .test].first(where: splits.contains)
    return (train, try split.map { try dataset($0) })
  }
}
