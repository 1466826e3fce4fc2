import CKernels

/// How the operations of one forward pass run: on the caller's thread alone, or split over a pool.
///
/// Matrices and vectors are float32. Shapes that do not fit each other are the programmer's error and stop
/// the program; empty matrices are fine. Outputs must not overlap inputs unless an operation says so.
public struct Compute: Sendable {
  let pool: ThreadPool?

  /// - Parameter pool: the threads to split each operation over; nil computes on the caller's thread.
  public init(pool: ThreadPool? = nil) {
    self.pool = pool
  }

  /// Threads that work on an operation.
  public var threadCount: Int { pool?.threadCount ?? 1 }

  /// Layer normalisation of each row, then an affine map.
  ///
  /// Source: Ba, Kiros, Hinton, "Layer Normalization", arXiv:1607.06450, eq. 4.
  /// - Parameters:
  ///   - x: [R, D].
  ///   - gamma: scale [D]; nil for 1.
  ///   - beta: shift [D]; nil for 0.
  ///   - epsilon: added to the (biased) variance.
  ///   - out: [R, D]; may be `x`.
  public func layerNorm(
    _ x: MatrixView, gamma: UnsafePointer<Float>?, beta: UnsafePointer<Float>?, epsilon: Float,
    into out: MutableMatrixView
  ) {
    checkSameShape(x, out, "layerNorm")
    let (gamma, beta) = (SharedVector(gamma), SharedVector(beta))
    split(out.rows, work: out.rows * out.columns * Cost.element) { rows in
      Operations.active.layer_norm(
        x.base + rows.lowerBound * x.rowStride, x.rowStride,
        out.base + rows.lowerBound * out.rowStride, out.rowStride,
        rows.count, out.columns, gamma.base, beta.base, epsilon)
    }
  }

  /// x / sqrt(mean(x²) + epsilon) · gamma of each row.
  ///
  /// Source: Zhang, Sennrich, "Root Mean Square Layer Normalization", arXiv:1910.07467, eq. 4; PyTorch's `rms_norm`.
  /// - Parameters:
  ///   - x: [R, D].
  ///   - gamma: scale [D]; nil for 1.
  ///   - epsilon: added to the mean of squares.
  ///   - out: [R, D]; may be `x`.
  public func rmsNorm(
    _ x: MatrixView, gamma: UnsafePointer<Float>?, epsilon: Float, into out: MutableMatrixView
  ) {
    checkSameShape(x, out, "rmsNorm")
    let gamma = SharedVector(gamma)
    split(out.rows, work: out.rows * out.columns * Cost.element) { rows in
      Operations.active.rms_norm(
        x.base + rows.lowerBound * x.rowStride, x.rowStride,
        out.base + rows.lowerBound * out.rowStride, out.rowStride,
        rows.count, out.columns, gamma.base, epsilon)
    }
  }

  /// softmax(scale · x) of each row, in place.
  ///
  /// -inf becomes 0; a row with a NaN or +inf, or of -inf alone, becomes all NaN.
  /// - Parameters:
  ///   - x: [R, C].
  ///   - scale: above 0.
  public func softmax(_ x: MutableMatrixView, scale: Float = 1) {
    split(x.rows, work: x.rows * x.columns * Cost.exponential) { rows in
      Compute.softmax(rows: rows, of: x, scale: scale)
    }
  }

  static func softmax(rows: Range<Int>, of x: MutableMatrixView, scale: Float) {
    precondition(scale > 0, "softmax with a scale of \(scale)")
    Operations.active.softmax(
      x.base + rows.lowerBound * x.rowStride, x.rowStride, rows.count, x.columns, scale)
  }

  // MARK: - Splitting

  /// Rough costs in floating-point operations, for deciding whether splitting pays.
  enum Cost {
    /// Handing work to the other threads and waiting for them: some 10 µs.
    static let ofSplitting = 1_000_000
    /// One element of a normalisation or an addition, bound by memory.
    static let element = 16
    /// One element with an exponential.
    static let exponential = 32
  }

  /// Calls `body` with ranges that together make 0..<`count`, one for each thread; with one range if the
  /// `work` (in floating-point operations) is too little to share.
  func split(_ count: Int, work: Int, _ body: @Sendable (Range<Int>) -> Void) {
    guard count > 0 else { return }
    guard let pool, pool.threadCount > 1, work >= Cost.ofSplitting else {
      body(0..<count)
      return
    }
    let parts = min(pool.threadCount, count)
    pool.forEach(parts) { part in body(count * part / parts..<count * (part + 1) / parts) }
  }

  /// Rows that go through the layers of a block together: what is made of them on the way stays in cache, and the weights are
  /// read often enough to pay for reading them.
  static let rowBlock = 224

  /// Calls `body` with blocks of rows that together make 0..<`rows`, all threads at work at the same time. Operations inside run
  /// on the thread that calls them.
  /// - Parameters:
  ///   - arenas: scratch memory, one for each thread; `body` receives the one of its thread, in a scope, and the thread's number:
  ///     0 is the caller's.
  public func forEachRowBlock(
    _ rows: Int, arenas: Arenas, _ body: @Sendable (_ rows: Range<Int>, _ arena: Arena, _ lane: Int) -> Void
  ) {
    let threads = pool?.threadCount ?? 1
    let blocks = max(1, min(rows, threads * ceilingOfQuotient(rows, threads * Compute.rowBlock)))
    @Sendable func run(_ block: Int, _ lane: Int) {
      let arena = arenas[lane]
      arena.scope { body(rows * block / blocks..<rows * (block + 1) / blocks, arena, lane) }
    }
    if let pool {
      pool.forEachLane(blocks, run)
    } else {
      for block in 0..<blocks { run(block, 0) }
    }
  }
}

/// An arena for each thread of a pool.
public final class Arenas: @unchecked Sendable {
  private let arenas: [Arena]

  public init(threads: Int) {
    arenas = (0..<max(1, threads)).map { _ in Arena() }
  }

  /// The arena of the thread of that number, for that thread alone.
  public subscript(lane: Int) -> Arena { arenas[lane] }
}
