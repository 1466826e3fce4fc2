import SystemPackage

/// numpy's `.npz`: a zip archive with one `.npy` array in each member, as `numpy.savez` and `numpy.savez_compressed` write.
/// Google publishes its Vision Transformers in it.
///
/// Opening reads the archive's directory and the arrays' headers. Elements that are stored, row-major and little-endian are used
/// where they lie in the mapped file; others are inflated or put in order, one tensor at a time.
public struct NpzFile: TensorContainer {
  /// "npz", or "compressed npz" where an array is deflated.
  public let format: String
  /// The arrays of numbers, by their member's name without `.npy`.
  public let tensors: [String: TensorInfo]
  public let unreadable: [String: String]
  public var metadata: [String: String] { [:] }
  private let archive: ZipArchive
  private let arrays: [String: StoredArray]

  private struct StoredArray {
    let member: ZipArchive.Member
    /// Bytes before the elements.
    let headerSize: Int
    let isFortranOrder: Bool
    let isBigEndian: Bool
  }

  /// What an array's member is called at the end.
  static let ending = ".npy"

  /// Opens an archive and reads the headers of its arrays.
  /// - Throws: `CheckpointError` where the file cannot be read, is no such archive, is cut off or contradicts itself.
  public init(_ path: FilePath) throws(CheckpointError) {
    try self.init(ZipArchive(MappedFile(path)))
  }

  package init(_ archive: ZipArchive) throws(CheckpointError) {
    var tensors: [String: TensorInfo] = [:]
    var arrays: [String: StoredArray] = [:]
    var unreadable: [String: String] = [:]
    var format: String?
    for member in archive.members where member.name.hasSuffix(Self.ending) {
      if format == nil || member.method != .stored {
        format = member.method == .stored ? "npz" : "compressed npz"
      }
      let name = String(member.name.dropLast(Self.ending.count))
      if let obstacle = archive.obstacle(to: member) {
        unreadable[name] = "it \(obstacle)"
        continue
      }
      let (header, size) = try Self.header(of: member, named: name, in: archive)
      switch header.elements {
      case .other(let descr):
        unreadable[name] = TensorInfo.unreadableType(descr)
      case .numbers(let type, let isBigEndian):
        let tensor = TensorInfo(name: name, type: type, shape: header.shape)
        try Self.check(tensor, held: member.uncompressedSize - size, path: archive.file.path)
        tensors[name] = tensor
        arrays[name] = StoredArray(
          member: member, headerSize: size,
          isFortranOrder: header.isFortranOrder && !ElementOrder.isOneDimensional(header.shape),
          isBigEndian: isBigEndian)
      }
    }
    guard let format else {
      throw .unknownContainer(path: archive.file.path, hint: "it is a zip archive without numpy arrays")
    }
    self.format = format
    self.tensors = tensors
    self.unreadable = unreadable
    self.archive = archive
    self.arrays = arrays
  }

  public var mappedFiles: [MappedFile] { [archive.file] }
  public func path(of tensor: TensorInfo) -> FilePath { archive.file.path }

  public func elements(of tensor: TensorInfo) throws(CheckpointError) -> TensorElements {
    guard let array = arrays[tensor.name], let tensor = tensors[tensor.name] else {
      preconditionFailure("tensor \"\(tensor.name)\" is not of this container")
    }
    let stored = archive.storedRange(of: array.member).map {
      archive.file.bytes(in: $0.lowerBound + array.headerSize..<$0.upperBound)
    }
    if let stored, !array.isFortranOrder, !array.isBigEndian {
      return TensorElements(stored, owner: archive.file)
    }
    let count = array.member.uncompressedSize - array.headerSize
    let (path, width) = (archive.file.path, tensor.type.byteCount)
    let buffer: ByteBuffer
    if array.isFortranOrder {
      // The copy that is out of order lives as long as this function.
      let inflated = stored == nil ? try contents(of: array, count: count) : nil
      buffer = try ByteBuffer(count: count, path: path) { target throws(CheckpointError) in
        if let source = inflated?.bytes ?? stored {
          ElementOrder.copyRowMajor(source, shape: tensor.shape, width: width, into: target)
        }
        if array.isBigEndian { ElementOrder.swapBytes(target, width: width) }
      }
      withExtendedLifetime(inflated) {}
    } else {
      buffer = try contents(of: array, count: count, swapped: array.isBigEndian ? width : nil)
    }
    return TensorElements(buffer.bytes, owner: buffer)
  }

  /// An array's elements in the order in which the archive has them.
  /// - Parameter width: the size of the elements whose bytes are to be reversed; nil where they are not.
  private func contents(
    of array: StoredArray, count: Int, swapped width: Int? = nil
  ) throws(CheckpointError) -> ByteBuffer {
    try ByteBuffer(count: count, path: archive.file.path) { target throws(CheckpointError) in
      try archive.read(array.member, from: array.headerSize, into: target)
      if let width { ElementOrder.swapBytes(target, width: width) }
    }
  }

  /// Reads a member's header and nothing behind it.
  private static func header(
    of member: ZipArchive.Member, named name: String, in archive: ZipArchive
  ) throws(CheckpointError) -> (NpyHeader, size: Int) {
    // numpy pads headers to multiples of 64 bytes; nearly all have 128.
    var bytes = try archive.contents(of: member, upTo: 256)
    func parse<T>(_ body: ([UInt8]) throws(NpyHeader.Problem) -> T) throws(CheckpointError) -> T {
      do throws(NpyHeader.Problem) {
        return try body(bytes)
      } catch {
        throw .malformedTensor(path: archive.file.path, tensor: name, reason: "it \(error.reason)")
      }
    }
    let size = try parse(NpyHeader.byteCount(in:))
    if size > bytes.count { bytes = try archive.contents(of: member, upTo: size) }
    return (try parse(NpyHeader.init), size)
  }

  /// Holds an array's shape against the bytes that there are for it.
  private static func check(_ tensor: TensorInfo, held: Int, path: FilePath) throws(CheckpointError) {
    guard let needed = tensor.type.byteCount(of: tensor.shape) else {
      throw .malformedTensor(
        path: path, tensor: tensor.name, reason: "the shape \(tensor.shape) is not possible")
    }
    guard needed == held else {
      throw .malformedTensor(
        path: path, tensor: tensor.name,
        reason:
          "shape \(tensor.shape) of \(tensor.type.rawValue) takes \(needed) bytes, but the file has \(held)")
    }
  }
}
