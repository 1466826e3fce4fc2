import CKernels

/// A function applied to each element. All are accurate to a few units in the last place, in the tails too, but for `gelu`: with AVX-512 it is
/// within a few units or 1e-10, and within a product of bfloat16 or integers within 5e-5; at ±inf they are their limits, and NaN stays NaN.
public enum Activation: Sendable, CaseIterable {
  /// x · Φ(x), Φ the standard normal distribution function: PyTorch's `gelu`, by erf.
  ///
  /// Source: Hendrycks, Gimpel, "Gaussian Error Linear Units", arXiv:1606.08415, section 2; so for the next two.
  case gelu
  /// 0.5 · x · (1 + tanh(sqrt(2 / π) · (x + 0.044715 · x³))): PyTorch's `gelu` with `approximate="tanh"`.
  case geluTanh
  /// x · sigmoid(1.702 · x), of OpenAI's CLIP.
  case quickGELU
  /// x · sigmoid(x): PyTorch's `silu`, also called swish.
  case silu
  /// max(x, 0)
  case relu
  case tanh

  /// Applies the function to the matrix, after adding a bias [columns] to each row.
  func apply(to x: MutableMatrixView, bias: UnsafePointer<Float>? = nil) {
    let operations = Operations.active
    let function =
      switch self {
      case .gelu: operations.gelu
      case .geluTanh: operations.gelu_tanh
      case .quickGELU: operations.quick_gelu
      case .silu: operations.silu
      case .relu: operations.relu
      case .tanh: operations.hyperbolic_tangent
      }
    function(x.base, x.rowStride, x.rows, x.columns, bias)
  }
}
