import Kernels

/// How far attention reaches back through all blocks: the product of their attentions, each with the residual connection beside it.
///
/// With A the heads of a block fused, the block passes on (A + I) / 2, its rows normalised to a sum of 1 again after the lowest
/// entries were dropped; the rollout is the product of these over the blocks, the last one leftmost.
/// Source: Abnar, Zuidema, "Quantifying Attention Flow in Transformers", arXiv:2005.00928, section 3; fusion and discarding as in
/// Gildenblat's vit-explain, which divides by the sums of columns where this divides by those of rows.
///
/// One image at a time; keeps a matrix [N, N] for each block. Not for use from two threads at once.
public final class AttentionRollout {
  /// How the heads of a block become one matrix.
  public enum Fusion: String, CaseIterable, Sendable {
    case mean, max, min
  }

  public struct Options: Sendable, Equatable {
    public var fusion: Fusion
    /// The share of a block's N * N fused entries that is set to 0, the lowest first, from 0 to below 1. The class token's attention to
    /// itself stays.
    public var discard: Double

    public init(fusion: Fusion = .mean, discard: Double = 0) {
      precondition(discard >= 0 && discard < 1, "a share of \(discard) to discard")
      (self.fusion, self.discard) = (fusion, discard)
    }
  }

  private let options: Options
  /// N
  private let numTokens: Int
  private let hasClassToken: Bool
  /// Holds the blocks' matrices [N, N], one after the other: fused heads, and finished where it is not the last.
  private let arena = Arena()
  private var blocks: [MutableMatrixView] = []
  /// The index of the last block, and how many heads its matrix is made of so far.
  private var last = (layer: -1, numHeads: 0)

  /// - Parameter hasClassToken: whether the first token is one; elsewhere it is like all others.
  public init(numTokens: Int, hasClassToken: Bool, options: Options = Options()) {
    (self.numTokens, self.hasClassToken, self.options) = (numTokens, hasClassToken, options)
  }

  /// Begins another image.
  public func reset() {
    blocks.removeAll(keepingCapacity: true)
    arena.reset()
    last = (-1, 0)
  }

  /// Takes the next head: those of one block after those of the other. The heads of a block with several attentions side by side
  /// are fused as one.
  public func add(_ attention: HeadAttention) {
    add(attention.probabilities, layer: attention.layer)
  }

  /// The same of a matrix [N, N].
  package func add(_ probabilities: MatrixView, layer: Int) {
    precondition(
      probabilities.rows == numTokens && probabilities.columns == numTokens,
      "attention [\(probabilities.rows), \(probabilities.columns)] of \(numTokens) tokens")
    if layer != last.layer {
      finishBlock()
      let block = arena.matrix(rows: numTokens, columns: numTokens)
      block.copy(from: probabilities)
      blocks.append(block)
      last = (layer, 1)
      return
    }
    guard let block = blocks.last else { return }
    last.numHeads += 1
    for index in 0..<numTokens {
      let (fused, head) = (block.row(index), probabilities.row(index))
      switch options.fusion {
      case .mean: for column in fused.indices { fused[column] += head[column] }
      case .max: for column in fused.indices { fused[column] = Swift.max(fused[column], head[column]) }
      case .min: for column in fused.indices { fused[column] = Swift.min(fused[column], head[column]) }
      }
    }
  }

  /// The rows of the rollout: weights [Q, N] times the product of all blocks.
  /// - Parameter weights: one row for each query, such as that of `AttentionQuery.weights`; the image's heads have all been added.
  /// - Returns: [Q, N], row after row.
  public func rows(_ weights: [Float]) -> [Float] {
    finishBlock()
    let count = weights.count / max(1, numTokens)
    precondition(weights.count == count * numTokens, "\(weights.count) weights of \(numTokens) tokens")
    return arena.scope {
      var (rows, other) = (
        arena.matrix(rows: count, columns: numTokens), arena.matrix(rows: count, columns: numTokens)
      )
      for index in 0..<count {
        _ = rows.row(index).update(fromContentsOf: weights[index * numTokens..<(index + 1) * numTokens])
      }
      for block in blocks.reversed() {
        Compute.multiply(.asIs(rows.view), .asIs(block.view), into: other, arena: arena)
        swap(&rows, &other)
      }
      return (0..<count).flatMap { Array(rows.row($0)) }
    }
  }

  /// Makes the fused heads of the last block what the block passes on.
  private func finishBlock() {
    guard let block = blocks.last, last.numHeads > 0 else { return }
    if options.fusion == .mean { scale(block, by: 1 / Float(last.numHeads)) }
    last.numHeads = 0
    let dropped = Int(Double(numTokens * numTokens) * options.discard)
    if dropped > 0 { LowestValues.zero(dropped, of: block, keepingFirst: hasClassToken) }
    for index in 0..<numTokens {
      let row = block.row(index)
      // (A + I) / 2 by its sum: the half falls out.
      row[index] += 1
      var sum = 0.0
      for column in row.indices { sum += Double(row[column]) }
      let factor = Float(1 / sum)
      for column in row.indices { row[column] *= factor }
    }
  }

  private func scale(_ matrix: MutableMatrixView, by factor: Float) {
    for index in 0..<matrix.rows {
      let row = matrix.row(index)
      for column in row.indices { row[column] *= factor }
    }
  }
}

/// The lowest entries of a matrix that has none below 0.
enum LowestValues {
  /// Sets the `count` lowest entries to 0; of equal ones the first. They are found by counting bit patterns, which grow with the
  /// number: no sort, and the same result whatever the order.
  static func zero(_ count: Int, of matrix: MutableMatrixView, keepingFirst: Bool) {
    let (high, below) = bin(of: count, in: matrix) { $0 >> 16 }
    let (low, lower) = bin(of: count - below, in: matrix) { $0 >> 16 == high ? $0 & 0xFFFF : nil }
    let threshold = high << 16 | low
    // As many of those at the threshold as complete the count.
    var equal = count - below - lower
    for index in 0..<matrix.rows {
      let row = matrix.row(index)
      for column in row.indices {
        let bits = row[column].bitPattern
        guard bits <= threshold else { continue }
        if bits == threshold {
          guard equal > 0 else { continue }
          equal -= 1
        }
        if keepingFirst, index == 0, column == 0 { continue }
        row[column] = 0
      }
    }
  }

  /// The key at or below which `count` entries lie, and how many lie below it.
  private static func bin(
    of count: Int, in matrix: MutableMatrixView, key: (UInt32) -> UInt32?
  ) -> (key: UInt32, below: Int) {
    var counts = [Int](repeating: 0, count: 1 << 16)
    for index in 0..<matrix.rows {
      for value in matrix.row(index) {
        if let key = key(value.bitPattern) { counts[Int(key)] += 1 }
      }
    }
    var below = 0
    for (key, entries) in counts.enumerated() {
      if below + entries >= count { return (UInt32(key), below) }
      below += entries
    }
    return (0xFFFF, below - (counts.last ?? 0))
  }
}
