/// Writes safetensors files for tests, sound ones and others.
public enum SafetensorsBuilder {
  public struct Tensor {
    public var name: String
    public var type: String
    public var shape: [Int]
    public var bytes: [UInt8]

    public init(_ name: String, type: String = "F32", shape: [Int], bytes: [UInt8]) {
      (self.name, self.type, self.shape, self.bytes) = (name, type, shape, bytes)
    }

    /// float32 values.
    public init(_ name: String, shape: [Int], _ values: [Float]) {
      self.init(
        name, shape: shape,
        bytes: values.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) })
    }
  }

  /// A whole file.
  public static func file(_ tensors: [Tensor]) -> [UInt8] {
    var offset = 0
    let entries = tensors.map { tensor in
      defer { offset += tensor.bytes.count }
      return entry(tensor.name, tensor.type, tensor.shape, offset, offset + tensor.bytes.count)
    }
    return file(header: "{\(entries.joined(separator: ","))}", data: tensors.flatMap(\.bytes))
  }

  /// A file with a header as given.
  public static func file(header: String, data: [UInt8]) -> [UInt8] {
    withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian, Array.init) + Array(header.utf8) + data
  }

  /// One tensor's line in a header.
  public static func entry(_ name: String, _ type: String, _ shape: [Int], _ begin: Int, _ end: Int) -> String
  {
    "\"\(name)\":{\"dtype\":\"\(type)\",\"shape\":\(shape),\"data_offsets\":[\(begin),\(end)]}"
  }
}
