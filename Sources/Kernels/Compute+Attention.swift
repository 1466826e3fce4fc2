extension Compute {
  /// Floats of scores computed at a time and thread: half a megabyte, which stays in a core's second-level
  /// cache. Smaller blocks cost more in packing the keys and values again (measured: 64 Ki floats are 15 %
  /// slower at N = 1,370).
  static let scoreBlock = 128 * 1024

  /// Multi-head self-attention: out = softmax(q · kᵀ / sqrt(Hd)) · v for each head, heads side by side.
  ///
  /// Queries are taken a block of rows at a time, so that scores stay in cache and scratch memory grows with
  /// N, not with N². Source: Vaswani et al., "Attention Is All You Need", arXiv:1706.03762, eq. 1.
  /// - Parameters:
  ///   - qkv: [N, 3·D], each row q, k, v; in each of them the heads one after the other, Hd = D / H floats
  ///     each.
  ///   - numHeads: H; divides D.
  ///   - out: [N, D].
  ///   - probabilities: receives the softmax's output, [H·N, N]: rows N·h to N·(h + 1) are head h's; nil if
  ///     unwanted.
  ///   - arena: scratch for scores, [rows of a block, N] for each thread; unused with `probabilities`.
  public func attention(
    qkv: MatrixView, numHeads: Int, into out: MutableMatrixView, probabilities: MutableMatrixView?,
    arena: Arena
  ) {
    let shape = AttentionShape(qkv, numHeads, out, probabilities)
    guard shape.tokens > 0 && shape.embedding > 0 else { return }
    let operations = 4 * shape.tokens * shape.tokens * shape.embedding
    let pool = operations >= Cost.ofSplitting ? pool : nil
    let threads = pool?.threadCount ?? 1

    // As many query rows as fit a block, and two pieces of work for each thread at least.
    let blocks = max(
      ceilingOfQuotient(shape.tokens, max(16, Compute.scoreBlock / shape.tokens)),
      min(shape.tokens, threads > 1 ? ceilingOfQuotient(2 * threads, numHeads) : 1))
    let blockRows = ceilingOfQuotient(shape.tokens, blocks)

    arena.scope {
      let scratch =
        probabilities == nil ? arena.matrix(rows: threads * blockRows, columns: shape.tokens) : nil
      let run = { @Sendable (item: Int, lane: Int) in
        let head = item / blocks
        let start = min(shape.tokens, item % blocks * blockRows)
        let rows = start..<min(shape.tokens, start + blockRows)
        // One of the two matrices is there.
        guard let target = probabilities ?? scratch else { return }
        let first = probabilities == nil ? lane * blockRows : head * shape.tokens + start
        let scores = target[first..<first + rows.count, 0..<shape.tokens]
        shape.attend(head: head, rows: rows, qkv: qkv, scores: scores, into: out)
      }
      if let pool {
        pool.forEachLane(numHeads * blocks, run)
      } else {
        for item in 0..<numHeads * blocks { run(item, 0) }
      }
    }
  }
}

/// Where the pieces of one attention lie.
private struct AttentionShape: Sendable {
  /// N
  let tokens: Int
  /// D
  let embedding: Int
  /// Hd
  let headSize: Int

  init(_ qkv: MatrixView, _ numHeads: Int, _ out: MutableMatrixView, _ probabilities: MutableMatrixView?) {
    precondition(
      qkv.columns == 3 * out.columns && qkv.rows == out.rows,
      "attention: qkv [\(qkv.rows), \(qkv.columns)] does not fit [\(out.rows), \(out.columns)]")
    precondition(
      numHeads > 0 && out.columns % numHeads == 0,
      "attention: an embedding of \(out.columns) cannot be cut into \(numHeads) heads")
    if let probabilities {
      precondition(
        probabilities.rows == numHeads * qkv.rows && probabilities.columns == qkv.rows,
        "attention: \(numHeads) heads of \(qkv.rows) tokens do not fit probabilities "
          + "[\(probabilities.rows), \(probabilities.columns)]")
    }
    (tokens, embedding, headSize) = (qkv.rows, out.columns, out.columns / numHeads)
  }

  /// Attention of the query `rows` of one head; `scores` [rows, N] holds the probabilities afterwards.
  func attend(
    head: Int, rows: Range<Int>, qkv: MatrixView, scores: MutableMatrixView, into out: MutableMatrixView
  ) {
    func columns(_ part: Int) -> Range<Int> {
      let start = part * embedding + head * headSize
      return start..<start + headSize
    }
    let queries = qkv[rows, columns(0)]
    let keys = qkv[0..<tokens, columns(1)]
    let values = qkv[0..<tokens, columns(2)]
    BLAS.multiply(queries, keys, .transposed, into: scores)
    Compute.softmax(rows: 0..<scores.rows, of: scores, scale: 1 / Float(headSize).squareRoot())
    BLAS.multiply(scores.view, values, .asIs, into: out[rows, columns(0)])
  }
}

private func ceilingOfQuotient(_ a: Int, _ b: Int) -> Int {
  (a + b - 1) / b
}
