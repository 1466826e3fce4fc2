import Kernels

/// Somebody who looks at what the blocks' tokens attend to.
///
/// The heads of a block are shown one after the other, block by block, so that no more than some heads' matrices are ever in
/// memory. Blocks that are not asked for run as they do where nobody looks.
public struct AttentionObserver {
  /// Indices of the blocks that are looked at.
  public let layers: Range<Int>
  let visit: (HeadAttention) -> Void

  /// - Parameters:
  ///   - layers: indices of the blocks to look at.
  ///   - visit: called for each head of each image of these blocks: blocks in order, then branches, then some heads of all images at
  ///     a time, the heads of each image in order.
  public init(layers: Range<Int>, visit: @escaping (HeadAttention) -> Void) {
    (self.layers, self.visit) = (layers, visit)
  }

  /// What shows the heads of a block; nil where nobody looks.
  func showing(_ layer: Int) -> BlockWalk.ShowAttention? {
    guard layers.contains(layer) else { return nil }
    return { branch, image, head, probabilities in
      visit(
        HeadAttention(
          layer: layer, branch: branch, image: image, head: head, probabilities: probabilities))
    }
  }
}

/// What each token of an image attends to in one head.
public struct HeadAttention {
  /// Index of the block.
  public let layer: Int
  /// Index of the attention in a block that has several side by side (`parallel_things`); else 0.
  public let branch: Int
  /// Index of the image in the batch.
  public let image: Int
  public let head: Int
  /// [N, N], a row for each query, which sums to 1. Of differential attention the difference of both softmaxes, as the values are
  /// weighted with: its rows sum to 1 - lambda, and elements may be negative. Valid while the visitor runs.
  public let probabilities: MatrixView
}

extension AttentionInput {
  /// The given rows and columns of queries, keys and values: some heads of some images.
  subscript(rows: Range<Int>, columns: Range<Int>) -> AttentionInput {
    switch self {
    case .floats(let queries, let keys, let values):
      .floats(queries: queries[rows, columns], keys: keys[rows, columns], values: values[rows, columns])
    case .halves(let queries, let keys, let values):
      .halves(queries: queries[rows, columns], keys: keys[rows, columns], values: values[rows, columns])
    }
  }
}

extension AttentionOutput {
  subscript(rows: Range<Int>, columns: Range<Int>) -> AttentionOutput {
    switch self {
    case .floats(let heads): .floats(heads[rows, columns])
    case .halves(let heads): .halves(heads[rows, columns])
    }
  }
}
