import Kernels

/// Linear layers, forward and backward.
extension ShardPass {
  /// out [R, O] = x [R, K] · weightᵀ + bias
  func linear(_ x: MatrixView, _ layer: ModelSlots.Linear, into out: MutableMatrixView) {
    products.linear(
      x, weight: weights[layer.weight].forward, bias: layer.bias.map { values[$0] }, into: out)
  }

  /// Adds the gradients of weight and bias, where they are wanted.
  /// - Parameters:
  ///   - x: the layer's input [R, K].
  ///   - dy: gradient of its output [R, O].
  func linearBackward(_ x: MatrixView, _ layer: ModelSlots.Linear, _ dy: MatrixView) {
    guard trainsParameters else { return }
    products.addWeightGradient(dy, x, to: gradients.mutable(layer.weight))
    if let bias = gradients.pointer(layer.bias) { Backward.addColumnSums(dy, to: bias) }
  }

  /// `linearBackward`, and the gradient dx [R, K] of the input.
  func linearBackward(
    _ x: MatrixView, _ layer: ModelSlots.Linear, _ dy: MatrixView, into dx: MutableMatrixView
  ) {
    linearBackward(x, layer, dy)
    inputGradient(dy, layer, into: dx)
  }

  /// dx [R, K] = dy [R, O] · weight [O, K]
  func inputGradient(_ dy: MatrixView, _ layer: ModelSlots.Linear, into dx: MutableMatrixView) {
    guard let weight = weights[layer.weight].backward else {
      preconditionFailure("no gradient goes back through this layer")
    }
    products.inputGradient(dy, weight: weight, into: dx)
  }
}
