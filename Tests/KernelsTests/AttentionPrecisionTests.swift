import Foundation
import Kernels
import Testing

/// Attention out of one fused matrix of queries, keys and values, in float32 and bfloat16.
@Suite struct AttentionPrecisionTests {
  /// What is attended to: [images · Nq, ·] and [images · N, ·], heads side by side.
  struct Shape: Sendable, CustomTestStringConvertible {
    var images = 1
    let queries: Int
    let keys: Int
    var heads = 2
    let size: Int

    var testDescription: String { "\(images) x \(heads) heads of \(size), \(queries) queries, \(keys) keys" }
  }

  static let shapes =
    [1, 2, 5, 17, 50, 197, 257].map { Shape(queries: $0, keys: $0, size: 64) }
    + [32, 48, 72, 80, 88, 96, 128].map { Shape(images: 2, queries: 50, keys: 50, heads: 3, size: $0) }
    + [
      Shape(images: 3, queries: 17, keys: 17, heads: 6, size: 64),
      // Latents.
      Shape(images: 2, queries: 1, keys: 197, heads: 3, size: 64),
      Shape(images: 3, queries: 8, keys: 50, size: 80),
      Shape(queries: 257, keys: 5, size: 32),
    ]
  /// Of float32 alone: an odd size is read amid a pair of bfloat16.
  static let oddShapes = [1, 3, 7, 33, 63, 65].map {
    Shape(images: 2, queries: 19, keys: 33, heads: 3, size: $0)
  }

  /// Numbers of magnitude 1: the exponentials are rounded to bfloat16 (2^-9), and are within a part in 10,000, as is their sum; averages
  /// of values have no greater relative error than their weights. The rest is float32.
  static let halfLimit = 0x1p-9 + 2.4e-4 + AttentionTests.limit

  /// The same numbers as floats and as bfloat16, each cut out of a wider matrix.
  private struct Inputs {
    let shape: Shape
    let queries, keysAndValues: GuardedMatrix
    let halfQueries, halfKeysAndValues: HalfMatrixView

    init(_ shape: Shape, arena: Arena) {
      self.shape = shape
      var random = TestRandom()
      let columns = shape.heads * shape.size
      func matrix(_ rows: Int, _ columns: Int) -> GuardedMatrix {
        let values = random.floats(rows * columns).map { fromBFloat16(roundedToBFloat16($0)) }
        return GuardedMatrix(rows: rows, columns: columns, gap: 3) { values[$0 * columns + $1] }
      }
      queries = matrix(shape.images * shape.queries, columns)
      keysAndValues = matrix(shape.images * shape.keys, 2 * columns)
      func halves(_ matrix: GuardedMatrix) -> HalfMatrixView {
        let half = arena.halfMatrix(rows: matrix.rows, columns: matrix.columns + 2)
        half.base.update(repeating: 0x7fc1, count: half.rows * half.rowStride)
        for row in 0..<matrix.rows {
          for column in 0..<matrix.columns {
            half.base[row * half.rowStride + column] = roundedToBFloat16(matrix[row, column])
          }
        }
        return half[0..<half.rows, 0..<matrix.columns]
      }
      (halfQueries, halfKeysAndValues) = (halves(queries), halves(keysAndValues))
    }

    var columns: Int { shape.heads * shape.size }

    func input(halves: Bool, images: Range<Int>) -> AttentionInput {
      let (left, right) = (0..<columns, columns..<2 * columns)
      let queryRows = images.lowerBound * shape.queries..<images.upperBound * shape.queries
      let keyRows = images.lowerBound * shape.keys..<images.upperBound * shape.keys
      return halves
        ? .halves(
          queries: halfQueries[queryRows, left], keys: halfKeysAndValues[keyRows, left],
          values: halfKeysAndValues[keyRows, right])
        : .floats(
          queries: queries.view[queryRows, left], keys: keysAndValues.view[keyRows, left],
          values: keysAndValues.view[keyRows, right])
    }

    /// Probabilities [N] and output [Hv] of a query, in double precision.
    func reference(image: Int, head: Int, query: Int) -> (probabilities: [Double], output: [Double]) {
      let size = shape.size
      let queryRow = queries.view.row(image * shape.queries + query)
      func keyOrValue(_ key: Int, _ offset: Int) -> [Double] {
        let row = keysAndValues.view.row(image * shape.keys + key)
        return (0..<size).map { Double(row[offset + head * size + $0]) }
      }
      let scores = (0..<shape.keys).map { key in
        keyOrValue(key, 0).enumerated().reduce(0) {
          $0 + $1.element * Double(queryRow[head * size + $1.offset])
        }
          / Double(size).squareRoot()
      }
      let maximum = scores.max() ?? 0
      let terms = scores.map { exp($0 - maximum) }
      let sum = terms.reduce(0, +)
      var output = [Double](repeating: 0, count: size)
      for key in 0..<shape.keys {
        for (index, value) in keyOrValue(key, columns).enumerated() {
          output[index] += terms[key] / sum * value
        }
      }
      return (terms.map { $0 / sum }, output)
    }
  }

  private func check(_ shape: Shape, halves: Bool) {
    let arena = Arena()
    let inputs = Inputs(shape, arena: arena)
    let (rows, columns) = (shape.images * shape.queries, inputs.columns)
    func attend(threads: Int, images: Range<Int>? = nil, probabilities: GuardedMatrix? = nil) -> GuardedMatrix
    {
      let images = images ?? 0..<shape.images
      let out = GuardedMatrix(rows: images.count * shape.queries, columns: columns, gap: 3) { _, _ in .nan }
      let pool = threads > 1 ? ThreadPool(threadCount: threads) : nil
      arena.scope {
        Compute(pool: pool).attention(
          inputs.input(halves: halves, images: images), images: images.count, numHeads: shape.heads,
          into: .floats(out.mutableView), probabilities: probabilities?.mutableView, arena: arena)
      }
      #expect(out.isIntact && inputs.queries.isIntact && inputs.keysAndValues.isIntact)
      return out
    }
    let out = attend(threads: 1)
    let probabilities = GuardedMatrix(rows: shape.heads * rows, columns: shape.keys, gap: 1) { _, _ in .nan }
    let kept = attend(threads: 1, probabilities: probabilities)
    #expect(probabilities.isIntact)

    let limit = halves ? AttentionPrecisionTests.halfLimit : AttentionTests.limit
    for image in 0..<shape.images {
      for head in 0..<shape.heads {
        for query in Set(stride(from: 0, to: shape.queries, by: max(1, shape.queries / 4))).union([
          shape.queries - 1
        ]) {
          let expected = inputs.reference(image: image, head: head, query: query)
          let row = image * shape.queries + query
          for out in [out, kept] {
            let found = (head * shape.size..<(head + 1) * shape.size).map { out[row, $0] }
            expectClose(found, expected.output, "image \(image), head \(head), query \(query)") { _ in limit }
          }
          // The softmax of float32 scores either way.
          let handedOut = probabilities.view.row((image * shape.heads + head) * shape.queries + query)
          expectClose(Array(handedOut), expected.probabilities, "probabilities") { _ in
            AttentionTests.probabilityLimit
          }
        }
      }
    }
    expectClose(kept.values, out.values.map(Double.init), "asked for probabilities") { _ in 2 * limit }

    for threads in [2, 3] {
      #expect(haveSameBits(attend(threads: threads).values, out.values), "\(threads) threads")
      let again = GuardedMatrix(rows: shape.heads * rows, columns: shape.keys) { _, _ in .nan }
      #expect(haveSameBits(attend(threads: threads, probabilities: again).values, kept.values))
      #expect(haveSameBits(again.values, probabilities.values))
    }
    let apart = (0..<shape.images).flatMap { attend(threads: 1, images: $0..<$0 + 1).values }
    #expect(haveSameBits(apart, out.values), "image by image")

    // Outputs of bfloat16 are those of float32, rounded.
    let half = arena.halfMatrix(rows: rows, columns: columns + 2)
    half.base.update(repeating: 0x7fc1, count: rows * half.rowStride)
    Compute().attention(
      inputs.input(halves: halves, images: 0..<shape.images), images: shape.images, numHeads: shape.heads,
      into: .halves(half[0..<rows, 0..<columns]), arena: arena)
    for row in 0..<rows {
      for column in 0..<half.rowStride {
        let expected = column < columns ? roundedToBFloat16(out[row, column]) : 0x7fc1
        #expect(half.base[row * half.rowStride + column] == expected)
      }
    }
  }

  @Test(arguments: shapes + oddShapes)
  func attendsInFloat32(shape: Shape) {
    check(shape, halves: false)
  }

  @Test(arguments: shapes)
  func attendsInBFloat16(shape: Shape) {
    guard Compute.attendsInHalves(headDim: shape.size) else { return }
    check(shape, halves: true)
  }

  @Test func readsPairsOfBFloat16Alone() {
    for size in 1...129 {
      #expect(Compute.attendsInHalves(headDim: size) == (Precision.bf16.isNative && size % 2 == 0))
      #expect(Precision.bf16.readsHalves(columns: size) == (Precision.bf16.isNative && size % 2 == 0))
      #expect(!Precision.fp32.readsHalves(columns: size) && !Precision.int8.readsHalves(columns: size))
    }
  }
}
