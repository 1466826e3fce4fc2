import Kernels

/// The matrix products of training, on the caller's thread. All of them go through here.
enum Products {
  /// out [R, O] = x [R, K] · weightᵀ + bias, with weight [O, K] and bias [O] or nil.
  static func linear(_ x: MatrixView, weight: MatrixView, bias: MatrixView?, into out: MutableMatrixView) {
    if let bias {
      for row in 0..<out.rows { out.row(row).baseAddress?.update(from: bias.base, count: out.columns) }
    }
    BLAS.multiply(x, weight, .transposed, addend: bias == nil ? 0 : 1, into: out)
  }

  /// dx [R, K] = dy [R, O] · weight [O, K].
  static func inputGradient(_ dy: MatrixView, weight: MatrixView, into dx: MutableMatrixView) {
    BLAS.multiply(dy, weight, .asIs, into: dx)
  }

  /// gradient [O, K] += dyᵀ · x, with dy [R, O] and x [R, K].
  static func addWeightGradient(_ dy: MatrixView, _ x: MatrixView, to gradient: MutableMatrixView) {
    BLAS.multiplyTransposing(dy, x, addend: 1, into: gradient)
  }

  /// out [R, O] = a [R, K] · bᵀ, with b [O, K]: scores, and the gradient of probabilities.
  static func multiplyTransposed(_ a: MatrixView, _ b: MatrixView, into out: MutableMatrixView) {
    BLAS.multiply(a, b, .transposed, into: out)
  }

  /// out [R, O] = a [R, K] · b [K, O].
  static func multiply(_ a: MatrixView, _ b: MatrixView, into out: MutableMatrixView) {
    BLAS.multiply(a, b, .asIs, into: out)
  }

  /// out [K, O] = aᵀ · b, with a [R, K] and b [R, O].
  static func multiplyTransposing(_ a: MatrixView, _ b: MatrixView, into out: MutableMatrixView) {
    BLAS.multiplyTransposing(a, b, into: out)
  }
}
