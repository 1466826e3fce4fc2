import Kernels

/// The matrix products of training, on the caller's thread. All of them go through here.
///
/// With bf16 the products have both sides rounded to bfloat16 and sums in float32; weights, gradients and what is kept for the
/// backward pass stay in float32.
struct Products {
  let precision: Precision
  let arena: Arena

  /// out [R, O] = x [R, K] · weight [K, O] + bias, with bias [O] or nil.
  func linear(_ x: MatrixView, weight: PackedFactor, bias: MatrixView?, into out: MutableMatrixView) {
    Compute.multiply(.asIs(x), weight, bias: bias?.base, into: out, arena: arena)
  }

  /// dx [R, K] = dy [R, O] · weight [O, K].
  func inputGradient(_ dy: MatrixView, weight: PackedFactor, into dx: MutableMatrixView) {
    Compute.multiply(.asIs(dy), weight, into: dx, arena: arena)
  }

  /// gradient [O, K] += dyᵀ · x, with dy [R, O] and x [R, K].
  func addWeightGradient(_ dy: MatrixView, _ x: MatrixView, to gradient: MutableMatrixView) {
    Compute.multiply(
      .transposed(dy), .asIs(x), precision: precision, adds: true, into: gradient, arena: arena)
  }

  /// out [R, O] = a [R, K] · bᵀ, with b [O, K]: scores, and the gradient of probabilities.
  func multiplyTransposed(_ a: MatrixView, _ b: MatrixView, into out: MutableMatrixView) {
    Compute.multiply(.asIs(a), .transposed(b), precision: precision, into: out, arena: arena)
  }

  /// out [R, O] = a [R, K] · b [K, O].
  func multiply(_ a: MatrixView, _ b: MatrixView, into out: MutableMatrixView) {
    Compute.multiply(.asIs(a), .asIs(b), precision: precision, into: out, arena: arena)
  }

  /// out [K, O] = aᵀ · b, with a [R, K] and b [R, O].
  func multiplyTransposing(_ a: MatrixView, _ b: MatrixView, into out: MutableMatrixView) {
    Compute.multiply(.transposed(a), .asIs(b), precision: precision, into: out, arena: arena)
  }
}
