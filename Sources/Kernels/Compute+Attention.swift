extension Compute {
  /// Floats of scores computed at a time and thread: half a megabyte, which stays in a core's second-level
  /// cache. Smaller blocks cost more in packing the keys and values again (measured: 64 Ki floats are 15 %
  /// slower at N = 1,370).
  static let scoreBlock = 128 * 1024

  /// Multi-head attention: out = softmax(scale · q · kᵀ) · v for each head, heads side by side.
  ///
  /// Queries are taken a block of rows at a time, so that scores stay in cache and scratch memory grows with
  /// N, not with N². Source: Vaswani et al., "Attention Is All You Need", arXiv:1706.03762, eq. 1.
  /// - Parameters:
  ///   - queries: [Nq, H·Hk]; in self-attention Nq = N, in attention pooling it is the number of latents.
  ///   - keys: [N, H·Hk].
  ///   - values: [N, H·Hv].
  ///   - numHeads: H; each row holds the heads one after the other.
  ///   - scale: above 0; nil for 1 / sqrt(Hk).
  ///   - out: [Nq, H·Hv].
  ///   - probabilities: receives the softmax's output, [H·Nq, N]: rows Nq·h to Nq·(h + 1) are head h's; nil if
  ///     unwanted.
  ///   - arena: scratch for scores, [rows of a block, N] for each thread; unused with `probabilities`.
  public func attention(
    queries: MatrixView, keys: MatrixView, values: MatrixView, numHeads: Int, scale: Float? = nil,
    into out: MutableMatrixView, probabilities: MutableMatrixView?, arena: Arena
  ) {
    let shape = AttentionShape(queries, keys, values, numHeads, scale, out, probabilities)
    let (numQueries, numKeys) = (shape.numQueries, shape.numKeys)
    guard numQueries > 0 else { return }
    let operations = 2 * numQueries * numKeys * (keys.columns + values.columns)
    let pool = operations >= Cost.ofSplitting ? pool : nil
    let threads = pool?.threadCount ?? 1

    // As many query rows as fit a block, and two pieces of work for each thread at least.
    let blocks = max(
      ceilingOfQuotient(numQueries, max(16, Compute.scoreBlock / max(1, numKeys))),
      min(numQueries, threads > 1 ? ceilingOfQuotient(2 * threads, numHeads) : 1))
    let blockRows = ceilingOfQuotient(numQueries, blocks)

    arena.scope {
      let scratch = probabilities == nil ? arena.matrix(rows: threads * blockRows, columns: numKeys) : nil
      let run = { @Sendable (item: Int, lane: Int) in
        let head = item / blocks
        let start = min(numQueries, item % blocks * blockRows)
        let rows = start..<min(numQueries, start + blockRows)
        // One of the two matrices is there.
        guard let target = probabilities ?? scratch else { return }
        let first = probabilities == nil ? lane * blockRows : head * numQueries + start
        let scores = target[first..<first + rows.count, 0..<numKeys]
        shape.attend(head: head, rows: rows, queries, keys, values, scores: scores, into: out)
      }
      if let pool {
        pool.forEachLane(numHeads * blocks, run)
      } else {
        for item in 0..<numHeads * blocks { run(item, 0) }
      }
    }
  }
}

/// The dimensions of one attention.
private struct AttentionShape: Sendable {
  /// Nq
  let numQueries: Int
  /// N
  let numKeys: Int
  /// Hk
  let keySize: Int
  /// Hv
  let valueSize: Int
  let scale: Float

  init(
    _ queries: MatrixView, _ keys: MatrixView, _ values: MatrixView, _ numHeads: Int, _ scale: Float?,
    _ out: MutableMatrixView, _ probabilities: MutableMatrixView?
  ) {
    precondition(
      queries.columns == keys.columns && keys.rows == values.rows,
      """
      attention: queries [\(queries.rows), \(queries.columns)], keys [\(keys.rows), \(keys.columns)] and values \
      [\(values.rows), \(values.columns)] do not fit each other
      """)
    precondition(
      out.rows == queries.rows && out.columns == values.columns,
      "attention: \(queries.rows) queries of \(values.columns) values do not fit [\(out.rows), \(out.columns)]"
    )
    precondition(
      numHeads > 0 && keys.columns % numHeads == 0 && values.columns % numHeads == 0,
      "attention: \(keys.columns) and \(values.columns) columns cannot be cut into \(numHeads) heads")
    if let probabilities {
      precondition(
        probabilities.rows == numHeads * queries.rows && probabilities.columns == keys.rows,
        """
        attention: \(numHeads) heads of \(queries.rows) queries and \(keys.rows) keys do not fit probabilities \
        [\(probabilities.rows), \(probabilities.columns)]
        """)
    }
    (numQueries, numKeys) = (queries.rows, keys.rows)
    (keySize, valueSize) = (keys.columns / numHeads, values.columns / numHeads)
    self.scale = scale ?? 1 / Float(max(1, keySize)).squareRoot()
  }

  /// Attention of the query `rows` of one head; `scores` [rows, N] holds the probabilities afterwards.
  func attend(
    head: Int, rows: Range<Int>, _ queries: MatrixView, _ keys: MatrixView, _ values: MatrixView,
    scores: MutableMatrixView, into out: MutableMatrixView
  ) {
    let (keyColumns, valueColumns) = (columns(head, keySize), columns(head, valueSize))
    BLAS.multiply(queries[rows, keyColumns], keys[0..<numKeys, keyColumns], .transposed, into: scores)
    Compute.softmax(rows: 0..<scores.rows, of: scores, scale: scale)
    BLAS.multiply(scores.view, values[0..<numKeys, valueColumns], .asIs, into: out[rows, valueColumns])
  }

  private func columns(_ head: Int, _ size: Int) -> Range<Int> {
    head * size..<(head + 1) * size
  }
}

func ceilingOfQuotient(_ a: Int, _ b: Int) -> Int {
  (a + b - 1) / b
}
