import CKernels
import Kernels
import Testing

@Suite struct RowOperationTests {
  /// Relative to the sum of magnitudes: at most three roundings of 2^-24 each.
  static let relativeLimit = 2 * floatEpsilon

  @Test(arguments: KernelVariant.available, lengths)
  func addsResidual(variant: KernelVariant, length: Int) throws {
    var random = TestRandom()
    let y = random.matrix(3, length, gap: 1)
    let gamma = GuardedMatrix(random.floats(length))
    let bias = GuardedMatrix(random.floats(length))
    let before = random.floats(3 * length)
    for (gamma, bias) in [(gamma, bias), (gamma, nil), (nil, bias), (nil, nil)]
      as [(GuardedMatrix?, GuardedMatrix?)]
    {
      func run(_ variant: KernelVariant) throws -> [Float] {
        let x = GuardedMatrix(rows: 3, columns: length, gap: 4) { before[$0 * length + $1] }
        try operations(variant).add_residual(
          x.base, x.stride, y.base, y.stride, 3, length, gamma?.base, bias?.base)
        #expect(x.isIntact)
        return x.values
      }
      let terms = before.indices.map { index in
        let (row, column) = index.quotientAndRemainder(dividingBy: length)
        let value = Double(y[row, column]) + (bias.map { Double($0[0, column]) } ?? 0)
        return value * (gamma.map { Double($0[0, column]) } ?? 1)
      }
      let expected = before.indices.map { Double(before[$0]) + terms[$0] }
      // Three terms of magnitude 1 at most: 3 bounds every partial sum.
      func limit(_ index: Int) -> Double { 3 * RowOperationTests.relativeLimit }
      let actual = try run(variant)
      expectClose(actual, expected, limit: limit)
      expectClose(actual, try run(.plain).map(Double.init), "against plain", limit: limit)
    }
  }

  @Test(arguments: KernelVariant.available, lengths)
  func multipliesAndTakesMaxima(variant: KernelVariant, length: Int) throws {
    var random = TestRandom()
    let y = random.matrix(3, length, gap: 1)
    let (product, maximum) = (random.matrix(3, length, gap: 4), random.matrix(3, length, gap: 2))
    let (left, right) = (product.values, maximum.values)
    try operations(variant).multiply(product.base, product.stride, y.base, y.stride, 3, length)
    try operations(variant).maximum(maximum.base, maximum.stride, y.base, y.stride, 3, length)
    #expect(product.values == zip(left, y.values).map { $0 * $1 })
    #expect(maximum.values == zip(right, y.values).map { max($0, $1) })
    #expect(product.isIntact && maximum.isIntact && y.isIntact)
  }

  @Test(arguments: KernelVariant.available, [1, 16, 33])
  func maximumIsNaNIfOneIs(variant: KernelVariant, length: Int) throws {
    for (a, b) in [(Float.nan, Float(1)), (1, .nan), (.nan, .infinity), (-.infinity, .nan), (.nan, .nan)] {
      let (x, y) = (GuardedMatrix(rows: 1, columns: length) { _, _ in a }, GuardedMatrix([b]))
      let all = GuardedMatrix(rows: 1, columns: length) { _, _ in y[0, 0] }
      try operations(variant).maximum(x.base, length, all.base, length, 1, length)
      #expect(x.values.allSatisfy { $0.isNaN }, "\(a), \(b)")
    }
    let x = GuardedMatrix(rows: 1, columns: length) { _, _ in -.infinity }
    let y = GuardedMatrix(rows: 1, columns: length) { _, column in column == 0 ? -.infinity : Float(column) }
    try operations(variant).maximum(x.base, length, y.base, length, 1, length)
    #expect(x.values == y.values)
  }

  @Test func addsAndActivates() {
    var random = TestRandom()
    let (x, y) = (random.matrix(300, 67, gap: 1), random.matrix(300, 67, gap: 2))
    let expected = zip(x.values, y.values).map { $0 + $1 }
    Compute(pool: ThreadPool(threadCount: 2)).add(y.view, to: x.mutableView)
    #expect(x.values == expected && x.isIntact)
    Compute().add(y.view, to: x.mutableView, activation: .relu)
    #expect(x.values == zip(expected, y.values).map { max(0, $0 + $1) } && x.isIntact)
  }

  @Test(arguments: KernelVariant.available, lengths)
  func findsNonFiniteValues(variant: KernelVariant, length: Int) throws {
    let operations = try operations(variant)
    // The sentinels around are NaN: they must not be seen.
    var values = [Float](repeating: .greatestFiniteMagnitude, count: length)
    values[length / 2] = -.leastNonzeroMagnitude
    func allFinite(_ values: [Float]) -> Bool {
      let row = GuardedMatrix(values)
      return withExtendedLifetime(row) { operations.all_finite(row.base, values.count) }
    }
    #expect(allFinite(values))
    for bad in [Float.nan, -.nan, .signalingNaN, .infinity, -.infinity] {
      for position in [0, length / 2, length - 1] {
        var values = values
        values[position] = bad
        #expect(!allFinite(values), "\(bad) at \(position)")
      }
    }
    #expect(allFinite([]))
  }

  @Test func findsNonFiniteValuesInMatrices() {
    let matrix = GuardedMatrix(rows: 3, columns: 17, gap: 2)
    #expect(Elements.allFinite(matrix.view))
    matrix.base[2 * matrix.stride + 16] = .nan
    #expect(!Elements.allFinite(matrix.view))
  }
}
