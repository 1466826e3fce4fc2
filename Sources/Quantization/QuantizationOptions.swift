import Checkpoints

/// How a model is quantised.
public struct QuantizationOptions: Sendable {
  public var scheme = QuantizationScheme.w8a8
  /// How the levels of a layer's input are found, with `w8a8-static`.
  public var observer = RangeObserver.mse
  /// Weights of a row that share a scale, with `w4`: one of `QuantizationGroups.sizes`.
  public var groupSize = 64
  /// Layers that stay floats, by timm's names; `*` stands for any characters, and a name for all layers whose names begin so.
  public var keep: [String] = []
  /// Whether what is hard to round may be moved from a layer's input into its weights.
  public var smooths = true
  /// Whether biases take up the mean error of their layers.
  public var correctsBiases = true
  /// Whether the error of each rounded weight is made up for by those of its row that come later.
  public var compensates = true
  /// Layers are kept in floats, those with the largest error first, until the mean cosine of the features is at least this; nil for no
  /// such bound.
  public var minCosine: Double?
  /// The same for the loss of top-1 on labelled images, in points.
  public var maxDrop: Double?

  public init() {}

  /// Whether a layer is to stay floats.
  func keeps(_ layer: String) -> Bool { keep.contains { Self.matches(layer, $0) } }

  /// Whether a pattern is a layer's name or the beginning of it, up to a point.
  static func matches(_ layer: String, _ pattern: String) -> Bool {
    let text = Array(layer)
    // How much of the text the pattern so far may stand for.
    var lengths: Set<Int> = [0]
    for character in pattern {
      if character == "*" {
        lengths = lengths.min().map { Set($0...text.count) } ?? []
      } else {
        lengths = Set(lengths.filter { $0 < text.count && text[$0] == character }.map { $0 + 1 })
      }
    }
    return lengths.contains { $0 == text.count || text[$0] == "." }
  }
}

/// How a range is found for numbers that get the same levels.
public enum RangeObserver: String, Sendable, CaseIterable {
  /// From the least to the largest.
  case minMax = "minmax"
  /// All but one of 10,000.
  case percentile
  /// The share of the whole range that gives the layer's output the least squared error.
  case mse
}

/// Why a model cannot be quantised.
public enum QuantizationError: Error, Equatable, CustomStringConvertible {
  case alreadyQuantized(path: String, scheme: String)
  case noImages(path: String, reasons: [String])
  case nothingToQuantize(path: String, keep: [String])
  case unknownLayer(pattern: String, known: [String])
  case unreachable(goal: String, best: String)
  case noLabelledImages

  public var description: String {
    switch self {
    case .alreadyQuantized(let path, let scheme):
      "\(path): the weights are integers already (\(scheme)); quantise the model that they were made from"
    case .noImages(let path, let reasons):
      switch reasons.count {
      case 0: "\(path): no image to calibrate with"
      case 1: "there is nothing to calibrate with: \(reasons[0])"
      case let count:
        "\(path): none of \(count) images could be read, and there is nothing to calibrate with; the first was \(reasons[0])"
      }
    case .nothingToQuantize(let path, let keep):
      "\(path): no layer is left to quantise (--keep \(keep.joined(separator: " ")))"
    case .unknownLayer(let pattern, let known):
      "--keep \(pattern): no layer is called so; there are \(known.joined(separator: ", "))"
    case .noLabelledImages: "none of the labelled images could be read: there is nothing to evaluate on"
    case .unreachable(let goal, let best):
      "\(goal) cannot be reached: with every layer but one in floats it is \(best)"
    }
  }
}
