import Kernels
import VisionTransformer

/// Norms, forward and backward.
extension ShardPass {
  /// out = norm(x), [R, D]; may be in place.
  func normalize(_ x: MatrixView, _ norm: ModelSlots.Norm, into out: MutableMatrixView) {
    switch norm.kind {
    case .layerNorm:
      compute.layerNorm(
        x, gamma: values.pointer(norm.gamma), beta: values.pointer(norm.beta), epsilon: norm.epsilon,
        into: out)
    case .rmsNorm:
      compute.rmsNorm(x, gamma: values.pointer(norm.gamma), epsilon: norm.epsilon, into: out)
    }
  }

  /// norm(x) in new scratch memory.
  func normalized(_ x: MatrixView, _ norm: ModelSlots.Norm) -> MatrixView {
    let result = arena.matrix(rows: x.rows, columns: x.columns)
    normalize(x, norm, into: result)
    return result.view
  }

  /// - Parameters:
  ///   - x: the norm's input [R, D].
  ///   - dy: gradient of its output [R, D].
  ///   - dx: receives the gradient of its input; may be `dy`.
  ///   - adding: whether it is added to what `dx` holds.
  func normBackward(
    _ x: MatrixView, _ norm: ModelSlots.Norm, _ dy: MatrixView, into dx: MutableMatrixView, adding: Bool
  ) {
    switch norm.kind {
    case .layerNorm:
      Backward.layerNorm(
        x, dy, gamma: values.pointer(norm.gamma), epsilon: norm.epsilon, into: dx, adding: adding,
        gammaGradient: gradientPointer(norm.gamma), betaGradient: gradientPointer(norm.beta))
    case .rmsNorm:
      Backward.rmsNorm(
        x, dy, gamma: values.pointer(norm.gamma), epsilon: norm.epsilon, into: dx, adding: adding,
        gammaGradient: gradientPointer(norm.gamma))
    }
  }

  /// Norms each head's part of x [R, D], in place.
  func normalizeHeads(_ x: MutableMatrixView, _ norm: ModelSlots.Norm?) {
    guard let norm else { return }
    forEachHead(of: x, norm) { head in normalize(head.view, norm, into: head) }
  }

  /// Backward of `normalizeHeads`, in place in the gradient dy [R, D]; x is the norms' input.
  func headNormBackward(_ x: MatrixView, _ norm: ModelSlots.Norm?, _ dy: MutableMatrixView) {
    guard let norm else { return }
    let width = norm.gamma.columns
    for start in stride(from: 0, to: x.columns, by: width) {
      let columns = start..<start + width
      let gradient = dy[0..<dy.rows, columns]
      normBackward(x[0..<x.rows, columns], norm, gradient.view, into: gradient, adding: false)
    }
  }

  /// Where the gradient of a parameter goes; nil where it is not wanted.
  private func gradientPointer(_ slot: Slot?) -> UnsafeMutablePointer<Float>? {
    trainsParameters ? gradients.pointer(slot) : nil
  }

  private func forEachHead(
    of x: MutableMatrixView, _ norm: ModelSlots.Norm, _ body: (MutableMatrixView) -> Void
  ) {
    let width = norm.gamma.columns
    for start in stride(from: 0, to: x.columns, by: width) { body(x[0..<x.rows, start..<start + width]) }
  }
}
