import Foundation
import Kernels
import Testing

@Suite struct AttentionTests {
  /// Absolute, for inputs of magnitude 1: scores are sums of Hd products (error below 2^-24 · sqrt(Hd) · a
  /// few), softmax turns their absolute error into a relative one, and outputs are averages of values of
  /// magnitude 1.
  static let limit = 4e-6
  /// Absolute, for probabilities: a relative error as above, of numbers that are at most 1.
  static let probabilityLimit = 2e-6

  /// Probabilities of one query [N] and its output [Hd], in double precision.
  private func reference(
    _ qkv: GuardedMatrix, heads: Int, head: Int, query: Int
  ) -> (probabilities: [Double], output: [Double]) {
    let (tokens, embedding) = (qkv.rows, qkv.columns / 3)
    let size = embedding / heads
    /// Query, key or value (part 0, 1, 2) of a token [Hd].
    func vector(_ part: Int, _ token: Int) -> [Double] {
      let start = part * embedding + head * size
      return qkv.view[token..<token + 1, start..<start + size].row(0).map(Double.init)
    }
    let queryVector = vector(0, query)
    let scores = (0..<tokens).map { token in
      zip(queryVector, vector(1, token)).reduce(0) { $0 + $1.0 * $1.1 } / Double(size).squareRoot()
    }
    let maximum = scores.max() ?? 0
    let terms = scores.map { exp($0 - maximum) }
    let sum = terms.reduce(0, +)
    let probabilities = terms.map { $0 / sum }
    var output = [Double](repeating: 0, count: size)
    for token in 0..<tokens {
      let value = vector(2, token)
      for index in 0..<size { output[index] += probabilities[token] * value[index] }
    }
    return (probabilities, output)
  }

  /// Compares some of the queries, the first and the last among them; all of short sequences.
  private func check(tokens: Int, headSize: Int, heads: Int, compute: Compute) {
    var random = TestRandom()
    let embedding = heads * headSize
    let qkv = random.matrix(tokens, 3 * embedding, gap: 5)
    let out = GuardedMatrix(rows: tokens, columns: embedding, gap: 3) { _, _ in .nan }
    let kept = GuardedMatrix(rows: tokens, columns: embedding, gap: 3) { _, _ in .nan }
    let probabilities = GuardedMatrix(rows: heads * tokens, columns: tokens, gap: 1) { _, _ in .nan }
    let arena = Arena()
    compute.attention(
      qkv: qkv.view, numHeads: heads, into: out.mutableView, probabilities: nil, arena: arena)
    compute.attention(
      qkv: qkv.view, numHeads: heads, into: kept.mutableView, probabilities: probabilities.mutableView,
      arena: arena)
    #expect(out.isIntact && kept.isIntact && probabilities.isIntact && qkv.isIntact)
    #expect(out.values.allSatisfy { $0.isFinite })
    #expect(haveSameBits(out.values, kept.values))

    let step = max(1, tokens / 9)
    for head in 0..<heads {
      for query in Set(stride(from: 0, to: tokens, by: step)).union([tokens - 1]) {
        let expected = reference(qkv, heads: heads, head: head, query: query)
        let columns = head * headSize..<(head + 1) * headSize
        expectClose(columns.map { out[query, $0] }, expected.output, "head \(head), query \(query)") { _ in
          AttentionTests.limit
        }
        let row = (0..<tokens).map { probabilities[head * tokens + query, $0] }
        expectClose(row, expected.probabilities, "probabilities, head \(head), query \(query)") { _ in
          AttentionTests.probabilityLimit
        }
      }
    }
  }

  @Test(arguments: [1, 5, 17, 197, 577], [32, 64, 80, 128])
  func agreesWithDoublePrecision(tokens: Int, headSize: Int) {
    check(tokens: tokens, headSize: headSize, heads: 2, compute: Compute())
  }

  @Test(arguments: [1, 2, 3, 4])
  func agreesWithDoublePrecisionOnPools(threads: Int) {
    let compute = Compute(pool: ThreadPool(threadCount: threads))
    check(tokens: 197, headSize: 64, heads: 3, compute: compute)
    check(tokens: 1370, headSize: 32, heads: 1, compute: compute)
    check(tokens: 5, headSize: 64, heads: 1, compute: compute)
  }

  @Test func scratchGrowsWithTokensNotWithTheirSquare() {
    let tokens = 1370
    let qkv = GuardedMatrix(rows: tokens, columns: 3 * 32)
    let out = GuardedMatrix(rows: tokens, columns: 32)
    let arena = Arena()
    Compute().attention(qkv: qkv.view, numHeads: 1, into: out.mutableView, probabilities: nil, arena: arena)
    #expect(arena.capacity <= 128 * tokens)
    let settled = arena.capacity
    Compute().attention(qkv: qkv.view, numHeads: 1, into: out.mutableView, probabilities: nil, arena: arena)
    #expect(arena.capacity == settled)
  }

  @Test func spreadsNaNOfOneQueryOverItsRowAlone() {
    var random = TestRandom()
    let qkv = random.matrix(7, 3 * 8)
    qkv.base[2 * qkv.stride] = .nan  // head 0 of token 2's query
    let out = GuardedMatrix(rows: 7, columns: 8)
    Compute().attention(qkv: qkv.view, numHeads: 2, into: out.mutableView, probabilities: nil, arena: Arena())
    for row in 0..<7 {
      for column in 0..<8 { #expect(out[row, column].isNaN == (row == 2 && column < 4)) }
    }
  }

  @Test func takesEmptyMatrices() {
    let (qkv, out) = (GuardedMatrix(rows: 0, columns: 24), GuardedMatrix(rows: 0, columns: 8))
    Compute().attention(qkv: qkv.view, numHeads: 2, into: out.mutableView, probabilities: nil, arena: Arena())
    #expect(out.isIntact)
  }
}
