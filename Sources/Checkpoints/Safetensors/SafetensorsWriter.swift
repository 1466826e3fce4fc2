import SystemPackage

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Writes a safetensors file tensor by tensor, in the order and with the alignment of the reference implementation
/// (https://github.com/huggingface/safetensors): wide types first, then by name; a header of a multiple of 8 bytes.
///
/// Only the header is kept in memory. The file takes its name when it is whole; until then, and where writing fails, nothing is there.
public final class SafetensorsWriter {
  /// The tensors in the order in which their elements are to be appended.
  public let tensors: [TensorInfo]
  /// Bytes of the whole file, header included.
  public var fileSize: Int { dataStart + byteCount }
  private let file: AtomicFile
  private let dataStart: Int
  private let byteCount: Int

  /// Begins a file: writes the header.
  /// - Parameters:
  ///   - path: the file; one that is there is replaced by `finish`.
  ///   - tensors: every tensor of the file, in any order, each with a name of its own.
  ///   - metadata: `__metadata__`; readers of PyTorch's tensors want `format` to be `pt`.
  /// - Throws: `CheckpointError.unwritable`, or `malformedTensor` for a name that is there twice or a shape that cannot be.
  public init(
    _ path: FilePath, tensors: [TensorInfo], metadata: [String: String] = ["format": "pt"]
  ) throws(CheckpointError) {
    self.tensors = tensors.sorted {
      ($1.type.byteCount, $0.name) < ($0.type.byteCount, $1.name)
    }
    var offset = 0
    var entries: [String] = []
    if !metadata.isEmpty {
      let pairs = metadata.sorted { $0.key < $1.key }.map {
        "\(Self.quoted($0.key)):\(Self.quoted($0.value))"
      }
      entries.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
    }
    var seen: Set<String> = ["__metadata__"]
    for tensor in self.tensors {
      guard seen.insert(tensor.name).inserted else {
        throw .malformedTensor(path: path, tensor: tensor.name, reason: "the name is there twice")
      }
      guard let bytes = tensor.type.byteCount(of: tensor.shape),
        case (let end, let overflow) = offset.addingReportingOverflow(bytes), !overflow
      else {
        throw .malformedTensor(
          path: path, tensor: tensor.name, reason: "the shape \(tensor.shape) is not possible")
      }
      let shape = tensor.shape.map(String.init).joined(separator: ",")
      entries.append(
        "\(Self.quoted(tensor.name)):{\"dtype\":\"\(tensor.type.rawValue)\",\"shape\":[\(shape)],"
          + "\"data_offsets\":[\(offset),\(end)]}")
      offset = end
    }
    var header = Array("{\(entries.joined(separator: ","))}".utf8)
    header += [UInt8](repeating: UInt8(ascii: " "), count: (8 - header.count % 8) % 8)
    file = try AtomicFile(path)
    byteCount = offset
    dataStart = 8 + header.count
    try file.write(withUnsafeBytes(of: UInt64(header.count).littleEndian, Array.init))
    try file.write(header)
  }

  /// Appends elements, little-endian and row-major: a whole tensor or the next piece of one.
  /// - Throws: `CheckpointError.unwritable`.
  public func append(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
    try file.write(bytes)
  }

  /// Ends the file and gives it its name.
  /// - Throws: `CheckpointError.unwritable`, or `malformed` where the elements are not as many as the header says.
  public func finish() throws(CheckpointError) {
    let written = file.count - dataStart
    guard written == byteCount else {
      throw .malformed(
        path: file.path, reason: "\(written) bytes of elements, but the header says \(byteCount)")
    }
    try file.commit()
  }

  /// A JSON string.
  private static func quoted(_ text: String) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .withoutEscapingSlashes
    return (try? encoder.encode(text)).map { String(decoding: $0, as: UTF8.self) } ?? "\"\""
  }
}
