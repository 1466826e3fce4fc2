import Checkpoints

/// What became of one layer.
public struct QuantizedLayer: Sendable {
  /// timm's name, such as `blocks.0.attn.qkv`.
  public let name: String
  public let weight: QuantizedWeight
  /// The bias with the mean error of the layer's output taken out; nil where it stays what it was.
  public let bias: [Float]?
  /// The exponent with which the input was smoothed; nil where it was not.
  public let smoothing: Double?
  /// The layer's output on the sampled inputs, and the error of it: sums of squares. nil where no inputs were seen.
  public let signal: Double?
  public let noise: Double?

  /// 10 · log10(signal / noise), in dB; nil where one of them is 0 or beyond all numbers.
  public var signalToNoise: Double? {
    guard let signal, let noise, signal > 0, noise > 0 else { return nil }
    let ratio = decibels(signal / noise)
    return ratio.isFinite ? ratio : nil
  }
}
