import Kernels

/// Multi-head attention, forward and backward. Probabilities are not kept: the backward pass computes them again, a head at a time.
///
/// Source: Vaswani et al., arXiv:1706.03762, eq. 1.
extension ShardPass {
  /// - Parameters:
  ///   - x: [R, D], R = B · N.
  ///   - saved: receives queries, keys and values before their norms [R, 3D], and the heads' outputs [Q, D], Q = B · `numQueries`.
  ///   - out: receives the branch [Q, D].
  func attend(
    _ x: MatrixView, _ layer: ModelSlots.Attention, block: Int, saving saved: BlockActivations,
    into out: MutableMatrixView
  ) {
    linear(x, layer.qkv, into: saved.qkv)
    arena.scope {
      let qkv = normedHeads(saved.qkv, layer)
      forEachHead(of: qkv, saved.heads) { sample, head, qkv, output in
        arena.scope {
          let probabilities = probabilities(qkv)
          dropout?.apply(
            rates.attention, .attention(block: block, head: head), sample: sample, to: probabilities)
          products.multiply(probabilities.view, qkv.values, into: output)
        }
      }
    }
    arena.scope {
      let heads = layer.outputNorm.map { normalized(saved.heads.view, $0) } ?? saved.heads.view
      linear(heads, layer.projection, into: out)
    }
    dropout?.apply(rates.projection, .projection(block: block), batch: batch, to: out)
  }

  /// - Parameters:
  ///   - x: the branch's input [R, D].
  ///   - dy: gradient of its output [Q, D], from before the dropout behind the projection.
  ///   - dx: receives the gradient of its input [R, D].
  func attentionBackward(
    _ x: MatrixView, _ layer: ModelSlots.Attention, block: Int, saved: BlockActivations, _ dy: MatrixView,
    into dx: MutableMatrixView
  ) {
    arena.scope {
      let dHeads = arena.matrix(rows: dy.rows, columns: dy.columns)
      arena.scope {
        let heads = layer.outputNorm.map { normalized(saved.heads.view, $0) } ?? saved.heads.view
        linearBackward(heads, layer.projection, dy, into: dHeads)
        if let norm = layer.outputNorm {
          normBackward(saved.heads.view, norm, dHeads.view, into: dHeads, adding: false)
        }
      }
      let (rows, d) = (0..<x.rows, x.columns)
      let gradient = arena.matrix(rows: x.rows, columns: 3 * d)
      if dHeads.rows < x.rows {
        for row in rows { gradient[rows, 0..<d].row(row).update(repeating: 0) }
      }
      arena.scope {
        let qkv = normedHeads(saved.qkv, layer)
        forEachHead(of: qkv, dHeads) { sample, head, qkv, dOutput in
          let target = HeadRows(
            gradient, rows: qkv.rows, numQueries: qkv.queries.rows, head: head, width: qkv.width)
          scoresBackward(qkv, dOutput.view, block: block, head: head, sample: sample, into: target)
        }
      }
      headNormBackward(saved.qkv.view[rows, 0..<d], layer.queryNorm, gradient[rows, 0..<d])
      headNormBackward(saved.qkv.view[rows, d..<2 * d], layer.keyNorm, gradient[rows, d..<2 * d])
      linearBackward(x, layer.qkv, gradient.view, into: dx)
    }
  }

  /// The gradients of one head's queries, keys and values.
  private func scoresBackward(
    _ qkv: HeadRows, _ dOutput: MatrixView, block: Int, head: Int, sample: Int, into target: HeadRows
  ) {
    arena.scope {
      let p = probabilities(qkv)
      let dp = arena.matrix(rows: p.rows, columns: p.columns)
      products.multiplyTransposed(dOutput, qkv.values, into: dp)
      attentionObserver?(block, sample, head, p.view, dp.view)
      if rates.attention > 0, let dropout {
        let site = Dropout.Site.attention(block: block, head: head)
        dropout.apply(rates.attention, site, sample: sample, to: dp)
        let dropped = arena.matrix(rows: p.rows, columns: p.columns)
        dropped.copy(from: p.view)
        dropout.apply(rates.attention, site, sample: sample, to: dropped)
        products.multiplyTransposing(dropped.view, dOutput, into: target.mutableValues)
      } else {
        products.multiplyTransposing(p.view, dOutput, into: target.mutableValues)
      }
      Backward.softmax(p.view, dp, scale: qkv.scale)
      products.multiply(dp.view, qkv.keys, into: target.mutableQueries)
      products.multiplyTransposing(dp.view, qkv.queries, into: target.mutableKeys)
    }
  }

  /// softmax(scale · q · kᵀ), [queries, N]
  private func probabilities(_ qkv: HeadRows) -> MutableMatrixView {
    let scores = arena.matrix(rows: qkv.queries.rows, columns: qkv.keys.rows)
    products.multiplyTransposed(qkv.queries, qkv.keys, into: scores)
    Elementwise.softmax(scores, scale: qkv.scale)
    return scores
  }

  /// Queries, keys and values with their norms: the saved ones where there are none.
  private func normedHeads(_ qkv: MutableMatrixView, _ layer: ModelSlots.Attention) -> MutableMatrixView {
    guard layer.queryNorm != nil || layer.keyNorm != nil else { return qkv }
    let (rows, d) = (0..<qkv.rows, qkv.columns / 3)
    let result = arena.matrix(rows: qkv.rows, columns: qkv.columns)
    result.copy(from: qkv.view)
    normalizeHeads(result[rows, 0..<d], layer.queryNorm)
    normalizeHeads(result[rows, d..<2 * d], layer.keyNorm)
    return result
  }

  /// Calls `body` for each head of each sample, with its columns of `qkv` [R, 3D] and of `other` [Q, D].
  private func forEachHead(
    of qkv: MutableMatrixView, _ other: MutableMatrixView,
    _ body: (_ sample: Int, _ head: Int, _ qkv: HeadRows, _ other: MutableMatrixView) -> Void
  ) {
    let width = configuration.headDim
    for sample in 0..<batch {
      let (tokens, queries) = (rows(of: sample, in: qkv.rows), rows(of: sample, in: other.rows))
      for head in 0..<configuration.numHeads {
        body(
          sample, head,
          HeadRows(qkv, rows: tokens, numQueries: queries.count, head: head, width: width),
          other[queries, head * width..<(head + 1) * width])
      }
    }
  }
}

/// One head of one sample in a matrix [R, 3D] of queries, keys and values: the queries of its first tokens [queries, Hd], keys and
/// values of all [N, Hd].
private struct HeadRows {
  let mutableQueries: MutableMatrixView
  let mutableKeys: MutableMatrixView
  let mutableValues: MutableMatrixView
  let rows: Range<Int>
  let width: Int

  var queries: MatrixView { mutableQueries.view }
  var keys: MatrixView { mutableKeys.view }
  var values: MatrixView { mutableValues.view }
  var scale: Float { 1 / Float(width).squareRoot() }

  init(_ qkv: MutableMatrixView, rows: Range<Int>, numQueries: Int, head: Int, width: Int) {
    let (d, column) = (qkv.columns / 3, head * width)
    mutableQueries = qkv[rows.prefix(numQueries), column..<column + width]
    mutableKeys = qkv[rows, d + column..<d + column + width]
    mutableValues = qkv[rows, 2 * d + column..<2 * d + column + width]
    self.rows = rows
    self.width = width
  }
}
