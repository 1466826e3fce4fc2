import Kernels
import VisionTransformer

/// Which tokens a block computes, and where a sample's tokens lie.
extension ShardPass {
  /// Of each sample, how many of its first tokens a block passes on: all N, but behind the last block those alone that the heads read
  /// where the pool is the class token. All tokens have keys and values; only these have queries and go through what follows.
  func numQueries(_ block: Int) -> Int {
    block == slots.blocks.count - 1 ? configuration.numReadTokens ?? numTokens : numTokens
  }

  /// The rows of one sample in a matrix with as many rows for each.
  func rows(of sample: Int, in rowCount: Int) -> Range<Int> {
    let count = rowCount / batch
    return sample * count..<(sample + 1) * count
  }

  /// Copies as many of each sample's first tokens as `out` has room for.
  /// - Parameters:
  ///   - x: [R, D]
  ///   - out: receives [Q, D].
  func copyFirstTokens(of x: MatrixView, to out: MutableMatrixView) {
    let columns = 0..<x.columns
    for sample in 0..<batch {
      let target = rows(of: sample, in: out.rows)
      out[target, columns].copy(from: x[rows(of: sample, in: x.rows).prefix(target.count), columns])
    }
  }

  /// Backward of `copyFirstTokens`: the other tokens get 0.
  /// - Parameters:
  ///   - gradient: [Q, D]
  ///   - dx: receives [R, D].
  func spreadFirstTokens(_ gradient: MatrixView, to dx: MutableMatrixView) {
    let columns = 0..<dx.columns
    for sample in 0..<batch {
      let (source, target) = (rows(of: sample, in: gradient.rows), rows(of: sample, in: dx.rows))
      dx[target.prefix(source.count), columns].copy(from: gradient[source, columns])
      for row in target.dropFirst(source.count) { dx.row(row).update(repeating: 0) }
    }
  }
}
