import Kernels

/// Lower triangular matrices, by blocks.
package enum Triangular {
  private static let block = 64

  /// Replaces a symmetric matrix by L with A = L · Lᵀ; what is above the diagonal stays as it was.
  /// - Returns: false where it is not positive definite.
  package static func factorize(_ a: FloatMatrix, arena: Arena) -> Bool {
    let n = a.rows
    for start in stride(from: 0, to: n, by: block) {
      let end = min(n, start + block)
      guard factorizeSquare(a, start..<end) else { return false }
      solve(a, start..<end)
      guard end < n else { break }
      // What is left: A22 -= L21 · L21ᵀ.
      let panel = FloatMatrix(rows: n - end, columns: end - start)
      defer { withExtendedLifetime(panel) {} }
      for row in end..<n {
        for column in start..<end { panel[row - end, column - start] = -a[row, column] }
      }
      for rows in stride(from: end, to: n, by: block) {
        let last = min(n, rows + block)
        // Within the block's own square, what is above the diagonal must stay.
        let square = FloatMatrix(rows: last - rows, columns: last - end)
        defer { withExtendedLifetime(square) {} }
        Compute.multiply(
          .asIs(panel.view[rows - end..<last - end, 0..<end - start]),
          .transposed(a.view[end..<last, start..<end]), into: square.mutable, arena: arena)
        for row in rows..<last {
          let (values, changes) = (a.mutable.row(row), square.view.row(row - rows))
          for column in end...row { values[column] += changes[column - end] }
        }
      }
    }
    return true
  }

  /// The factor of a square on the diagonal.
  private static func factorizeSquare(_ a: FloatMatrix, _ square: Range<Int>) -> Bool {
    for column in square {
      let pivots = a.mutable.row(column)
      var pivot = Double(pivots[column])
      for k in square.lowerBound..<column { pivot -= Double(pivots[k]) * Double(pivots[k]) }
      guard pivot > 0, pivot.isFinite else { return false }
      let root = Float(pivot.squareRoot())
      pivots[column] = root
      for row in column + 1..<square.upperBound {
        let values = a.mutable.row(row)
        var sum = values[column]
        for k in square.lowerBound..<column { sum -= values[k] * pivots[k] }
        values[column] = sum / root
      }
    }
    return true
  }

  /// The rows below a square that was factorised: each is the solution of X · Lᵀ = A.
  private static func solve(_ a: FloatMatrix, _ square: Range<Int>) {
    let (start, width) = (square.lowerBound, square.count)
    let transposed = FloatMatrix(rows: width, columns: width)
    defer { withExtendedLifetime(transposed) {} }
    for row in 0..<width {
      for column in 0...row { transposed[column, row] = a[start + row, start + column] }
    }
    for row in square.upperBound..<a.rows {
      let values = UnsafeMutableBufferPointer(rebasing: a.mutable.row(row)[square])
      for k in 0..<width {
        let factors = transposed.view.row(k)
        let value = values[k] / factors[k]
        values[k] = value
        for column in k + 1..<width { values[column] -= value * factors[column] }
      }
    }
  }

  /// L⁻¹ of the lower triangle.
  package static func inverse(of l: FloatMatrix, arena: Arena) -> FloatMatrix {
    let n = l.rows
    let inverse = FloatMatrix(rows: n, columns: n)
    for start in stride(from: 0, to: n, by: block) {
      let end = min(n, start + block)
      let rows = inverse.mutable[start..<end, 0..<end]
      // Columns of the inverse have nothing above the diagonal.
      for first in stride(from: 0, to: start, by: 4 * block) {
        let columns = first..<min(start, first + 4 * block)
        Compute.multiply(
          .asIs(l.view[start..<end, first..<start]), .asIs(inverse.view[first..<start, columns]),
          into: inverse.mutable[start..<end, columns], arena: arena)
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
