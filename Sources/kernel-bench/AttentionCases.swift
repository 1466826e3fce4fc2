import Kernels

/// The attention of the images of a batch, from the rows [N, 3D] of queries, keys and values side by side.
enum AttentionCases {
  static func all(_ setting: Setting) -> [Case] {
    [("ViT-Ti", 3, 197), ("ViT-S", 6, 197), ("ViT-B", 12, 197), ("DINOv2-S 518", 6, 1370)].map {
      model, heads, tokens in
      let dim = 64 * heads
      return Case(
        name: "\(model) attention \(setting.batchSize) x [\(tokens), \(heads) x 64]",
        operations: 4 * Double(setting.batchSize) * Double(tokens * tokens * dim),
        contestants: contestants(tokens, dim, heads, setting))
    }
  }

  /// New kernels are added here.
  private static func contestants(_ tokens: Int, _ dim: Int, _ heads: Int, _ setting: Setting) -> [Contestant]
  {
    [
      Contestant(name: "attention", precision: .fp32) { compute in
        let rows = tokens * setting.batchSize
        let (qkv, out, arena) = (Operand(rows, 3 * dim), Operand(rows, dim), Scratch())
        return {
          for image in 0..<setting.batchSize {
            let rows = image * tokens..<(image + 1) * tokens
            let (q, k, v) = (
              qkv.matrix[rows, 0..<dim], qkv.matrix[rows, dim..<2 * dim], qkv.matrix[rows, 2 * dim..<3 * dim]
            )
            compute.attention(
              queries: q.view, keys: k.view, values: v.view, numHeads: heads, into: out.matrix[rows, 0..<dim],
              probabilities: nil, arena: arena.arena)
          }
        }
      }
    ]
  }

  /// An arena that belongs to one copy, and is used by one thread at a time.
  private final class Scratch: @unchecked Sendable {
    let arena = Arena()
  }
}
