import Checkpoints
import Pipeline

/// What a quantisation did, and what it cost.
public struct QuantizationReport: Sendable, Encodable {
  /// The model that was quantised.
  public let model: String
  public let architecture: String
  public let scheme: String
  public let observer: String?
  public let groupSize: Int?
  public let calibrationImages: Int
  public let layers: [Layer]
  /// Bytes of the weights in float32, and of the written file.
  public let floatBytes: Int
  public let bytes: Int
  public let comparison: ModelComparison
  /// On labelled images, where there are some.
  public let accuracy: Change<Accuracy>?
  /// Images/s of the network alone with batches of one on all threads; nil where it was not measured.
  public let imagesPerSecond: Change<Double>?
  /// Seconds that it took.
  public let seconds: Double

  public struct Layer: Sendable, Encodable {
    /// timm's name.
    public let name: String
    /// `int8`, `int4` or `float`.
    public let type: String
    /// Why it stays floats: `keep` or `error`; nil for one that does not.
    public let kept: String?
    public let parameters: Int
    /// In the file.
    public let bytes: Int
    /// The exponent with which the input was smoothed.
    public let smoothing: Double?
    /// Of the layer's output on the calibration images, in dB.
    public let signalToNoise: Double?
    /// 1 - cosine of the pooled features where this layer alone is quantised.
    public let error: Double?

    enum CodingKeys: String, CodingKey {
      case name, type, kept, parameters, bytes, smoothing
      case signalToNoise = "signal_to_noise_db"
      case error = "feature_error"
    }
  }

  /// Before and after.
  public struct Change<Value: Sendable & Encodable>: Sendable, Encodable {
    public let before: Value
    public let after: Value

    public init(before: Value, after: Value) { (self.before, self.after) = (before, after) }
  }

  /// Shares of labelled images.
  public struct Accuracy: Sendable, Encodable, Equatable {
    public let images: Int
    public let top1: Double
    public let top5: Double

    public init(images: Int, top1: Double, top5: Double) {
      (self.images, self.top1, self.top5) = (images, top1, top5)
    }
  }

  enum CodingKeys: String, CodingKey {
    case model, architecture, scheme, observer, layers, bytes, comparison, accuracy, seconds
    case groupSize = "group_size"
    case calibrationImages = "calibration_images"
    case floatBytes = "float32_bytes"
    case imagesPerSecond = "images_per_second"
  }

  /// A line for each layer, then the whole. Without the last line end.
  public var table: String {
    let width = max(5, layers.map(\.name.count).max() ?? 0)
    func line(_ name: String, _ cells: [String]) -> String {
      var text = name + String(repeating: " ", count: max(0, width - name.count))
      for (cell, width) in zip(cells, [7, 11, 8, 8, 10]) {
        text += String(repeating: " ", count: max(1, width - cell.count)) + cell
      }
      return text
    }
    var lines = [line("layer", ["type", "KiB", "smooth", "SQNR dB", "error"])]
    for layer in layers {
      lines.append(
        line(
          layer.name,
          [
            layer.type, Self.fixed(Double(layer.bytes) / 1024, 1),
            layer.smoothing.map { Self.fixed($0, 2) } ?? "-",
            layer.signalToNoise.map { Self.fixed($0, 1) } ?? "-",
            layer.error.map { Self.scientific($0) } ?? "-",
          ]))
    }
    return (lines + [""] + summary).joined(separator: "\n")
  }

  private var summary: [String] {
    func mebibytes(_ bytes: Int) -> String { Self.fixed(Double(bytes) / 1_048_576, 1) }
    var rows = [
      (
        "size",
        "\(mebibytes(bytes)) MiB of \(mebibytes(floatBytes)): \(Self.fixed(100 * Double(bytes) / Double(floatBytes), 1)) %"
      ),
      (
        "features",
        "cosine to float32 \(Self.fixed(comparison.featureCosine, 5)), least \(Self.fixed(comparison.leastFeatureCosine, 5)), over \(comparison.images) images \(comparison.heldOut ? "that were held out" : "of the calibration")"
      ),
    ]
    if let mean = comparison.patchCosine, let least = comparison.leastPatchCosine {
      rows.append(("patches", "cosine \(Self.fixed(mean, 5)), least \(Self.fixed(least, 5))"))
    }
    if let cosine = comparison.logitCosine, let share = comparison.top1Agreement {
      rows.append(
        ("logits", "cosine \(Self.fixed(cosine, 5)), the same class for \(Self.fixed(100 * share, 2)) %"))
    }
    if let accuracy {
      let (before, after) = (accuracy.before, accuracy.after)
      rows.append(
        (
          "top-1",
          "\(Self.fixed(100 * before.top1, 2)) % to \(Self.fixed(100 * after.top1, 2)) %, top-5 "
            + "\(Self.fixed(100 * before.top5, 2)) % to \(Self.fixed(100 * after.top5, 2)) %, of \(after.images) images"
        ))
    }
    if let speed = imagesPerSecond {
      rows.append(
        (
          "images/s",
          "\(Self.fixed(speed.before, 1)) to \(Self.fixed(speed.after, 1)), \(Self.fixed(speed.after / speed.before, 2)) times"
        ))
    }
    return rows.map { name, value in name + String(repeating: " ", count: 10 - name.count) + value }
  }

  static func fixed(_ value: Double, _ places: Int) -> String {
    guard value.isFinite else { return "-" }
    let scale = (0..<places).reduce(1.0) { product, _ in product * 10 }
    let whole = Int64((abs(value) * scale).rounded())
    let digits = String(whole)
    let padded = String(repeating: "0", count: max(0, places + 1 - digits.count)) + digits
    let sign = value < 0 && whole > 0 ? "-" : ""
    return places == 0 ? sign + padded : sign + padded.dropLast(places) + "." + padded.suffix(places)
  }

  /// Such as 1.3e-05.
  private static func scientific(_ value: Double) -> String {
    guard value > 0, value.isFinite else { return "0" }
    var (mantissa, exponent) = (value, 0)
    while mantissa < 0.995 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
    while mantissa >= 9.95 { (mantissa, exponent) = (mantissa / 10, exponent + 1) }
    let digits = "\(abs(exponent))"
    return "\(fixed(mantissa, 1))e\(exponent < 0 ? "-" : "+")\(digits.count < 2 ? "0" : "")\(digits)"
  }
}
