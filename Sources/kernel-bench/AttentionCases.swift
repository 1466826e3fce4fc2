import Kernels

/// The attention of the images of a batch, from the rows [N, 3D] of queries, keys and values side by side.
enum AttentionCases {
  static func all(_ setting: Setting) -> [Case] {
    let models: [(name: String, heads: Int, tokens: Int)] = [
      ("ViT-Ti", 3, 197), ("ViT-S", 6, 197), ("ViT-B", 12, 197), ("DINOv2-S at 518", 6, 1370),
    ]
    return models.map { model in
      let dim = headDim * model.heads
      let contestants = setting.precisions.compactMap { precision -> Contestant? in
        switch precision {
        case .fp32: floats(model.tokens, dim, model.heads, setting)
        case .bf16:
          Compute.attendsInHalves(headDim: headDim) ? halves(model.tokens, dim, model.heads, setting) : nil
        case .int8: nil
        }
      }
      return Case(
        name: "\(model.name) attention \(setting.batchSize) x [\(model.tokens), \(model.heads) x \(headDim)]",
        operations: 4 * Double(setting.batchSize * model.tokens * model.tokens * dim),
        contestants: contestants)
    }.filter { !$0.contestants.isEmpty }
  }

  private static let headDim = 64

  private static func floats(_ tokens: Int, _ dim: Int, _ heads: Int, _ setting: Setting) -> Contestant {
    Contestant(name: "fp32", precision: .fp32) { compute in
      let rows = tokens * setting.batchSize
      let (qkv, out, scratch) = (Operand(rows, 3 * dim), Operand(rows, dim), Scratch())
      let (q, k, v) = (
        qkv.matrix[0..<rows, 0..<dim].view, qkv.matrix[0..<rows, dim..<2 * dim].view,
        qkv.matrix[0..<rows, 2 * dim..<3 * dim].view
      )
      return {
        compute.attention(
          .floats(queries: q, keys: k, values: v), images: setting.batchSize, numHeads: heads,
          into: .floats(out.matrix), arena: scratch.arena)
        withExtendedLifetime(qkv) {}
      }
    }
  }

  private static func halves(_ tokens: Int, _ dim: Int, _ heads: Int, _ setting: Setting) -> Contestant {
    Contestant(name: "bf16", precision: .bf16) { compute in
      let rows = tokens * setting.batchSize
      let scratch = Scratch()
      let source = Operand(rows, 3 * dim)
      let (qkv, out) = (
        scratch.arena.halfMatrix(rows: rows, columns: 3 * dim),
        scratch.arena.halfMatrix(rows: rows, columns: dim)
      )
      for row in 0..<rows {
        for column in 0..<3 * dim {
          let value = source.matrix.row(row)[column]
          qkv.base[row * qkv.rowStride + column] = UInt16(truncatingIfNeeded: value.bitPattern >> 16)
        }
      }
      let (q, k, v) = (
        qkv[0..<rows, 0..<dim], qkv[0..<rows, dim..<2 * dim], qkv[0..<rows, 2 * dim..<3 * dim]
      )
      return {
        compute.attention(
          .halves(queries: q, keys: k, values: v), images: setting.batchSize, numHeads: heads,
          into: .halves(out), arena: scratch.arena)
      }  // the arena is captured: what it has handed out stays
    }
  }
}
