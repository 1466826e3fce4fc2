/// Numbers in rows and columns, such as one for each patch of an image.
public struct ValueMap: Sendable, Equatable {
  public let rows: Int
  public let columns: Int
  /// float32 [rows, columns].
  public let values: [Float]

  /// - Precondition: both sides are at least 1 and filled by `values`.
  public init(rows: Int, columns: Int, values: [Float]) {
    precondition(rows > 0 && columns > 0, "a map has at least one value, not \(rows)x\(columns)")
    precondition(values.count == rows * columns, "values must be float32 [\(rows), \(columns)]")
    (self.rows, self.columns, self.values) = (rows, columns, values)
  }

  public subscript(row: Int, column: Int) -> Float { values[row * columns + column] }

  /// Whether no value is NaN or infinite.
  public var isFinite: Bool { values.allSatisfy(\.isFinite) }
}
