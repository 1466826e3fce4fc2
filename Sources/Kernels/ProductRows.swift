import CKernels

/// The left side of matrix products [R, K], in the form that the kernels of a precision read: floats where they lie, or numbers
/// of less precision in scratch memory.
public struct ProductRows: @unchecked Sendable {
  public let precision: Precision
  /// R
  public let rows: Int
  /// K
  public let columns: Int
  let base: UnsafeRawPointer
  /// In bytes.
  let rowStride: Int
  /// int8: what a unit of each row is worth, and the level that stands for 0; [R].
  let factors: UnsafePointer<Float>?
  let zeroPoints: UnsafePointer<Int32>?

  /// float32, in place.
  public init(_ x: MatrixView) {
    (precision, rows, columns, base, rowStride) = (
      .fp32, x.rows, x.columns, UnsafeRawPointer(x.base), 4 * x.rowStride
    )
    (factors, zeroPoints) = (nil, nil)
  }

  /// bfloat16, in place, where `Precision.readsHalves`.
  public init(_ x: HalfMatrixView) {
    (precision, rows, columns, base, rowStride) = (
      .bf16, x.rows, x.columns, UnsafeRawPointer(x.base), 2 * x.rowStride
    )
    (factors, zeroPoints) = (nil, nil)
  }

  /// Some of the rows, in place.
  public subscript(rows: Range<Int>) -> ProductRows {
    precondition(rows.lowerBound >= 0 && rows.upperBound <= self.rows, "rows \(rows) of \(self.rows)")
    return ProductRows(
      precision, rows: rows.count, columns: columns, base: base + rows.lowerBound * rowStride,
      rowStride: rowStride,
      factors: factors.map { $0 + rows.lowerBound }, zeroPoints: zeroPoints.map { $0 + rows.lowerBound })
  }

  /// The rows as they lie, where they are float32.
  public var floats: MatrixView? {
    guard precision == .fp32 else { return nil }
    return MatrixView(
      base: base.assumingMemoryBound(to: Float.self), rows: rows, columns: columns, rowStride: rowStride / 4)
  }

  fileprivate init(
    _ precision: Precision, rows: Int, columns: Int, base: UnsafeRawPointer, rowStride: Int,
    factors: UnsafePointer<Float>? = nil, zeroPoints: UnsafePointer<Int32>? = nil
  ) {
    (self.precision, self.rows, self.columns, self.base, self.rowStride) = (
      precision, rows, columns, base, rowStride
    )
    (self.factors, self.zeroPoints) = (factors, zeroPoints)
  }
}

/// How the rows of an int8 product become levels of 0...255.
public struct RowLevels: Sendable {
  /// One for each column, [1, K]; nil for 1.
  public var multipliers: MatrixView?
  /// The levels of all rows, known beforehand; nil for levels by the range of each row.
  public var fixed: Fixed?

  /// A multiplied element x has the level x / scale + zeroPoint, rounded.
  public struct Fixed: Sendable, Equatable {
    /// Above 0.
    public let scale: Float
    public let zeroPoint: UInt8

    public init(scale: Float, zeroPoint: UInt8) {
      precondition(scale > 0 && scale.isFinite, "levels of a scale of \(scale)")
      (self.scale, self.zeroPoint) = (scale, zeroPoint)
    }
  }

  public init(multipliers: MatrixView? = nil, fixed: Fixed? = nil) {
    (self.multipliers, self.fixed) = (multipliers, fixed)
  }

  fileprivate var cLevels: ckernels_levels {
    ckernels_levels(
      multipliers: multipliers?.base, scale: fixed?.scale ?? 0, zero_point: Int32(fixed?.zeroPoint ?? 0))
  }
}

/// Row-major bfloat16 matrix [rows, columns] in memory that somebody else owns.
public struct HalfMatrixView: @unchecked Sendable {
  public let base: UnsafeMutablePointer<UInt16>
  public let rows: Int
  public let columns: Int
  /// Distance between the starts of two rows, in elements.
  public let rowStride: Int

  init(base: UnsafeMutablePointer<UInt16>, rows: Int, columns: Int, rowStride: Int) {
    (self.base, self.rows, self.columns, self.rowStride) = (base, rows, columns, rowStride)
  }

  /// The block of the given rows and columns, in place.
  public subscript(rows: Range<Int>, columns: Range<Int>) -> HalfMatrixView {
    checkBlock(rows, columns, of: (self.rows, self.columns))
    return HalfMatrixView(
      base: base + rows.lowerBound * rowStride + columns.lowerBound,
      rows: rows.count, columns: columns.count, rowStride: rowStride)
  }

  /// Copies a matrix of the same shape; the two must not overlap.
  public func copy(from source: HalfMatrixView) {
    precondition(
      source.rows == rows && source.columns == columns,
      "copy: [\(source.rows), \(source.columns)] does not fit [\(rows), \(columns)]")
    for row in 0..<rows {
      (base + row * rowStride).update(from: source.base + row * source.rowStride, count: columns)
    }
  }
}

extension Arena {
  /// A matrix of bfloat16, spaced as `spacedMatrix`.
  public func halfMatrix(rows: Int, columns: Int) -> HalfMatrixView {
    let stride = Arena.spacedStride(2 * columns)
    let base = bytes(rows * stride).bindMemory(to: UInt16.self, capacity: rows * stride / 2)
    return HalfMatrixView(base: base, rows: rows, columns: columns, rowStride: stride / 2)
  }
}

extension Compute {
  /// The rows of x [R, K] as products with a weight [O, K] read them, made on the caller's thread. With fp32, x itself.
  public func rows(_ x: MatrixView, for weight: PackedMatrix, arena: Arena) -> ProductRows {
    rows(x, for: weight.precision, levels: weight.rowLevels, arena: arena)
  }

  /// The rows of x [R, K] as products of a precision read them, made on the caller's thread. With fp32, x itself.
  /// - Parameter levels: how they become levels, with int8.
  public func rows(
    _ x: MatrixView, for precision: Precision, levels: RowLevels = RowLevels(), arena: Arena
  ) -> ProductRows {
    guard precision != .fp32 else { return ProductRows(x) }
    let target = ConvertedRows(precision, rows: x.rows, columns: x.columns, levels, arena)
    target.convert(x, to: 0)
    return target.rows
  }

  /// Rows [R, K] that `fill` computes, as products with a weight [O, K] read them. They are converted some at a time, in the first-level
  /// cache.
  /// - Parameter fill: writes the given rows.
  public func rows(
    _ count: Int, for weight: PackedMatrix, arena: Arena,
    fill: (_ rows: Range<Int>, _ out: MutableMatrixView) -> Void
  ) -> ProductRows {
    let (precision, columns) = (weight.precision, weight.inner)
    guard precision != .fp32 else {
      let matrix = arena.spacedMatrix(rows: count, columns: columns)
      fill(0..<count, matrix)
      return ProductRows(matrix.view)
    }
    let target = ConvertedRows(precision, rows: count, columns: columns, weight.rowLevels, arena)
    arena.scope {
      let some = arena.matrix(rows: min(count, 8), columns: columns)
      for start in stride(from: 0, to: count, by: 8) {
        let rows = start..<min(count, start + 8)
        let block = some[0..<rows.count, 0..<columns]
        fill(rows, block)
        target.convert(block.view, to: start)
      }
    }
    return target.rows
  }
}

extension ProductRows {
  /// The columns of x [K, R] as rows that products of a precision, fp32 or bf16, read.
  init(transposing x: MatrixView, for precision: Precision, arena: Arena) {
    let kernel = precision.kernel
    let stride = Arena.spacedStride(kernel.rowBytes(x.rows))
    let base = arena.bytes(x.columns * stride)
    Operations.active.transpose(x.base, x.rowStride, x.rows, x.columns, kernel.element, base, stride)
    self.init(precision, rows: x.columns, columns: x.rows, base: base, rowStride: stride)
  }
}

/// Room for rows of less precision.
private struct ConvertedRows {
  private let kernel: ckernels_product_kernel
  private let base: UnsafeMutableRawPointer
  private let factors: UnsafeMutablePointer<Float>?
  private let zeroPoints: UnsafeMutablePointer<Int32>?
  private let levels: RowLevels
  let rows: ProductRows

  init(_ precision: Precision, rows count: Int, columns: Int, _ levels: RowLevels, _ arena: Arena) {
    precondition(
      levels.multipliers.map { $0.columns == columns } ?? true,
      "\(levels.multipliers?.columns ?? 0) multipliers for \(columns) columns")
    kernel = precision.kernel
    self.levels = levels
    let stride = Arena.spacedStride(kernel.rowBytes(columns))
    base = arena.bytes(count * stride)
    if precision == .int8 {
      factors = arena.bytes(4 * count).bindMemory(to: Float.self, capacity: count)
      zeroPoints = arena.bytes(4 * count).bindMemory(to: Int32.self, capacity: count)
    } else {
      (factors, zeroPoints) = (nil, nil)
    }
    rows = ProductRows(
      precision, rows: count, columns: columns, base: base, rowStride: stride,
      factors: factors.map { UnsafePointer($0) }, zeroPoints: zeroPoints.map { UnsafePointer($0) })
  }

  /// Converts rows to those from `first` on.
  func convert(_ x: MatrixView, to first: Int) {
    let target = base + first * rows.rowStride
    if let factors, let zeroPoints {
      var levels = levels.cLevels
      Operations.active.quantize(
        x.base, x.rowStride, x.rows, x.columns, &levels, kernel.element, target, rows.rowStride,
        factors + first, zeroPoints + first)
    } else {
      Operations.active.round_to_bfloat16(
        x.base, x.rowStride, x.rows, x.columns, kernel.element, target, rows.rowStride)
    }
  }
}
