import SystemPackage

/// The JSON header of a safetensors file, as it is written: nothing of it is held against the file yet.
///
/// Stricter than most readers of JSON, as the reference implementation is: a name that is there twice is an error, for one reader would see
/// the first tensor and another one the second.
struct SafetensorsHeader {
  struct Entry {
    let dtype: String
    let shape: [Int]
    let offsets: [Int]
  }

  private(set) var tensors: [String: Entry] = [:]
  private(set) var metadata: [String: String] = [:]

  /// Far above what any network has; what is beyond would only serve to fill memory.
  static let tensorLimit = 1 << 14
  static let nameLimit = 1024
  static let metadataLimit = 16 << 20
  /// PyTorch's tensors have up to 64 dimensions.
  static let rankLimit = 64

  /// - Parameters:
  ///   - bytes: the header without its length.
  ///   - path: the file, for messages.
  /// - Throws: `CheckpointError.malformedJSON`, or `malformedTensor` where the description of a tensor is at fault.
  init(_ bytes: UnsafeRawBufferPointer, path: FilePath) throws(CheckpointError) {
    var reader = JSONReader(bytes, path: path)
    var tensors: [String: Entry] = [:]
    var metadata: [String: String]?
    try reader.object(nameLimit: Self.nameLimit) { reader, name throws(CheckpointError) in
      if name == "__metadata__" {
        guard metadata == nil else { throw reader.failure("\"__metadata__\" is there twice") }
        metadata = try Self.metadata(&reader)
        return
      }
      guard tensors.count < Self.tensorLimit else {
        throw reader.failure("the header has more than \(Self.tensorLimit) tensors")
      }
      let entry = try Self.entry(&reader, name: name, path: path)
      guard tensors.updateValue(entry, forKey: name) == nil else {
        throw .malformedTensor(path: path, tensor: name, reason: "the header has two of this name")
      }
    }
    try reader.finish()
    self.tensors = tensors
    self.metadata = metadata ?? [:]
  }

  private static func metadata(_ reader: inout JSONReader) throws(CheckpointError) -> [String: String] {
    var metadata: [String: String] = [:]
    var size = 0
    try reader.object(nameLimit: nameLimit) { reader, key throws(CheckpointError) in
      let text = try reader.string(limit: metadataLimit)
      // A short entry takes more memory than its text.
      size += key.utf8.count + text.utf8.count + 64
      guard size <= metadataLimit else {
        throw reader.failure("\"__metadata__\" has more than \(metadataLimit) bytes")
      }
      guard metadata.updateValue(text, forKey: key) == nil else {
        throw reader.failure("\"__metadata__\" has two entries \"\(key)\"")
      }
    }
    return metadata
  }

  private static func entry(
    _ reader: inout JSONReader, name: String, path: FilePath
  ) throws(CheckpointError) -> Entry {
    func failure(_ reason: String) -> CheckpointError {
      .malformedTensor(path: path, tensor: name, reason: reason)
    }
    // The names of tensor and field are worth more than a place in the text, so that the message has all of them.
    func field<T>(
      _ key: String, _ old: T?, _ read: () throws(CheckpointError) -> T
    ) throws(CheckpointError) -> T {
      guard old == nil else { throw failure("field \"\(key)\" is there twice") }
      do throws(CheckpointError) {
        return try read()
      } catch {
        guard case .malformedJSON(_, let reason) = error else { throw error }
        throw failure("field \"\(key)\": \(reason)")
      }
    }
    var (dtype, shape, offsets): (String?, [Int]?, [Int]?)
    try reader.object(nameLimit: nameLimit) { reader, key throws(CheckpointError) in
      switch key {
      case "dtype":
        dtype = try field(key, dtype) { () throws(CheckpointError) in try reader.string(limit: nameLimit) }
      case "shape":
        shape = try field(key, shape) { () throws(CheckpointError) in
          try integers(&reader, limit: rankLimit)
        }
      case "data_offsets":
        offsets = try field(key, offsets) { () throws(CheckpointError) in try integers(&reader, limit: 2) }
      default: try reader.skip()
      }
    }
    guard let dtype else { throw failure("field \"dtype\" is missing") }
    guard let shape else { throw failure("field \"shape\" is missing") }
    guard let offsets else { throw failure("field \"data_offsets\" is missing") }
    return Entry(dtype: dtype, shape: shape, offsets: offsets)
  }

  private static func integers(_ reader: inout JSONReader, limit: Int) throws(CheckpointError) -> [Int] {
    var integers: [Int] = []
    try reader.array { reader throws(CheckpointError) in
      guard integers.count < limit else { throw reader.failure("more than \(limit) numbers in one list") }
      integers.append(try reader.integer())
    }
    return integers
  }
}
