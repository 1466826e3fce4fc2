import Checkpoints

/// Layers whose weights are written as integers.
package struct QuantizedLayers: Sendable {
  package let scheme: QuantizationScheme
  package let substitutes: LayerSubstitutes
  /// Weights that share a scale, with `w4`.
  package let groupSize: Int?
  /// Layers that stay floats, by timm's names.
  package let kept: [String]

  package init(scheme: QuantizationScheme, substitutes: LayerSubstitutes, groupSize: Int?, kept: [String]) {
    (self.scheme, self.substitutes, self.groupSize, self.kept) = (scheme, substitutes, groupSize, kept)
  }

  /// The integers of a tensor that is to be written; nil where it is floats.
  func weight(of tensor: ConvertedTensor) -> QuantizedWeight? {
    guard tensor.name.hasSuffix(".weight"), let (canonical, share) = tensor.onlySource,
      let weight = substitutes.weights[canonical]
    else { return nil }
    guard let share else { return weight }
    let rows = weight.outputs / share.total
    return weight.rows(rows * share.first..<rows * (share.first + share.count))
  }

  /// For `config.json`, under the name that transformers gives such things.
  /// - Parameter tensors: those that are written, which have the names of the target.
  func configuration(of tensors: [ConvertedTensor]) -> JSONValue {
    let weights = Set(kept.map { "\($0).weight" })
    let names = tensors.filter { tensor in tensor.onlySource.map { weights.contains($0.canonical) } ?? false }
      .map { String($0.name.dropLast(".weight".count)) }
    var members: [String: JSONValue] = [
      "quant_method": .string("vitrine"), "scheme": .string(scheme.rawValue),
      "bits": JSONValue(scheme.bitsPerWeight),
      "modules_to_not_convert": .array(names.map(JSONValue.string)),
    ]
    if let groupSize { members["group_size"] = JSONValue(groupSize) }
    return .object(members)
  }
}
