import CKernels
import Kernels
import Testing

@Suite struct RMSNormTests {
  /// Relative to the result: the scale carries half the relative error of a sum of 1,023 squares in 8 chains at
  /// least, and with the division, the root and two products rounds five times more.
  static let relativeLimit = 1e-6

  static func reference(_ x: MatrixView, gamma: GuardedMatrix?, epsilon: Float) -> [Double] {
    (0..<x.rows).flatMap { row in
      let values = x.row(row).map(Double.init)
      let meanSquare = values.reduce(0) { $0 + $1 * $1 } / Double(values.count)
      let scale = 1 / (meanSquare + Double(epsilon)).squareRoot()
      return values.indices.map { column in
        values[column] * scale * (gamma.map { Double($0[0, column]) } ?? 1)
      }
    }
  }

  static func limit(_ reference: Double) -> Double { abs(reference) * relativeLimit + 0x1p-140 }

  @Test(arguments: KernelVariant.available, lengths)
  func agreesWithDoublePrecision(variant: KernelVariant, length: Int) throws {
    var random = TestRandom()
    for range in [Float(-2)...2, 1000...1001, -1e-3...1e-3] {
      let x = random.matrix(11, length, gap: 3, in: range)
      for gamma in [GuardedMatrix(random.floats(length, in: 0...2)), nil] {
        func run(_ variant: KernelVariant) throws -> [Float] {
          let out = GuardedMatrix(rows: 11, columns: length, gap: 2)
          try operations(variant).rms_norm(
            x.base, x.stride, out.base, out.stride, 11, length, gamma?.base, 1e-6)
          #expect(out.isIntact)
          return out.values
        }
        let expected = RMSNormTests.reference(x.view, gamma: gamma, epsilon: 1e-6)
        let actual = try run(variant)
        expectClose(actual, expected) { RMSNormTests.limit(expected[$0]) }
        expectClose(actual, try run(.plain).map(Double.init), "against plain") {
          RMSNormTests.limit(expected[$0])
        }
      }
    }
  }

  @Test(arguments: KernelVariant.available, [Float.nan, .infinity, -.infinity])
  func spreadsNonFiniteInputsOverTheirRowAlone(variant: KernelVariant, value: Float) throws {
    for length in [3, 33] {
      for position in [0, length - 1] {
        let x = GuardedMatrix(rows: 7, columns: length) { $0 == 5 && $1 == position ? value : Float($1) }
        try operations(variant).rms_norm(x.base, x.stride, x.base, x.stride, 7, length, nil, 1e-6)
        #expect(x[5, position].isNaN)
        for row in [0, 1, 2, 3, 4, 6] {
          #expect(x.values[row * length..<(row + 1) * length].allSatisfy { $0.isFinite })
        }
      }
    }
  }

  @Test(arguments: KernelVariant.available)
  func mapsZerosToZeros(variant: KernelVariant) throws {
    let x = GuardedMatrix(rows: 2, columns: 17)
    try operations(variant).rms_norm(x.base, x.stride, x.base, x.stride, 2, 17, nil, 1e-6)
    #expect(x.values.allSatisfy { $0 == 0 } && x.isIntact)
  }

  /// The queries of one head among those of the others, in place: both normalisations.
  @Test(arguments: [1, 3])
  func normalizesOneHeadInPlace(threads: Int) {
    var random = TestRandom()
    let compute = Compute(pool: ThreadPool(threadCount: threads))
    let (tokens, size) = (1370, 64)
    let gamma = GuardedMatrix(random.floats(size, in: 0...2))
    let beta = GuardedMatrix(random.floats(size))
    for usesMean in [true, false] {
      let qkv = random.matrix(tokens, 3 * 2 * size, gap: 1)
      let before = qkv.values
      let head = qkv.mutableView[0..<tokens, size..<2 * size]
      let expected: [Double]
      if usesMean {
        let copy = GuardedMatrix(rows: tokens, columns: size) { qkv[$0, size + $1] }
        expected = LayerNormTests.reference(copy, gamma: gamma, beta: beta, epsilon: 1e-5)
        compute.layerNorm(head.view, gamma: gamma.base, beta: beta.base, epsilon: 1e-5, into: head)
      } else {
        expected = RMSNormTests.reference(head.view, gamma: gamma, epsilon: 1e-5)
        compute.rmsNorm(head.view, gamma: gamma.base, epsilon: 1e-5, into: head)
      }
      let actual = (0..<tokens).flatMap { head.view.row($0) }
      expectClose(actual, expected) { (1 + abs(expected[$0])) * LayerNormTests.relativeLimit }
      let others = before.indices.filter { !(size..<2 * size).contains($0 % qkv.columns) }
      #expect(haveSameBits(others.map { qkv.values(at: $0) }, others.map { before[$0] }) && qkv.isIntact)
    }
  }
}

extension GuardedMatrix {
  /// Element `index` of `values`.
  fileprivate func values(at index: Int) -> Float { self[index / columns, index % columns] }
}
