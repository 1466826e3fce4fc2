import SystemPackage

/// One safetensors file, memory-mapped.
///
/// Layout: the header's length (UInt64, little-endian), the header (JSON), then the tensors' bytes without gaps.
/// Source: https://github.com/huggingface/safetensors, whose own checks are the ones made here.
public struct SafetensorsFile: TensorContainer {
  public let format = "safetensors"
  public let tensors: [String: TensorInfo]
  public let unreadable: [String: String]
  public let metadata: [String: String]
  private let file: MappedFile
  /// The place of each tensor's elements in the file, in bytes.
  private let ranges: [String: Range<Int>]

  /// The reference implementation's limit, where none is given.
  static func headerLimit(_ limits: FileLimits) -> Int { limits[.headerBytes, standard: 100_000_000] }

  /// Maps a file and checks its header.
  /// - Throws: `CheckpointError` where the file cannot be read, is cut off, or its header lies.
  public init(_ path: FilePath) throws(CheckpointError) {
    try self.init(MappedFile(path))
  }

  package init(_ file: MappedFile) throws(CheckpointError) {
    let path = file.path
    guard file.count >= 8 else {
      throw .malformed(path: path, reason: "the file is cut off: \(file.count) bytes, no safetensors header")
    }
    let length = Record(file.bytes(in: 0..<8)).uint64(0)
    guard file.count > 8, file.bytes(in: 8..<9)[0] == UInt8(ascii: "{") else {
      throw .unknownContainer(path: path, hint: try ContainerFormat(of: file).hint)
    }
    let limit = Self.headerLimit(file.limits)
    guard length <= limit else {
      throw .malformed(
        path: path,
        reason:
          "the header's length of \(length) bytes is above \(limit)\(FileLimits.Limit.headerBytes.remedy)")
    }
    guard length <= UInt64(file.count - 8) else {
      throw .malformed(
        path: path,
        reason: "the file is cut off: the header ends at byte \(length + 8), the file at \(file.count)")
    }
    let start = 8 + Int(length)
    let header = try SafetensorsHeader(file.bytes(in: 8..<start), path: path, limits: file.limits)
    (tensors, ranges, unreadable) = try Self.check(
      header, path: path, dataStart: start, fileCount: file.count)
    self.metadata = header.metadata
    self.file = file
  }

  public var mappedFiles: [MappedFile] { [file] }
  public func path(of tensor: TensorInfo) -> FilePath { file.path }

  public func elements(of tensor: TensorInfo) -> TensorElements {
    guard let range = ranges[tensor.name] else {
      preconditionFailure("tensor \"\(tensor.name)\" is not of this container")
    }
    return TensorElements(file.bytes(in: range), owner: file)
  }

  /// Every tensor's description, held against itself, its neighbours and the file's size. Of a tensor whose type is unknown only
  /// the place can be checked.
  private static func check(
    _ header: SafetensorsHeader, path: FilePath, dataStart: Int, fileCount: Int
  ) throws(CheckpointError) -> (
    tensors: [String: TensorInfo], ranges: [String: Range<Int>], unreadable: [String: String]
  ) {
    var tensors: [String: TensorInfo] = [:]
    var ranges: [String: Range<Int>] = [:]
    var unreadable: [String: String] = [:]
    for (name, entry) in header.tensors {
      func failure(_ reason: String) -> CheckpointError {
        .malformedTensor(path: path, tensor: name, reason: reason)
      }
      guard entry.offsets.count == 2, 0 <= entry.offsets[0], entry.offsets[0] <= entry.offsets[1] else {
        throw failure("the offsets \(entry.offsets) are no range")
      }
      let (begin, end) = (entry.offsets[0], entry.offsets[1])
      if let type = ScalarType(rawValue: entry.dtype) {
        guard let bytes = type.byteCount(of: entry.shape) else {
          throw failure("the shape \(entry.shape) is not possible")
        }
        guard end - begin == bytes else {
          throw failure(
            "shape \(entry.shape) of \(entry.dtype) takes \(bytes) bytes, but the header gives it \(end - begin)"
          )
        }
        tensors[name] = TensorInfo(name: name, type: type, shape: entry.shape)
      } else {
        unreadable[name] = TensorInfo.unreadableType(String(entry.dtype.prefix(40)))
      }
      guard end <= fileCount - dataStart else {
        throw failure(
          "the file is cut off: the tensor ends at byte \(end) of the elements, of which there are "
            + "\(fileCount - dataStart) bytes")
      }
      ranges[name] = dataStart + begin..<dataStart + end
    }
    var end = dataStart
    for (name, range) in ranges.sorted(by: {
      ($0.value.lowerBound, $0.value.upperBound) < ($1.value.lowerBound, $1.value.upperBound)
    }) {
      guard range.lowerBound == end else {
        throw .malformedTensor(
          path: path, tensor: name,
          reason: "its bytes begin at \(range.lowerBound), but the tensor before it ends at \(end)")
      }
      end = range.upperBound
    }
    guard end == fileCount else {
      throw .malformed(path: path, reason: "the tensors end at byte \(end), but the file at \(fileCount)")
    }
    return (tensors, ranges, unreadable)
  }
}
