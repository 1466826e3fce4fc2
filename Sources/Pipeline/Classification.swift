import VisionTransformer

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// One of the classes that a model proposes for an image.
public struct Prediction: Sendable, Equatable {
  /// The class's index.
  public let index: Int
  /// The class's name; nil where the model has no labels.
  public let label: String?
  /// Its share of the softmax over all classes, 0...1.
  public let probability: Double

  public init(index: Int, label: String?, probability: Double) {
    self.index = index
    self.label = label
    self.probability = probability
  }

  /// The k most probable classes, most probable first; among equals the lower index first.
  /// - Parameters:
  ///   - logits: [C], finite.
  ///   - labels: [C], or nil.
  public static func top(_ k: Int, of logits: [Float], labels: [String]?) -> [Prediction] {
    guard let largest = logits.max() else { return [] }
    let exponentials = logits.map { exp(Double($0) - Double(largest)) }
    let total = exponentials.reduce(0, +)
    let order = logits.indices.sorted { (logits[$1], $0) < (logits[$0], $1) }
    return order.prefix(k).map { index in
      Prediction(index: index, label: labels?[index], probability: exponentials[index] / total)
    }
  }
}
