/// The type of a tensor's elements as it is stored in a checkpoint, by the names that safetensors uses.
public enum ScalarType: String, Sendable, CaseIterable {
  case float64 = "F64"
  case float32 = "F32"
  case float16 = "F16"
  case bfloat16 = "BF16"
  case float8E4M3 = "F8_E4M3"
  case float8E5M2 = "F8_E5M2"
  case int64 = "I64"
  case int32 = "I32"
  case int16 = "I16"
  case int8 = "I8"
  case uint64 = "U64"
  case uint32 = "U32"
  case uint16 = "U16"
  case uint8 = "U8"
  case bool = "BOOL"

  /// Size of one element in bytes.
  public var byteCount: Int {
    switch self {
    case .float64, .int64, .uint64: 8
    case .float32, .int32, .uint32: 4
    case .float16, .bfloat16, .int16, .uint16: 2
    case .float8E4M3, .float8E5M2, .int8, .uint8, .bool: 1
    }
  }

  /// The number of bytes that a tensor of this type takes; nil where its shape is not possible: a negative size, or sizes whose
  /// product, those of 0 left out, is no `Int`. Every product of sizes of a possible shape can thus be computed safely.
  func byteCount(of shape: [Int]) -> Int? {
    var count = byteCount
    for size in shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: max(size, 1))
      guard size >= 0, !overflow else { return nil }
      count = product
    }
    return shape.contains(0) ? 0 : count
  }
}
