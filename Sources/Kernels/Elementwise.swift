import CKernels

/// Elementwise operations on the caller's thread that more than one layer is made of.
package enum Elementwise {
  /// x ⊙= y, both [R, D].
  package static func multiply(_ x: MutableMatrixView, by y: MatrixView) {
    checkSameShape(y, x, "multiply")
    Operations.active.multiply(x.base, x.rowStride, y.base, y.rowStride, x.rows, x.columns)
  }

  /// Every row of x [R, D] ⊙= factors [D].
  package static func multiplyRows(_ x: MutableMatrixView, by factors: UnsafePointer<Float>) {
    Operations.active.multiply(x.base, x.rowStride, factors, 0, x.rows, x.columns)
  }

  /// x += factors ⊙ y, both [R, D].
  /// - Parameter factors: [D]; nil for 1.
  package static func add(
    _ y: MatrixView, times factors: UnsafePointer<Float>? = nil, to x: MutableMatrixView
  ) {
    checkSameShape(y, x, "add")
    Operations.active.add_residual(
      x.base, x.rowStride, y.base, y.rowStride, x.rows, x.columns, factors, nil)
  }

  /// x = activation(x), [R, D].
  package static func apply(_ activation: Activation, to x: MutableMatrixView) { activation.apply(to: x) }

  /// softmax(scale · x) of each row of x [R, C].
  package static func softmax(_ x: MutableMatrixView, scale: Float) {
    Compute.softmax(rows: 0..<x.rows, of: x, scale: scale)
  }
}
