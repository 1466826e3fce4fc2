import COpenBLAS

/// OpenBLAS, the library behind the matrix products.
public enum BLAS {
  /// Version and build options of the library, and the processor that it chose its kernels for.
  public static var description: String {
    func text(_ characters: UnsafeMutablePointer<CChar>?) -> String {
      characters.map { String(cString: $0).split(separator: " ").joined(separator: " ") } ?? "unknown"
    }
    return "\(text(openblas_get_config())), kernels for \(text(openblas_get_corename()))"
  }

  /// Tells OpenBLAS to compute on the caller's thread alone. Done once, before the first product.
  static func configure() {
    _ = singleThreaded
  }

  private static let singleThreaded: Void = openblas_set_num_threads(1)

  package enum Layout {
    /// b [K, O]
    case asIs
    /// b [O, K]
    case transposed
  }

  /// out [R, O] = scale · a [R, K] · b + addend · out, on the caller's thread.
  package static func multiply(
    _ a: MatrixView, _ b: MatrixView, _ layout: Layout, scale: Float = 1, addend: Float = 0,
    into out: MutableMatrixView
  ) {
    let (inner, outputs) = layout == .asIs ? (b.rows, b.columns) : (b.columns, b.rows)
    precondition(
      a.columns == inner && out.rows == a.rows && out.columns == outputs,
      "product [\(a.rows), \(a.columns)] · [\(inner), \(outputs)] does not fit [\(out.rows), \(out.columns)]")
    guard out.rows > 0 && out.columns > 0 else { return }
    configure()
    cblas_sgemm(
      CblasRowMajor, CblasNoTrans, layout == .asIs ? CblasNoTrans : CblasTrans,
      blasint(out.rows), blasint(out.columns), blasint(inner),
      scale, a.base, leadingDimension(a.rowStride),
      b.base, leadingDimension(b.rowStride),
      addend, out.base, leadingDimension(out.rowStride))
  }

  /// out [O, K] = scale · aᵀ · b + addend · out with a [R, O] and b [R, K], on the caller's thread: the gradient of a weight.
  package static func multiplyTransposing(
    _ a: MatrixView, _ b: MatrixView, scale: Float = 1, addend: Float = 0, into out: MutableMatrixView
  ) {
    precondition(
      a.rows == b.rows && out.rows == a.columns && out.columns == b.columns,
      "product [\(a.rows), \(a.columns)]ᵀ · [\(b.rows), \(b.columns)] does not fit [\(out.rows), \(out.columns)]"
    )
    guard out.rows > 0 && out.columns > 0 else { return }
    configure()
    cblas_sgemm(
      CblasRowMajor, CblasTrans, CblasNoTrans,
      blasint(out.rows), blasint(out.columns), blasint(a.rows),
      scale, a.base, leadingDimension(a.rowStride), b.base, leadingDimension(b.rowStride),
      addend, out.base, leadingDimension(out.rowStride))
  }

  /// OpenBLAS wants at least 1, even of an empty matrix.
  private static func leadingDimension(_ rowStride: Int) -> blasint {
    blasint(max(1, rowStride))
  }
}
