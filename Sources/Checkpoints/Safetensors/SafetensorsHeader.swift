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
  static func tensorLimit(_ limits: FileLimits) -> Int { limits[.tensors, standard: 1 << 14] }
  static func nameLimit(_ limits: FileLimits) -> Int { limits[.textBytes, standard: 1024] }
  private static func metadataLimit(_ limits: FileLimits) -> Int { limits[.headerBytes, standard: 16 << 20] }
  /// PyTorch's tensors have up to 64 dimensions.
  static let rankLimit = 64

  /// - Parameters:
  ///   - bytes: the header without its length.
  ///   - path: the file, for messages.
  ///   - limits: what it is held to.
  /// - Throws: `CheckpointError.malformedJSON`, or `malformedTensor` where the description of a tensor is at fault.
  init(_ bytes: UnsafeRawBufferPointer, path: FilePath, limits: FileLimits) throws(CheckpointError) {
    var reader = JSONReader(bytes, path: path, limits: limits)
    let (tensorLimit, nameLimit) = (Self.tensorLimit(limits), Self.nameLimit(limits))
    var tensors: [String: Entry] = [:]
    var metadata: [String: String]?
    try reader.object(nameLimit: nameLimit) { reader, name throws(CheckpointError) in
      if name == "__metadata__" {
        guard metadata == nil else { throw reader.failure("\"__metadata__\" is there twice") }
        metadata = try Self.metadata(&reader, limits)
        return
      }
      guard tensors.count < tensorLimit else {
        throw reader.failure(
          "the header has more than \(tensorLimit) tensors\(FileLimits.Limit.tensors.remedy)")
      }
      let entry = try Self.entry(&reader, name: name, path: path, nameLimit: nameLimit)
      guard tensors.updateValue(entry, forKey: name) == nil else {
        throw .malformedTensor(path: path, tensor: name, reason: "the header has two of this name")
      }
    }
    try reader.finish()
    self.tensors = tensors
    self.metadata = metadata ?? [:]
  }

  private static func metadata(
    _ reader: inout JSONReader, _ limits: FileLimits
  ) throws(CheckpointError) -> [String: String] {
    let limit = metadataLimit(limits)
    var metadata: [String: String] = [:]
    var size = 0
    try reader.object(nameLimit: nameLimit(limits)) { reader, key throws(CheckpointError) in
      let text = try reader.string(limit: limit, .headerBytes)
      // A short entry takes more memory than its text.
      size += key.utf8.count + text.utf8.count + 64
      guard size <= limit else {
        throw reader.failure(
          "\"__metadata__\" has more than \(limit) bytes\(FileLimits.Limit.headerBytes.remedy)")
      }
      guard metadata.updateValue(text, forKey: key) == nil else {
        throw reader.failure("\"__metadata__\" has two entries \"\(key)\"")
      }
    }
    return metadata
  }

  private static func entry(
    _ reader: inout JSONReader, name: String, path: FilePath, nameLimit: Int
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
