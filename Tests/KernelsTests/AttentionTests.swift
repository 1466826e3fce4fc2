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

  /// Queries, keys and values of `heads` heads.
  private struct Inputs {
    let queries, keys, values: GuardedMatrix
    let heads: Int

    init(queries: Int, keys: Int, heads: Int, keySize: Int, valueSize: Int) {
      var random = TestRandom()
      self.queries = random.matrix(queries, heads * keySize, gap: 5)
      self.keys = random.matrix(keys, heads * keySize, gap: 2)
      values = random.matrix(keys, heads * valueSize, gap: 1)
      self.heads = heads
    }

    var keySize: Int { keys.columns / heads }
    var valueSize: Int { values.columns / heads }

    /// Probabilities of one query [N] and its output [Hv], in double precision.
    func reference(
      head: Int, query: Int, scale: Double
    ) -> (probabilities: [Double], output: [Double]) {
      func vector(_ matrix: GuardedMatrix, _ row: Int, _ size: Int) -> [Double] {
        (head * size..<(head + 1) * size).map { Double(matrix[row, $0]) }
      }
      let queryVector = vector(queries, query, keySize)
      let scores = (0..<keys.rows).map { key in
        zip(queryVector, vector(keys, key, keySize)).reduce(0) { $0 + $1.0 * $1.1 } * scale
      }
      let maximum = scores.max() ?? 0
      let terms = scores.map { exp($0 - maximum) }
      let sum = terms.reduce(0, +)
      let probabilities = terms.map { $0 / sum }
      var output = [Double](repeating: 0, count: valueSize)
      for key in 0..<keys.rows {
        let value = vector(values, key, valueSize)
        for index in 0..<valueSize { output[index] += probabilities[key] * value[index] }
      }
      return (probabilities, output)
    }
  }

  /// Compares some of the queries, the first and the last among them; all of few.
  private func check(_ inputs: Inputs, scale: Float? = nil, compute: Compute) {
    let (queries, keys, heads) = (inputs.queries.rows, inputs.keys.rows, inputs.heads)
    let out = GuardedMatrix(rows: queries, columns: inputs.values.columns, gap: 3) { _, _ in .nan }
    let kept = GuardedMatrix(rows: queries, columns: inputs.values.columns, gap: 3) { _, _ in .nan }
    let probabilities = GuardedMatrix(rows: heads * queries, columns: keys, gap: 1) { _, _ in .nan }
    let arena = Arena()
    func attend(_ out: GuardedMatrix, _ probabilities: GuardedMatrix?) {
      compute.attention(
        .floats(queries: inputs.queries.view, keys: inputs.keys.view, values: inputs.values.view),
        numHeads: heads, scale: scale, into: .floats(out.mutableView),
        probabilities: probabilities?.mutableView, arena: arena)
    }
    attend(out, nil)
    attend(kept, probabilities)
    #expect(out.isIntact && kept.isIntact && probabilities.isIntact)
    #expect(inputs.queries.isIntact && inputs.keys.isIntact && inputs.values.isIntact)
    #expect(out.values.allSatisfy { $0.isFinite })
    // Asked for, probabilities are divided by their sum before the values are added up instead of after.
    expectClose(kept.values, out.values.map(Double.init)) { _ in AttentionTests.limit }

    let size = inputs.valueSize
    let scale = scale.map(Double.init) ?? 1 / Double(inputs.keySize).squareRoot()
    for head in 0..<heads {
      for query in Set(stride(from: 0, to: queries, by: max(1, queries / 9))).union([queries - 1]) {
        let expected = inputs.reference(head: head, query: query, scale: scale)
        let output = (head * size..<(head + 1) * size).map { out[query, $0] }
        expectClose(output, expected.output, "head \(head), query \(query)") { _ in AttentionTests.limit }
        let row = (0..<keys).map { probabilities[head * queries + query, $0] }
        expectClose(row, expected.probabilities, "probabilities, head \(head), query \(query)") { _ in
          AttentionTests.probabilityLimit
        }
      }
    }
  }

  private func check(tokens: Int, headSize: Int, heads: Int, compute: Compute) {
    check(
      Inputs(queries: tokens, keys: tokens, heads: heads, keySize: headSize, valueSize: headSize),
      compute: compute)
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

  /// Attention pooling asks with one query; differential attention has values twice as wide as its keys.
  @Test(arguments: [1, 3])
  func takesOtherNumbersOfQueriesAndSizes(threads: Int) {
    let compute = Compute(pool: ThreadPool(threadCount: threads))
    for (queries, keys) in [(1, 197), (1, 1), (5, 33), (65, 7), (1370, 197)] {
      for (keySize, valueSize) in [(32, 64), (64, 24), (1, 3)] {
        let inputs = Inputs(
          queries: queries, keys: keys, heads: 3, keySize: keySize, valueSize: valueSize)
        check(inputs, compute: compute)
        check(inputs, scale: 0.3, compute: compute)
      }
    }
  }

  /// Self-attention of the three parts of one matrix, as the first product of a block leaves them.
  private func attend(
    _ qkv: GuardedMatrix, numHeads: Int, into out: GuardedMatrix, arena: Arena = Arena()
  ) {
    let (rows, size) = (0..<qkv.rows, qkv.columns / 3)
    Compute().attention(
      .floats(
        queries: qkv.view[rows, 0..<size], keys: qkv.view[rows, size..<2 * size],
        values: qkv.view[rows, 2 * size..<3 * size]),
      numHeads: numHeads, into: .floats(out.mutableView), arena: arena)
  }

  @Test func scratchGrowsWithTokensNotWithTheirSquare() {
    let tokens = 1370
    let qkv = GuardedMatrix(rows: tokens, columns: 3 * 32)
    let out = GuardedMatrix(rows: tokens, columns: 32)
    let arena = Arena()
    attend(qkv, numHeads: 1, into: out, arena: arena)
    #expect(arena.capacity <= 256 * tokens)
    let settled = arena.capacity
    attend(qkv, numHeads: 1, into: out, arena: arena)
    #expect(arena.capacity == settled)
  }

  @Test func spreadsNaNOfOneQueryOverItsRowAlone() {
    var random = TestRandom()
    let qkv = random.matrix(7, 3 * 8)
    qkv.base[2 * qkv.stride] = .nan  // head 0 of token 2's query
    let out = GuardedMatrix(rows: 7, columns: 8)
    attend(qkv, numHeads: 2, into: out)
    for row in 0..<7 {
      for column in 0..<8 { #expect(out[row, column].isNaN == (row == 2 && column < 4)) }
    }
  }

  @Test func takesEmptyMatrices() {
    let (qkv, out) = (GuardedMatrix(rows: 0, columns: 24), GuardedMatrix(rows: 0, columns: 8))
    attend(qkv, numHeads: 2, into: out)
    #expect(out.isIntact)
  }

  /// Without keys there is nothing to add up.
  @Test func takesNoKeys() {
    let inputs = Inputs(queries: 3, keys: 0, heads: 2, keySize: 4, valueSize: 4)
    let out = GuardedMatrix(rows: 3, columns: 8) { _, _ in .nan }
    Compute().attention(
      .floats(queries: inputs.queries.view, keys: inputs.keys.view, values: inputs.values.view), numHeads: 2,
      into: .floats(out.mutableView), arena: Arena())
    #expect(out.values.allSatisfy { $0 == 0 } && out.isIntact)
  }

  /// bfloat16 in, sums in float32: each probability and each value is rounded to 8 bits, and outputs are averages of values of
  /// magnitude 1.
  static let halfLimit = 0.012

  @Test(arguments: [1, 2, 5, 17, 50, 197, 257], [32, 48, 64, 72, 128])
  func agreesOnBFloat16(tokens: Int, headSize: Int) {
    guard Compute.attendsInHalves(headDim: headSize) else { return }
    let (heads, images) = (3, 2)
    let columns = heads * headSize
    let inputs = Inputs(
      queries: tokens * images, keys: tokens * images, heads: heads, keySize: headSize, valueSize: headSize)
    let arena = Arena()
    func halves(_ matrix: GuardedMatrix) -> HalfMatrixView {
      let half = arena.halfMatrix(rows: matrix.rows, columns: columns)
      for row in 0..<matrix.rows {
        let target = UnsafeMutableRawBufferPointer(
          start: half.base + row * half.rowStride, count: 2 * columns)
        _ = Elements.convertFloat32ToBFloat16(matrix.view.row(row), into: target)
      }
      return half
    }
    let (queries, keys, values) = (halves(inputs.queries), halves(inputs.keys), halves(inputs.values))
    func attend(_ output: AttentionOutput, threads: Int, probabilities: MutableMatrixView? = nil) {
      Compute(pool: ThreadPool(threadCount: threads)).attention(
        .halves(queries: queries, keys: keys, values: values), images: images, numHeads: heads, into: output,
        probabilities: probabilities, arena: arena)
    }
    let out = GuardedMatrix(rows: tokens * images, columns: columns, gap: 3) { _, _ in .nan }
    attend(.floats(out.mutableView), threads: 1)
    #expect(out.isIntact)

    let reference = GuardedMatrix(rows: tokens * images, columns: columns)
    Compute().attention(
      .floats(queries: inputs.queries.view, keys: inputs.keys.view, values: inputs.values.view),
      images: images,
      numHeads: heads, into: .floats(reference.mutableView), arena: arena)
    expectClose(out.values, reference.values.map(Double.init)) { _ in AttentionTests.halfLimit }

    for threads in [2, 3] {
      let again = GuardedMatrix(rows: tokens * images, columns: columns)
      attend(.floats(again.mutableView), threads: threads)
      #expect(haveSameBits(again.values, out.values))
    }
    let probabilities = GuardedMatrix(rows: heads * images * tokens, columns: tokens, gap: 1)
    let kept = GuardedMatrix(rows: tokens * images, columns: columns)
    attend(.floats(kept.mutableView), threads: 1, probabilities: probabilities.mutableView)
    expectClose(kept.values, reference.values.map(Double.init)) { _ in AttentionTests.halfLimit }
    for row in 0..<probabilities.rows {
      #expect(abs(probabilities.view.row(row).reduce(0, +) - 1) < 1e-5)
    }
    #expect(probabilities.isIntact)
  }

  /// Two images at once are each attended to alone, with the same bits.
  @Test func imagesAreApart() {
    let (tokens, heads, size) = (37, 2, 32)
    let inputs = Inputs(queries: 2 * tokens, keys: 2 * tokens, heads: heads, keySize: size, valueSize: size)
    let together = GuardedMatrix(rows: 2 * tokens, columns: heads * size)
    let apart = GuardedMatrix(rows: 2 * tokens, columns: heads * size)
    let columns = 0..<heads * size
    func attend(_ rows: Range<Int>, images: Int, into out: GuardedMatrix) {
      Compute().attention(
        .floats(
          queries: inputs.queries.view[rows, columns], keys: inputs.keys.view[rows, columns],
          values: inputs.values.view[rows, columns]),
        images: images, numHeads: heads, into: .floats(out.mutableView[rows, columns]), arena: Arena())
    }
    attend(0..<2 * tokens, images: 2, into: together)
    attend(0..<tokens, images: 1, into: apart)
    attend(tokens..<2 * tokens, images: 1, into: apart)
    #expect(haveSameBits(together.values, apart.values))
  }
}
