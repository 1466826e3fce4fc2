import CKernels

/// Queries [B·Nq, H·Hk], keys [B·N, H·Hk] and values [B·N, H·Hv] of B images, one image's rows after the other's.
public enum AttentionInput: Sendable {
  case floats(queries: MatrixView, keys: MatrixView, values: MatrixView)
  /// Where `Compute.attendsInHalves`.
  case halves(queries: HalfMatrixView, keys: HalfMatrixView, values: HalfMatrixView)
}

/// Where the outputs of the heads [B·Nq, H·Hv] go, side by side.
public enum AttentionOutput: Sendable {
  case floats(MutableMatrixView)
  case halves(HalfMatrixView)
}

extension Compute {
  /// Bytes of scores computed at a time and thread, or those of some rows. Of float32 they stay in or near a core's first-level cache; products of
  /// bfloat16 take so little time that fewer, larger ones are faster: they stay in the second-level cache with the keys and values of a head.
  static func scoreBytes(_ precision: Precision) -> Int { precision == .fp32 ? 48 * 1024 : 256 * 1024 }

  /// Whether attention can run on bfloat16 with heads of this size.
  public static func attendsInHalves(headDim: Int) -> Bool { Precision.bf16.isNative && headDim % 2 == 0 }

  /// Multi-head attention: out = softmax(scale · q · kᵀ) · v for each image and head.
  ///
  /// Queries, keys and values are read where they lie. The keys and values of a head are packed as the products want them, and a
  /// block of queries at a time goes through scores, softmax and values, all in cache. Source: Vaswani et al., "Attention Is All
  /// You Need", arXiv:1706.03762, eq. 1.
  /// - Parameters:
  ///   - input: in self-attention Nq = N; in attention pooling it is the number of latents.
  ///   - images: B
  ///   - numHeads: H; each row holds the heads one after the other.
  ///   - scale: above 0; nil for 1 / sqrt(Hk).
  ///   - probabilities: receives the softmax's output, [B·H·Nq, N], images outermost; nil if unwanted.
  ///   - arena: scratch for one head's keys and values and a block of scores for each thread.
  public func attention(
    _ input: AttentionInput, images: Int = 1, numHeads: Int, scale: Float? = nil, into out: AttentionOutput,
    probabilities: MutableMatrixView? = nil, arena: Arena
  ) {
    let shape = AttentionShape(input, out, images: images, numHeads: numHeads, probabilities)
    guard shape.numQueries > 0 && images > 0 else { return }
    let operations =
      2 * images * numHeads * shape.numQueries * shape.numKeys * (shape.keySize + shape.valueSize)
    let pool = operations >= Cost.ofSplitting ? pool : nil
    let threads = pool?.threadCount ?? 1

    // As many query rows as fit a block, and two pieces of work for each thread at least.
    let scoreStride = Arena.spacedStride(4 * shape.numKeys)
    let blocks = max(
      ceilingOfQuotient(shape.numQueries, max(28, Compute.scoreBytes(shape.precision) / scoreStride)),
      min(shape.numQueries, threads > 1 ? ceilingOfQuotient(2 * threads, images * numHeads) : 1))
    let blockRows = ceilingOfQuotient(shape.numQueries, blocks)
    let scale = scale ?? 1 / Float(max(1, shape.keySize)).squareRoot()
    precondition(scale > 0, "attention with a scale of \(scale)")

    arena.scope {
      let lanes = (0..<threads).map { _ in
        AttentionLane(shape, blockRows: blockRows, scoreStride: scoreStride, scale: scale, arena)
      }
      let run = { @Sendable (item: Int, lane: Int) in
        let (head, block) = item.quotientAndRemainder(dividingBy: blocks)
        let start = min(shape.numQueries, block * blockRows)
        lanes[lane].attend(
          image: head / numHeads, head: head % numHeads,
          queries: start..<min(shape.numQueries, start + blockRows))
      }
      if let pool {
        pool.forEachLane(images * numHeads * blocks, run)
      } else {
        for item in 0..<images * numHeads * blocks { run(item, 0) }
      }
    }
  }
}

/// The matrices of one attention, as C sees them, and their dimensions.
private struct AttentionShape: @unchecked Sendable {
  struct Matrix {
    let base: UnsafeRawPointer
    let rows: Int
    let columns: Int
    /// In elements.
    let stride: Int

    init(_ view: MatrixView) {
      (base, rows, columns, stride) = (UnsafeRawPointer(view.base), view.rows, view.columns, view.rowStride)
    }

    init(_ view: HalfMatrixView) {
      (base, rows, columns, stride) = (UnsafeRawPointer(view.base), view.rows, view.columns, view.rowStride)
    }
  }

  let queries: Matrix
  let keys: Matrix
  let values: Matrix
  let out: Matrix
  let probabilities: MutableMatrixView?
  /// Of queries, keys and values.
  let isHalf: Bool
  let storesHalves: Bool
  let numHeads: Int
  /// Nq, N
  let numQueries: Int
  let numKeys: Int
  /// Hk, Hv
  let keySize: Int
  let valueSize: Int

  init(
    _ input: AttentionInput, _ output: AttentionOutput, images: Int, numHeads: Int,
    _ probabilities: MutableMatrixView?
  ) {
    switch input {
    case .floats(let queries, let keys, let values):
      (self.queries, self.keys, self.values) = (Matrix(queries), Matrix(keys), Matrix(values))
      isHalf = false
    case .halves(let queries, let keys, let values):
      (self.queries, self.keys, self.values) = (Matrix(queries), Matrix(keys), Matrix(values))
      isHalf = true
    }
    switch output {
    case .floats(let view): (out, storesHalves) = (Matrix(view.view), false)
    case .halves(let view): (out, storesHalves) = (Matrix(view), true)
    }
    precondition(
      queries.columns == keys.columns && keys.rows == values.rows && images > 0 && keys.rows % images == 0
        && queries.rows % images == 0,
      """
      attention: queries [\(queries.rows), \(queries.columns)], keys [\(keys.rows), \(keys.columns)] and values \
      [\(values.rows), \(values.columns)] of \(images) images do not fit each other
      """)
    precondition(
      out.rows == queries.rows && out.columns == values.columns,
      "attention: \(queries.rows) queries of \(values.columns) values do not fit [\(out.rows), \(out.columns)]"
    )
    precondition(
      numHeads > 0 && keys.columns % numHeads == 0 && values.columns % numHeads == 0,
      "attention: \(keys.columns) and \(values.columns) columns cannot be cut into \(numHeads) heads")
    (numQueries, numKeys) = (queries.rows / images, keys.rows / images)
    (keySize, valueSize) = (keys.columns / numHeads, values.columns / numHeads)
    precondition(
      !isHalf || Compute.attendsInHalves(headDim: keySize), "attention on bfloat16 with heads of \(keySize)")
    self.numHeads = numHeads
    self.probabilities = probabilities
    if let probabilities {
      precondition(
        probabilities.rows == numHeads * queries.rows && probabilities.columns == numKeys,
        """
        attention: \(numHeads) heads of \(queries.rows) queries and \(numKeys) keys do not fit probabilities \
        [\(probabilities.rows), \(probabilities.columns)]
        """)
    }
  }

  var precision: Precision { isHalf ? .bf16 : .fp32 }
}

/// What one thread needs: a head's packed keys and values, and the scores of a block of queries.
private final class AttentionLane: @unchecked Sendable {
  private let shape: AttentionShape
  private let scale: Float
  private let kernel: ckernels_product_kernel
  private let elementBytes: Int
  private let keyPanels: UnsafeMutableRawPointer
  private let valuePanels: UnsafeMutableRawPointer
  private let scores: MutableMatrixView
  private let reciprocals: UnsafeMutablePointer<Float>
  /// The image and head that are packed.
  private var packed = (image: -1, head: -1)

  init(_ shape: AttentionShape, blockRows: Int, scoreStride: Int, scale: Float, _ arena: Arena) {
    self.shape = shape
    self.scale = scale
    kernel = shape.precision.kernel
    elementBytes = shape.isHalf ? 2 : 4
    keyPanels = arena.bytes(
      kernel.panelCount(outputs: shape.numKeys) * kernel.panelBytes(inner: shape.keySize))
    valuePanels = arena.bytes(
      kernel.panelCount(outputs: shape.valueSize) * kernel.panelBytes(inner: shape.numKeys))
    scores = arena.spacedMatrix(rows: blockRows, columns: shape.numKeys)
    reciprocals = arena.bytes(4 * blockRows).bindMemory(to: Float.self, capacity: blockRows)
  }

  /// Attention of some of a head's queries.
  func attend(image: Int, head: Int, queries: Range<Int>) {
    pack(image: image, head: head)
    let target: MutableMatrixView
    if let probabilities = shape.probabilities {
      let first = (image * shape.numHeads + head) * shape.numQueries + queries.lowerBound
      target = probabilities[first..<first + queries.count, 0..<shape.numKeys]
    } else {
      target = scores[0..<queries.count, 0..<shape.numKeys]
    }
    let firstQuery = image * shape.numQueries + queries.lowerBound
    var score = ckernels_product(
      rows: queries.count, inner: shape.keySize, outputs: shape.numKeys,
      x: shape.queries.base + (firstQuery * shape.queries.stride + head * shape.keySize) * elementBytes,
      x_stride: shape.queries.stride * elementBytes, factors: nil, zero_points: nil,
      panels: UnsafeRawPointer(keyPanels), scales: nil, sums: nil, bias: nil, activation: CKERNELS_IDENTITY,
      gamma: nil, out: UnsafeMutableRawPointer(target.base), out_stride: target.rowStride,
      store: CKERNELS_STORE_FLOAT32)
    kernel.multiply(&score)

    let (rows, stride, factors) = weights(target)
    let outBytes = shape.storesHalves ? 2 : 4
    var sum = ckernels_product(
      rows: queries.count, inner: shape.numKeys, outputs: shape.valueSize, x: rows, x_stride: stride,
      factors: factors, zero_points: nil, panels: UnsafeRawPointer(valuePanels), scales: nil, sums: nil,
      bias: nil,
      activation: CKERNELS_IDENTITY, gamma: nil,
      out: UnsafeMutableRawPointer(
        mutating: shape.out.base + (firstQuery * shape.out.stride + head * shape.valueSize) * outBytes),
      out_stride: shape.out.stride,
      store: shape.storesHalves ? CKERNELS_STORE_BFLOAT16 : CKERNELS_STORE_FLOAT32)
    kernel.multiply(&sum)
  }

  /// Scores become what the values are multiplied with: exponentials, whose sums come in as factors afterwards; where somebody
  /// asked for the probabilities, these.
  private func weights(
    _ scores: MutableMatrixView
  ) -> (rows: UnsafeRawPointer, stride: Int, factors: UnsafePointer<Float>?) {
    let element = kernel.element
    guard shape.probabilities != nil else {
      Operations.active.exponentials(
        scores.base, scores.rowStride, scores.rows, scores.columns, scale, element, reciprocals)
      return (UnsafeRawPointer(scores.base), 4 * scores.rowStride, UnsafePointer(reciprocals))
    }
    Compute.softmax(rows: 0..<scores.rows, of: scores, scale: scale)
    guard shape.isHalf else { return (UnsafeRawPointer(scores.base), 4 * scores.rowStride, nil) }
    let rounded = self.scores
    Operations.active.round_to_bfloat16(
      scores.base, scores.rowStride, scores.rows, scores.columns, element, rounded.base, 4 * rounded.rowStride
    )
    return (UnsafeRawPointer(rounded.base), 4 * rounded.rowStride, nil)
  }

  private func pack(image: Int, head: Int) {
    guard packed != (image, head) else { return }
    packed = (image, head)
    let row = image * shape.numKeys
    let keys = shape.keys.base + (row * shape.keys.stride + head * shape.keySize) * elementBytes
    let values = shape.values.base + (row * shape.values.stride + head * shape.valueSize) * elementBytes
    if shape.isHalf {
      ckernels_pack_rows_bfloat16(
        kernel.layout, keys.assumingMemoryBound(to: UInt16.self), shape.keys.stride, shape.numKeys,
        shape.keySize,
        keyPanels)
      ckernels_pack_columns_bfloat16(
        kernel.layout, values.assumingMemoryBound(to: UInt16.self), shape.values.stride, shape.valueSize,
        shape.numKeys, valuePanels)
    } else {
      ckernels_pack_rows(
        kernel.layout, keys.assumingMemoryBound(to: Float.self), shape.keys.stride, shape.numKeys,
        shape.keySize,
        keyPanels)
      ckernels_pack_columns(
        kernel.layout, values.assumingMemoryBound(to: Float.self), shape.values.stride, shape.valueSize,
        shape.numKeys, valuePanels)
    }
  }
}

func ceilingOfQuotient(_ a: Int, _ b: Int) -> Int {
  (a + b - 1) / b
}
