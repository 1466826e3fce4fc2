import Checkpoints
import Images
import SystemPackage

/// One part of CIFAR-10 or CIFAR-100. Its pixels are used where they lie in the files, and interleaved when an image is asked for.
struct CIFARDataset: ImageDataset {
  let classNames: [String]
  private let batches: [Batch]
  /// [count].
  private let labels: [UInt8]

  /// The images of one file.
  private struct Batch {
    let name: String
    let bytes: TensorElements
    /// The first of its images in the data set.
    let first: Int
    /// Where the pixels of its first image begin, and bytes from one image to the next.
    let offset: Int
    let stride: Int
  }

  /// - Throws: `DatasetError` where a file is missing, is not of whole images or has labels that are out of range; `CheckpointError`
  ///   where a pickle or the archive is damaged.
  init(_ format: CIFARFormat, _ files: any DatasetFiles, folder: FilePath, split: DatasetSplit) throws {
    let listing = try files.list(folder)
    let names = format.files(split)
    for name in names where !listing.files.contains(name) {
      throw DatasetError.unreadable(
        path: files.path.pushing(folder).appending(name),
        reason: "this file of \(format.description) is missing")
    }
    classNames = try Self.classNames(format, files, folder, listing)
    let contents = try files.contents(of: names.map { folder.appending($0) })
    var (batches, labels): ([Batch], [UInt8]) = ([], [])
    for (name, bytes) in zip(names, contents) {
      let path = files.path.pushing(folder).appending(name)
      let file = CIFARFile(format: format, path: path, bytes: bytes)
      let (batchLabels, pixels) = try format.isBinary ? file.records() : file.pickle()
      for (index, label) in batchLabels.enumerated() where !(0..<classNames.count).contains(label) {
        throw DatasetError.labelOutOfRange(
          path: path, place: "image \(index)", label: label, classes: classNames.count)
      }
      batches.append(
        Batch(
          name: path.string, bytes: pixels.bytes, first: labels.count, offset: pixels.offset,
          stride: pixels.stride)
      )
      labels += batchLabels.map { UInt8($0) }
    }
    (self.batches, self.labels) = (batches, labels)
  }

  private static func classNames(
    _ format: CIFARFormat, _ files: any DatasetFiles, _ folder: FilePath, _ listing: FolderContents
  ) throws -> [String] {
    let name = format.namesFile
    let path = files.path.pushing(folder).appending(name)
    let names: [String]?
    if format.isBinary {
      names = try files.lines(of: name, in: folder, listing: listing)
    } else {
      guard listing.files.contains(name), let bytes = try files.contents(of: [folder.appending(name)]).first
      else {
        throw DatasetError.unreadable(path: path, reason: "the file with the classes' names is missing")
      }
      names = try PickledDictionary(bytes, path: path).texts(format.namesKey)
    }
    guard let names else {
      throw DatasetError.unreadable(
        path: path, reason: "the file with the classes' names is missing or has none")
    }
    guard names.count == format.classCount else {
      throw DatasetError.malformed(
        path: path, reason: "\(names.count) names of classes, expected \(format.classCount)")
    }
    return names
  }

  var count: Int { labels.count }
  func label(_ index: Int) -> Int { Int(labels[index]) }

  func name(_ index: Int) -> String {
    let batch = batch(of: index)
    return "\(batch.name)[\(index - batch.first)]"
  }

  func image(_ index: Int) -> Image {
    let batch = batch(of: index)
    let (edge, start) = (CIFARFormat.edge, batch.offset + (index - batch.first) * batch.stride)
    let area = edge * edge
    let pixels = batch.bytes.withUnsafeBytes { bytes in
      [UInt8](unsafeUninitializedCapacity: 3 * area) { output, count in
        for pixel in 0..<area {
          for channel in 0..<3 { output[3 * pixel + channel] = bytes[start + channel * area + pixel] }
        }
        count = 3 * area
      }
    }
    return Image(width: edge, height: edge, pixels: pixels)
  }

  private func batch(of index: Int) -> Batch {
    precondition(labels.indices.contains(index), "image \(index) of \(labels.count)")
    var batch = batches[0]
    for candidate in batches where candidate.first <= index { batch = candidate }
    return batch
  }
}

/// One file of CIFAR.
private struct CIFARFile {
  let format: CIFARFormat
  let path: FilePath
  let bytes: TensorElements

  /// Where the pixels of the first image begin, and bytes from one image to the next.
  typealias Pixels = (bytes: TensorElements, offset: Int, stride: Int)

  /// The binary versions: labels in front of each image's pixels.
  func records() throws(DatasetError) -> (labels: [Int], Pixels) {
    let stride = format.labelBytes + CIFARFormat.pixelBytes
    let (count, labels) = bytes.withUnsafeBytes { bytes in
      let records = bytes.count / stride
      return (bytes.count, (0..<records).map { Int(bytes[$0 * stride + format.labelBytes - 1]) })
    }
    guard count.isMultiple(of: stride), count > 0 else {
      throw .malformed(
        path: path,
        reason:
          "\(count) bytes are not whole images of \(stride) bytes, as \(format.description) has them; get it again"
      )
    }
    return (labels, (bytes, format.labelBytes, stride))
  }

  /// The Python versions: a pickled dictionary with an array of pixels and a list of labels.
  func pickle() throws -> (labels: [Int], Pixels) {
    let dictionary = try PickledDictionary(bytes, path: path)
    guard let data = dictionary.array("data"), let labels = dictionary.integers(format.labelsKey) else {
      throw DatasetError.malformed(
        path: path,
        reason:
          "the pickle's keys are \(dictionary.keys.joined(separator: ", ")); expected an array \"data\" and a list "
          + "\"\(format.labelsKey)\"")
    }
    let size = data.bytes.withUnsafeBytes { $0.count }
    guard data.type == "u1", data.shape == [labels.count, CIFARFormat.pixelBytes], !data.isFortranOrder,
      !labels.isEmpty, size == labels.count * CIFARFormat.pixelBytes
    else {
      throw DatasetError.malformed(
        path: path,
        reason:
          "the pixels are \(data.type) \(data.shape) in \(size) bytes, expected u1 [\(labels.count), \(CIFARFormat.pixelBytes)]"
      )
    }
    return (labels, (data.bytes, 0, CIFARFormat.pixelBytes))
  }
}
