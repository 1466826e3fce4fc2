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
    precondition(
      a.columns == b.rows && out.rows == a.rows && out.columns == b.columns,
      "product [\(a.rows), \(a.columns)] · [\(b.rows), \(b.columns)] does not fit [\(out.rows), \(out.columns)]"
    )
    precondition(precision != .int8, "a product of unpacked matrices in int8")
    guard out.rows > 0 && out.columns > 0 else { return }
    arena.scope {
      let kernel = precision.kernel
      let panels = arena.bytes(kernel.panelCount(outputs: b.columns) * kernel.panelBytes(inner: b.rows))
      if b.isTransposed {
        ckernels_pack_rows(kernel.layout, b.matrix.base, b.matrix.rowStride, b.columns, b.rows, panels)
      } else {
        ckernels_pack_columns(kernel.layout, b.matrix.base, b.matrix.rowStride, b.columns, b.rows, panels)
      }
      var left = a.matrix
      if a.isTransposed {
        let turned = arena.spacedMatrix(rows: a.rows, columns: a.columns)
        Elements.transpose(a.matrix, into: turned)
        left = turned.view
      }
      let x = Compute().rows(left, for: precision, arena: arena)
      var product = ckernels_product(
        rows: a.rows, inner: a.columns, outputs: b.columns, x: x.base, x_stride: x.rowStride, factors: nil,
        zero_points: nil, panels: UnsafeRawPointer(panels), scales: nil, sums: nil, bias: bias,
        activation: CKERNELS_IDENTITY, gamma: nil, out: UnsafeMutableRawPointer(out.base),
        out_stride: out.rowStride, store: adds ? CKERNELS_ADD_FLOAT32 : CKERNELS_STORE_FLOAT32)
      kernel.multiply(&product)
    }
  }
}
