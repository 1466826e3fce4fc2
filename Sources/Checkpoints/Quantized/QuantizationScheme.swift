/// What a quantised model keeps in few bits.
public enum QuantizationScheme: String, Sendable, CaseIterable {
  /// 8-bit weights; activations in 8 bits at scales that are found for each token as it is computed.
  case w8a8
  /// 8-bit weights; activations in 8 bits at scales that were calibrated.
  case w8a8Static = "w8a8-static"
  /// 8-bit weights for storage; activations, and the products, in bfloat16 or float32.
  case w8
  /// 4-bit weights in groups for storage, computed as 8-bit; activations as in `w8a8`.
  case w4

  /// Whether products are of integers where nobody asks for something else.
  public var computesIntegers: Bool { self != .w8 }
  /// Of a weight in a block.
  public var bitsPerWeight: Int { self == .w4 ? 4 : 8 }
}
