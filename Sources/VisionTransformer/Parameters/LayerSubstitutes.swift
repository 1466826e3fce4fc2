import Checkpoints

/// What takes the place of a checkpoint's own tensors, by timm's names: layers that were quantised, before there is a file of them.
package struct LayerSubstitutes: Sendable {
  /// Weights as integers, such as of `blocks.0.attn.qkv.weight`.
  package var weights: [String: QuantizedWeight]
  /// Whole vectors, such as `blocks.0.attn.qkv.bias`.
  package var biases: [String: [Float]]

  package init(weights: [String: QuantizedWeight] = [:], biases: [String: [Float]] = [:]) {
    (self.weights, self.biases) = (weights, biases)
  }
}
