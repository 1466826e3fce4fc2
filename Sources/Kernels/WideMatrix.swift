/// Row-major float64 matrix [rows, columns] without gaps, in memory of an arena.
struct WideMatrix: @unchecked Sendable {
  let base: UnsafeMutablePointer<Double>
  let rows: Int
  let columns: Int

  /// A matrix of arbitrary contents, valid as long as the arena's scope.
  init(_ rows: Int, _ columns: Int, _ arena: Arena) {
    (base, self.rows, self.columns) = (arena.doubles(rows * columns), rows, columns)
  }

  private init(base: UnsafeMutablePointer<Double>, rows: Int, columns: Int) {
    (self.base, self.rows, self.columns) = (base, rows, columns)
  }

  /// The given rows, in place.
  func block(_ rows: Range<Int>) -> WideMatrix {
    precondition(rows.lowerBound >= 0 && rows.upperBound <= self.rows, "rows \(rows) of \(self.rows)")
    return WideMatrix(base: base + rows.lowerBound * columns, rows: rows.count, columns: columns)
  }

  /// Takes the values of a matrix of the same shape.
  func widen(_ source: MatrixView) {
    precondition(source.rows == rows && source.columns == columns, "widen: the shapes differ")
    for row in 0..<rows {
      let (from, to) = (source.base + row * source.rowStride, base + row * columns)
      for column in 0..<columns { to[column] = Double(from[column]) }
    }
  }

  /// target = the values plus `bias` [columns] (nil for none), rounded.
  func narrow(addingBias bias: UnsafePointer<Float>?, into target: MutableMatrixView) {
    precondition(target.rows == rows && target.columns == columns, "narrow: the shapes differ")
    for row in 0..<rows {
      let (from, to) = (base + row * columns, target.base + row * target.rowStride)
      if let bias {
        for column in 0..<columns { to[column] = Float(from[column] + Double(bias[column])) }
      } else {
        for column in 0..<columns { to[column] = Float(from[column]) }
      }
    }
  }
}
