import Kernels

/// Rounding of a weight's columns one after the other, the later ones making up for the errors of the earlier (GPTQ, arXiv 2210.17323).
///
/// With H = XᵀX of the layer's inputs and H⁻¹ = UᵀU, U upper triangular, the error e of column k is spread over the columns j > k as
/// e · U[k, j] / U[k, k] (equations 2 and 3 there, in Cholesky form).
package struct ErrorCompensation {
  /// K
  package let inner: Int
  /// U, [K, K]; below the diagonal 0.
  private let factor: FloatMatrix

  /// - Parameters:
  ///   - products: H [K, K]; overwritten.
  ///   - damping: added to the diagonal of H, as a share of its mean.
  /// - Returns: nil where H cannot be factorised, because the inputs are not finite.
  package init?(products: FloatMatrix, damping: Float = 0.01, arena: Arena) {
    inner = products.columns
    // Rows and columns in reverse order: the Cholesky factor of that, inverted and reversed again, is U.
    products.reverse()
    let diagonal = (0..<inner).map { products[$0, $0] }
    let mean = diagonal.reduce(0.0) { $0 + Double($1) } / Double(inner)
    guard mean.isFinite else { return nil }
    var share = damping
    while share <= 1 {
      for k in 0..<inner { products[k, k] = diagonal[k] + share * Float(mean > 0 ? mean : 1) }
      if Triangular.factorize(products, arena: arena) {
        factor = Triangular.inverse(of: products, arena: arena)
        factor.reverse()
        return
      }
      // What is above the diagonal is there still.
      products.mirror()
      share *= 10
    }
    return nil
  }

  /// Columns that are rounded before their errors reach the others.
  private static let block = 128

  /// Rounds a weight.
  /// - Parameters:
  ///   - weight: [O, K]; holds what is left of it afterwards.
  ///   - begin: called with a row and a column before the first of `groupSize` columns is rounded: what they are by then.
  ///   - round: the nearest value that can be stored for a row, column and value.
  package func run(
    _ weight: FloatMatrix, groupSize: Int, arena: Arena,
    begin: (_ row: Int, _ column: Int, _ values: UnsafeBufferPointer<Float>) -> Void,
    round: (_ row: Int, _ column: Int, _ value: Float) -> Float
  ) {
    let outputs = weight.rows
    for start in stride(from: 0, to: inner, by: Self.block) {
      let end = min(inner, start + Self.block)
      let errors = FloatMatrix(rows: outputs, columns: end - start)
      defer { withExtendedLifetime(errors) {} }
      for row in 0..<outputs {
        let values = weight.mutable.row(row)
        for column in start..<end {
          if column % groupSize == 0 {
            begin(row, column, UnsafeBufferPointer(rebasing: values[column..<min(inner, column + groupSize)]))
          }
          let value = values[column]
          let rounded = round(row, column, value)
          let error = (value - rounded) / factor[column, column]
          values[column] = rounded
          errors[row, column - start] = -error
          let shares = factor.mutable.row(column)
          for later in column + 1..<max(end, column + 1) { values[later] -= error * shares[later] }
        }
      }
      if end < inner {
        Compute.multiply(
          .asIs(errors.view), .asIs(factor.view[start..<end, end..<inner]), adds: true,
          into: weight.mutable[0..<outputs, end..<inner], arena: arena)
      }
    }
  }
}
