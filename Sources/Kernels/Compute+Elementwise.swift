import CKernels

extension Compute {
  /// out = activation(left half of x) ⊙ right half of x: the gate of SwiGLU, with SiLU.
  ///
  /// Source: Shazeer, "GLU Variants Improve Transformer", arXiv:2002.05202, eq. 5 and 6; timm's `SwiGLUPacked`, that is `GluMlp`
  /// with `gate_last=False`.
  /// - Parameters:
  ///   - x: [R, 2·M].
  ///   - out: [R, M]; may be the left half of `x`.
  public func gate(_ x: MatrixView, activation: Activation, into out: MutableMatrixView) {
    precondition(
      x.rows == out.rows && x.columns == 2 * out.columns,
      "gate: the halves of [\(x.rows), \(x.columns)] do not fit [\(out.rows), \(out.columns)]")
    split(out.rows, work: out.rows * out.columns * Cost.exponential) { rows in
      // A row at a time: it stays in the first-level cache from the copy to the product.
      for row in rows {
        let result = out[row..<row + 1, 0..<out.columns]
        let left = x.base + row * x.rowStride
        result.base.update(from: left, count: out.columns)
        activation.apply(to: result)
        Operations.active.multiply(
          result.base, out.rowStride, left + out.columns, x.rowStride, 1, out.columns)
      }
    }
  }

  /// x = activation(x + y): the end of a residual block.
  /// - Parameters:
  ///   - y: [R, D].
  ///   - x: [R, D].
  ///   - activation: applied to the sum; nil for none.
  public func add(_ y: MatrixView, to x: MutableMatrixView, activation: Activation? = nil) {
    checkSameShape(y, x, "add")
    split(x.rows, work: x.rows * x.columns * Cost.element) { rows in
      for row in rows {
        let (sum, addend) = (x[row..<row + 1, 0..<x.columns], y.base + row * y.rowStride)
        Operations.active.add_residual(
          sum.base, x.rowStride, addend, y.rowStride, 1, x.columns, nil, nil)
        activation?.apply(to: sum)
      }
    }
  }
}
