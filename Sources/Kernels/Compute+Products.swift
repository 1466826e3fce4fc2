import CKernels

/// A matrix as one side of a product, perhaps with rows and columns exchanged.
public struct ProductFactor: Sendable {
  let matrix: MatrixView
  let isTransposed: Bool

  /// The matrix as it is.
  public static func asIs(_ matrix: MatrixView) -> ProductFactor {
    .init(matrix: matrix, isTransposed: false)
  }
  /// Its transpose.
  public static func transposed(_ matrix: MatrixView) -> ProductFactor {
    .init(matrix: matrix, isTransposed: true)
  }

  var rows: Int { isTransposed ? matrix.columns : matrix.rows }
  var columns: Int { isTransposed ? matrix.rows : matrix.columns }
}

/// The right side of products [K, O], packed once for several of them.
public struct PackedFactor: @unchecked Sendable {
  let precision: Precision
  /// K, O
  let inner: Int
  let outputs: Int
  fileprivate let panels: UnsafeMutableRawPointer

  /// - Parameter panels: room for `floatCount` floats, aligned to 64 bytes, that outlives the factor.
  fileprivate init(_ inner: Int, _ outputs: Int, _ precision: Precision, panels: UnsafeMutableRawPointer) {
    (self.inner, self.outputs, self.precision, self.panels) = (inner, outputs, precision, panels)
  }

  /// Room for a factor [K, O] in a buffer, from the given place on.
  public init(
    inner: Int, outputs: Int, precision: Precision, in buffer: borrowing FloatBuffer, at offset: Int
  ) {
    let count = Self.floatCount(inner: inner, outputs: outputs, precision: precision)
    precondition(
      offset >= 0 && offset + count <= buffer.count && offset % (vectorAlignment / 4) == 0,
      "\(count) floats from \(offset) on do not fit a buffer of \(buffer.count)")
    self.init(inner, outputs, precision, panels: UnsafeMutableRawPointer(buffer.base + offset))
  }

  /// Floats of room, whole cache lines.
  public static func floatCount(inner: Int, outputs: Int, precision: Precision) -> Int {
    let kernel = precision.kernel
    let bytes = kernel.panelCount(outputs: outputs) * kernel.panelBytes(inner: inner)
    return ceilingOfQuotient(bytes, vectorAlignment) * (vectorAlignment / 4)
  }

  /// Packs a matrix [K, O] in place of what was packed before.
  public func pack(_ b: ProductFactor) {
    precondition(
      b.rows == inner && b.columns == outputs,
      "[\(b.rows), \(b.columns)] is not packed as [\(inner), \(outputs)]")
    let (layout, matrix) = (precision.kernel.layout, b.matrix)
    if b.isTransposed {
      ckernels_pack_rows(layout, matrix.base, matrix.rowStride, outputs, inner, panels)
    } else {
      ckernels_pack_columns(layout, matrix.base, matrix.rowStride, outputs, inner, panels)
    }
  }
}

extension Compute {
  /// out [R, O] = a [R, K] · b [K, O] + bias, or added to what is there: a product of two matrices of which none was packed
  /// beforehand, as training needs them. On the caller's thread.
  ///
  /// An element is a sum over k in an order that depends on K and the variant of the kernels alone.
  /// - Parameters:
  ///   - precision: fp32, or bf16: both sides rounded, sums in float32.
  ///   - bias: [O]; nil for none.
  ///   - adds: whether out is added to.
  ///   - arena: scratch for the packed right side, and for the left where it is not read in place.
  public static func multiply(
    _ a: ProductFactor, _ b: ProductFactor, precision: Precision = .fp32, bias: UnsafePointer<Float>? = nil,
    adds: Bool = false, into out: MutableMatrixView, arena: Arena
  ) {
    arena.scope {
      let count = PackedFactor.floatCount(inner: b.rows, outputs: b.columns, precision: precision)
      let packed = PackedFactor(b.rows, b.columns, precision, panels: arena.bytes(4 * count))
      packed.pack(b)
      multiply(a, packed, bias: bias, adds: adds, into: out, arena: arena)
    }
  }

  /// As above, with the right side packed beforehand.
  public static func multiply(
    _ a: ProductFactor, _ b: PackedFactor, bias: UnsafePointer<Float>? = nil, adds: Bool = false,
    into out: MutableMatrixView, arena: Arena
  ) {
    precondition(
      a.columns == b.inner && out.rows == a.rows && out.columns == b.outputs,
      "product [\(a.rows), \(a.columns)] · [\(b.inner), \(b.outputs)] does not fit [\(out.rows), \(out.columns)]"
    )
    precondition(b.precision != .int8, "a product of matrices that no scale was found for, in int8")
    guard out.rows > 0 && out.columns > 0 else { return }
    arena.scope {
      let kernel = b.precision.kernel
      let x =
        a.isTransposed
        ? ProductRows(transposing: a.matrix, for: b.precision, arena: arena)
        : Compute().rows(a.matrix, for: b.precision, arena: arena)
      var product = ckernels_product(
        rows: a.rows, inner: a.columns, outputs: b.outputs, x: x.base, x_stride: x.rowStride, factors: nil,
        zero_points: nil, panels: UnsafeRawPointer(b.panels), scales: nil, sums: nil, bias: bias,
        activation: CKERNELS_IDENTITY, gamma: nil, out: UnsafeMutableRawPointer(out.base),
        out_stride: out.rowStride, store: adds ? CKERNELS_ADD_FLOAT32 : CKERNELS_STORE_FLOAT32)
      kernel.multiply(&product)
    }
  }
}
