// Legend of dimensions, for every shape in this module:
// B batch, N tokens, D embedding, H heads, Hd head size, M MLP, P patch, C classes,
// R rows, K inner, O outputs.

/// Row-major float32 matrix [rows, columns] in memory that somebody else owns and keeps alive while the view
/// is used.
///
/// Rows may lie further apart than they are wide, so that a block of columns (one head's queries, say) is a
/// view, too.
public struct MatrixView: @unchecked Sendable {
  /// First element of the first row.
  public let base: UnsafePointer<Float>
  public let rows: Int
  public let columns: Int
  /// Distance between the starts of two rows, in floats; at least `columns`.
  public let rowStride: Int

  /// A view of `rows` × `columns` floats at `base`; `rowStride` defaults to `columns` (no gaps).
  public init(base: UnsafePointer<Float>, rows: Int, columns: Int, rowStride: Int? = nil) {
    let rowStride = rowStride ?? columns
    checkShape(rows: rows, columns: columns, rowStride: rowStride)
    (self.base, self.rows, self.columns, self.rowStride) = (base, rows, columns, rowStride)
  }

  /// The block of the given rows and columns, in place.
  public subscript(rows: Range<Int>, columns: Range<Int>) -> MatrixView {
    checkBlock(rows, columns, of: (self.rows, self.columns))
    return MatrixView(
      base: base + rows.lowerBound * rowStride + columns.lowerBound,
      rows: rows.count, columns: columns.count, rowStride: rowStride)
  }

  /// The given rows, whole.
  func rowBlock(_ rows: Range<Int>) -> MatrixView {
    self[rows, 0..<columns]
  }

  /// Row `index` [columns].
  public func row(_ index: Int) -> UnsafeBufferPointer<Float> {
    precondition(index >= 0 && index < rows, "row \(index) of a matrix with \(rows) rows")
    return UnsafeBufferPointer(start: base + index * rowStride, count: columns)
  }
}

/// A `MatrixView` that can be written through.
public struct MutableMatrixView: @unchecked Sendable {
  /// First element of the first row.
  public let base: UnsafeMutablePointer<Float>
  public let rows: Int
  public let columns: Int
  /// Distance between the starts of two rows, in floats; at least `columns`.
  public let rowStride: Int

  /// A view of `rows` × `columns` floats at `base`; `rowStride` defaults to `columns` (no gaps).
  public init(base: UnsafeMutablePointer<Float>, rows: Int, columns: Int, rowStride: Int? = nil) {
    let rowStride = rowStride ?? columns
    checkShape(rows: rows, columns: columns, rowStride: rowStride)
    (self.base, self.rows, self.columns, self.rowStride) = (base, rows, columns, rowStride)
  }

  /// The same matrix, for reading.
  public var view: MatrixView {
    MatrixView(base: base, rows: rows, columns: columns, rowStride: rowStride)
  }

  /// The block of the given rows and columns, in place.
  public subscript(rows: Range<Int>, columns: Range<Int>) -> MutableMatrixView {
    checkBlock(rows, columns, of: (self.rows, self.columns))
    return MutableMatrixView(
      base: base + rows.lowerBound * rowStride + columns.lowerBound,
      rows: rows.count, columns: columns.count, rowStride: rowStride)
  }

  /// Row `index` [columns].
  public func row(_ index: Int) -> UnsafeMutableBufferPointer<Float> {
    precondition(index >= 0 && index < rows, "row \(index) of a matrix with \(rows) rows")
    return UnsafeMutableBufferPointer(start: base + index * rowStride, count: columns)
  }

  /// Copies a matrix of the same shape; the two must not overlap.
  public func copy(from source: MatrixView) {
    checkSameShape(source, self, "copy")
    for index in 0..<rows {
      (base + index * rowStride).update(from: source.base + index * source.rowStride, count: columns)
    }
  }
}

/// A parameter [D] that several threads read; may be absent.
struct SharedVector: @unchecked Sendable {
  let base: UnsafePointer<Float>?

  init(_ base: UnsafePointer<Float>?) {
    self.base = base
  }
}

private func checkShape(rows: Int, columns: Int, rowStride: Int) {
  precondition(
    rows >= 0 && columns >= 0 && rowStride >= columns,
    "no matrix has \(rows) rows, \(columns) columns and a row stride of \(rowStride)")
}

func checkBlock(_ rows: Range<Int>, _ columns: Range<Int>, of shape: (rows: Int, columns: Int)) {
  precondition(
    rows.lowerBound >= 0 && rows.upperBound <= shape.rows
      && columns.lowerBound >= 0 && columns.upperBound <= shape.columns,
    "block [\(rows), \(columns)] of a matrix [\(shape.rows), \(shape.columns)]")
}

func checkSameShape(_ a: MatrixView, _ b: MutableMatrixView, _ operation: StaticString) {
  precondition(
    a.rows == b.rows && a.columns == b.columns,
    "\(operation): [\(a.rows), \(a.columns)] does not fit [\(b.rows), \(b.columns)]")
}
