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
  ///   - inputs: X [R, K].
  ///   - damping: added to the diagonal of H, as a share of its mean.
  /// - Returns: nil where H cannot be factorised, because the inputs are not finite.
  package init?(inputs: MatrixView, damping: Float = 0.01, arena: Arena) {
    inner = inputs.columns
    let products = FloatMatrix(rows: inner, columns: inner)
    Compute.multiply(.transposed(inputs), .asIs(inputs), into: products.mutable, arena: arena)
    let mean = (0..<inner).reduce(0.0) { $0 + Double(products[$1, $1]) } / Double(inner)
    guard mean.isFinite else { return nil }
    var share = damping
    while share <= 1 {
      let reversed = FloatMatrix(rows: inner, columns: inner)
      for row in 0..<inner {
        for column in 0..<inner { reversed[row, column] = products[inner - 1 - row, inner - 1 - column] }
        reversed[row, row] += share * Float(mean > 0 ? mean : 1)
      }
      if Triangular.factorize(reversed, arena: arena) {
        let inverse = Triangular.inverse(of: reversed, arena: arena)
        let factor = FloatMatrix(rows: inner, columns: inner)
        for row in 0..<inner {
          for column in row..<inner {
            factor[row, column] = inverse[inner - 1 - row, inner - 1 - column]
          }
        }
        self.factor = factor
        return
      }
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

/// A matrix with memory of its own. Its views do not keep it alive.
package final class FloatMatrix: @unchecked Sendable {
  private let buffer: FloatBuffer
  package let rows: Int
  package let columns: Int

  /// Zeros.
  package init(rows: Int, columns: Int) {
    (self.rows, self.columns) = (rows, columns)
    buffer = FloatBuffer(count: rows * columns)
  }

  package convenience init(_ values: [Float], rows: Int, columns: Int) {
    self.init(rows: rows, columns: columns)
    _ = UnsafeMutableBufferPointer(start: buffer.base, count: rows * columns).update(fromContentsOf: values)
  }

  package var mutable: MutableMatrixView {
    MutableMatrixView(base: buffer.base, rows: rows, columns: columns)
  }
  package var view: MatrixView { mutable.view }

  package subscript(row: Int, column: Int) -> Float {
    get { buffer.base[row * columns + column] }
    set { buffer.base[row * columns + column] = newValue }
  }
}

/// Lower triangular matrices, by blocks.
package enum Triangular {
  private static let block = 64

  /// Replaces a symmetric matrix by L with A = L · Lᵀ; what is above the diagonal stays as it was.
  /// - Returns: false where it is not positive definite.
  package static func factorize(_ a: FloatMatrix, arena: Arena) -> Bool {
    let n = a.rows
    for start in stride(from: 0, to: n, by: block) {
      let end = min(n, start + block)
      for column in start..<end {
        let pivots = a.mutable.row(column)
        var pivot = Double(pivots[column])
        for k in start..<column { pivot -= Double(pivots[k]) * Double(pivots[k]) }
        guard pivot > 0, pivot.isFinite else { return false }
        let root = Float(pivot.squareRoot())
        pivots[column] = root
        for row in column + 1..<max(n, column + 1) {
          let values = a.mutable.row(row)
          var sum = values[column]
          for k in start..<column { sum -= values[k] * pivots[k] }
          values[column] = sum / root
        }
      }
      guard end < n else { break }
      // What is left: A22 -= L21 · L21ᵀ.
      let panel = FloatMatrix(rows: n - end, columns: end - start)
      defer { withExtendedLifetime(panel) {} }
      for row in end..<n {
        for column in start..<end { panel[row - end, column - start] = -a[row, column] }
      }
      Compute.multiply(
        .asIs(panel.view), .transposed(a.view[end..<n, start..<end]), adds: true,
        into: a.mutable[end..<n, end..<n], arena: arena)
    }
    return true
  }

  /// L⁻¹ of the lower triangle.
  package static func inverse(of l: FloatMatrix, arena: Arena) -> FloatMatrix {
    let n = l.rows
    let inverse = FloatMatrix(rows: n, columns: n)
    for start in stride(from: 0, to: n, by: block) {
      let end = min(n, start + block)
      let rows = inverse.mutable[start..<end, 0..<end]
      if start > 0 {
        Compute.multiply(
          .asIs(l.view[start..<end, 0..<start]), .asIs(inverse.view[0..<start, 0..<start]),
          into: inverse.mutable[start..<end, 0..<start], arena: arena)
      }
      // The block's own rows: L_ii · X = I - what was summed up.
      for row in start..<end {
        let target = rows.row(row - start)
        for column in 0..<start { target[column] = -target[column] }
        target[row] = 1
        for earlier in start..<row {
          let (factor, source) = (l[row, earlier], rows.row(earlier - start))
          for column in 0...earlier { target[column] -= factor * source[column] }
        }
        let diagonal = l[row, row]
        for column in 0...row { target[column] /= diagonal }
      }
    }
    return inverse
  }
}
