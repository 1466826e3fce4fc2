import CKernels
import Foundation
import Kernels
import Testing

@Suite struct GroupNormTests {
  /// Relative to 1 + |result|: center, scale and shift are rounded once each, as are the difference and the result.
  static let relativeLimit = 4e-7

  private func check(
    _ x: GuardedMatrix, groups: Int, activation: Activation? = nil, compute: Compute,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    var random = TestRandom()
    let gamma = GuardedMatrix(random.floats(x.columns, in: 0...2))
    let beta = GuardedMatrix(random.floats(x.columns))
    let size = x.columns / groups
    let epsilon: Float = 1e-5
    for (gamma, beta) in [(gamma, beta), (nil, nil)] as [(GuardedMatrix?, GuardedMatrix?)] {
      let out = GuardedMatrix(rows: x.rows, columns: x.columns, gap: 2) { _, _ in .nan }
      compute.groupNorm(
        x.view, groups: groups, gamma: gamma?.base, beta: beta?.base, epsilon: epsilon,
        activation: activation, into: out.mutableView)

      var expected = [Double](repeating: 0, count: x.rows * x.columns)
      for group in 0..<groups {
        let members = (0..<x.rows).flatMap { row in
          (group * size..<(group + 1) * size).map { (row, $0, Double(x[row, $0])) }
        }
        let mean = members.reduce(0) { $0 + $1.2 } / Double(members.count)
        let variance = members.reduce(0) { $0 + ($1.2 - mean) * ($1.2 - mean) } / Double(members.count)
        let scale = 1 / (variance + Double(epsilon)).squareRoot()
        for (row, column, value) in members {
          expected[row * x.columns + column] =
            (value - mean) * scale * (gamma.map { Double($0[0, column]) } ?? 1)
            + (beta.map { Double($0[0, column]) } ?? 0)
        }
      }
      let limits = expected.map { (1 + abs($0)) * GroupNormTests.relativeLimit }
      if let activation {
        let activated = expected.map(activation.reference)
        expectClose(out.values, activated, sourceLocation: sourceLocation) {
          limits[$0] * Activation.steepestSlope + activation.limit(activated[$0])
        }
      } else {
        expectClose(out.values, expected, sourceLocation: sourceLocation) { limits[$0] }
      }
      #expect(out.isIntact && x.isIntact, sourceLocation: sourceLocation)
    }
  }

  @Test(arguments: [(1, 1), (1, 32), (49, 32), (63, 35), (65, 96), (130, 15)], [1, 3])
  func agreesWithDoublePrecision(shape: (Int, Int), threads: Int) {
    var random = TestRandom()
    let (pixels, channels) = shape
    let compute = Compute(pool: ThreadPool(threadCount: threads))
    let x = random.matrix(pixels, channels, gap: 3, in: -2...2)
    for groups in [1, 5, 32, channels] where channels % groups == 0 {
      check(x, groups: groups, compute: compute)
      check(x, groups: groups, activation: .relu, compute: compute)
      check(x, groups: groups, activation: .silu, compute: compute)
    }
  }

  /// Groups whose channels lie far apart, and groups that lie far from zero or start with an outlier.
  @Test(arguments: [1, 3])
  func staysAccurateFarFromZero(threads: Int) {
    var random = TestRandom()
    let compute = Compute(pool: ThreadPool(threadCount: threads))
    let shifted = random.matrix(3000, 32, in: 1000...1001)
    check(shifted, groups: 4, compute: compute)
    let noise = random.floats(3000 * 32)
    let apart = GuardedMatrix(rows: 3000, columns: 32) { noise[$0 * 32 + $1] + Float(100 * ($1 % 8)) }
    check(apart, groups: 4, compute: compute)
    let outlier = GuardedMatrix(rows: 3000, columns: 32) { $0 == 0 ? 1e4 : noise[$0 * 32 + $1] }
    check(outlier, groups: 4, compute: compute)
    let constant = GuardedMatrix(rows: 3000, columns: 32) { _, _ in 12345.678 }
    check(constant, groups: 4, compute: compute)
  }

  @Test func isTheSameOnAnyNumberOfThreadsAndInPlace() {
    var random = TestRandom()
    let x = random.matrix(3136, 64)
    let out = GuardedMatrix(rows: 3136, columns: 64)
    Compute().groupNorm(x.view, groups: 32, gamma: nil, beta: nil, epsilon: 1e-5, into: out.mutableView)
    Compute(pool: ThreadPool(threadCount: 3)).groupNorm(
      x.view, groups: 32, gamma: nil, beta: nil, epsilon: 1e-5, into: x.mutableView)
    #expect(haveSameBits(x.values, out.values) && x.isIntact)
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity])
  func spreadsNonFiniteInputsOverTheirGroupAlone(value: Float) {
    for row in [0, 4] {
      let x = GuardedMatrix(rows: 5, columns: 12) { $0 == row && $1 == 5 ? value : Float($0 * 7 % 5 + $1) }
      Compute().groupNorm(x.view, groups: 3, gamma: nil, beta: nil, epsilon: 1e-5, into: x.mutableView)
      for row in 0..<5 {
        for column in 0..<12 { #expect(x[row, column].isNaN == (4..<8).contains(column)) }
      }
    }
  }

  @Test(arguments: KernelVariant.available, lengths)
  func momentsAgreeWithDoublePrecision(variant: KernelVariant, length: Int) throws {
    var random = TestRandom()
    for rows in [1, 63, 64, 65, 200] {
      let x = random.matrix(rows, length, gap: 3, in: 10...11)
      let center = GuardedMatrix(random.floats(length, in: 10...11))
      var (sums, squares) = (
        [Double](repeating: 1, count: length + 1), [Double](repeating: 2, count: length + 1)
      )
      try operations(variant).column_moments(
        x.base, x.stride, rows, length, center.base, &sums, &squares)
      for column in 0..<length {
        let differences = (0..<rows).map { Double(x[$0, column]) - Double(center[0, column]) }
        // 200 roundings of 2^-53 of a sum below 200.
        #expect(abs(sums[column] - differences.reduce(1, +)) < 1e-11)
        #expect(abs(squares[column] - differences.reduce(2) { $0 + $1 * $1 }) < 1e-11)
      }
      #expect(sums[length] == 1 && squares[length] == 2 && x.isIntact)
    }
  }

  @Test(arguments: KernelVariant.available, lengths)
  func normalizesColumns(variant: KernelVariant, length: Int) throws {
    var random = TestRandom()
    let x = random.matrix(3, length, gap: 3)
    let maps = (0..<3).map { _ in GuardedMatrix(random.floats(length)) }
    func run(_ variant: KernelVariant) throws -> [Float] {
      let out = GuardedMatrix(rows: 3, columns: length, gap: 1)
      try operations(variant).normalize_columns(
        x.base, x.stride, out.base, out.stride, 3, length, maps[0].base, maps[1].base, maps[2].base)
      #expect(out.isIntact && x.isIntact)
      return out.values
    }
    let expected = (0..<3 * length).map { index in
      let column = index % length
      return (Double(x[index / length, column]) - Double(maps[0][0, column])) * Double(maps[1][0, column])
        + Double(maps[2][0, column])
    }
    // Three roundings of values below 3.
    let actual = try run(variant)
    expectClose(actual, expected) { _ in 3 * 2 * floatEpsilon }
    expectClose(actual, try run(.plain).map(Double.init), "against plain") { _ in 3 * 2 * floatEpsilon }
  }
}
