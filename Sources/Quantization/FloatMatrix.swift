import Kernels

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

  /// Rows and columns in reverse order.
  func reverse() {
    var elements = UnsafeMutableBufferPointer(start: buffer.base, count: rows * columns)
    elements.reverse()
  }

  /// Copies what is above the diagonal of a square matrix to below it.
  func mirror() {
    for row in 0..<rows { for column in 0..<row { self[row, column] = self[column, row] } }
  }

  package subscript(row: Int, column: Int) -> Float {
    get { buffer.base[row * columns + column] }
    set { buffer.base[row * columns + column] = newValue }
  }
}
