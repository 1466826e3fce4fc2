import CKernels
import Kernels
import Testing

@Suite struct LayerNormTests {
  /// Relative to 1 + |result|: the difference to the mean, the scale, gamma and beta round once each, and the
  /// sums of 1,023 squares add some roundings of 2^-24 to the scale. PyTorch's own result is about as far
  /// from the exact one.
  static let relativeLimit = 2e-6

  static func reference(
    _ x: GuardedMatrix, gamma: GuardedMatrix?, beta: GuardedMatrix?, epsilon: Float
  ) -> [Double] {
    (0..<x.rows).flatMap { row in
      let values = (0..<x.columns).map { Double(x[row, $0]) }
      let mean = values.reduce(0, +) / Double(x.columns)
      let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(x.columns)
      let scale = 1 / (variance + Double(epsilon)).squareRoot()
      return values.indices.map { column in
        (values[column] - mean) * scale * (gamma.map { Double($0[0, column]) } ?? 1)
          + (beta.map { Double($0[0, column]) } ?? 0)
      }
    }
  }

  private func check(
    _ variant: KernelVariant, _ x: GuardedMatrix, gamma: GuardedMatrix?, beta: GuardedMatrix?,
    epsilon: Float = 1e-6, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    func run(_ variant: KernelVariant) throws -> [Float] {
      let out = GuardedMatrix(rows: x.rows, columns: x.columns, gap: 2)
      try operations(variant).layer_norm(
        x.base, x.stride, out.base, out.stride, x.rows, x.columns, gamma?.base, beta?.base, epsilon)
      #expect(out.isIntact, sourceLocation: sourceLocation)
      return out.values
    }
    let expected = LayerNormTests.reference(x, gamma: gamma, beta: beta, epsilon: epsilon)
    func limit(_ index: Int) -> Double { (1 + abs(expected[index])) * LayerNormTests.relativeLimit }
    let actual = try run(variant)
    expectClose(actual, expected, sourceLocation: sourceLocation, limit: limit)
    expectClose(
      actual, try run(.plain).map(Double.init), "against plain", sourceLocation: sourceLocation, limit: limit)
  }

  @Test(arguments: KernelVariant.available, lengths)
  func agreesWithDoublePrecision(variant: KernelVariant, length: Int) throws {
    var random = TestRandom()
    let x = random.matrix(11, length, gap: 3, in: -2...2)
    let gamma = GuardedMatrix(random.floats(length, in: 0...2))
    let beta = GuardedMatrix(random.floats(length))
    try check(variant, x, gamma: gamma, beta: beta)
    try check(variant, x, gamma: gamma, beta: nil)
    try check(variant, x, gamma: nil, beta: beta)
    try check(variant, x, gamma: nil, beta: nil)
  }

  /// Vision transformers have channels in the hundreds beside others around 1, and rows far off zero.
  @Test(arguments: KernelVariant.available, [17, 384, 1023])
  func staysAccurateFarFromZero(variant: KernelVariant, length: Int) throws {
    var random = TestRandom()
    let shifted = random.matrix(2, length, in: 1000...1001)
    try check(variant, shifted, gamma: nil, beta: nil)
    let values = random.floats(length)
    let spiked = GuardedMatrix(rows: 1, columns: length) { _, column in column == 5 ? 300 : values[column] }
    try check(variant, spiked, gamma: nil, beta: nil)
  }

  @Test(arguments: KernelVariant.available, lengths)
  func mapsConstantRowsToBeta(variant: KernelVariant, length: Int) throws {
    let x = GuardedMatrix(rows: 1, columns: length) { _, _ in 0.3 }
    let beta = GuardedMatrix(rows: 1, columns: length) { _, column in Float(column) }
    try check(variant, x, gamma: nil, beta: beta, epsilon: 1e-5)
  }

  @Test(arguments: KernelVariant.available, [Float.nan, .infinity, -.infinity])
  func spreadsNonFiniteInputsOverTheirRowAlone(variant: KernelVariant, value: Float) throws {
    for length in [3, 33] {
      for position in [0, length - 1] {
        let x = GuardedMatrix(rows: 7, columns: length) { $0 == 5 && $1 == position ? value : Float($1) }
        try operations(variant).layer_norm(
          x.base, x.stride, x.base, x.stride, 7, length, nil, nil, 1e-6)
        for row in 0..<7 {
          let values = x.values[row * length..<(row + 1) * length]
          #expect(row == 5 ? values.contains { $0.isNaN } : values.allSatisfy { $0.isFinite })
        }
      }
    }
  }

  @Test(arguments: KernelVariant.available)
  func worksInPlace(variant: KernelVariant) throws {
    var random = TestRandom()
    let x = random.matrix(7, 33, gap: 1)
    let expected = LayerNormTests.reference(x, gamma: nil, beta: nil, epsilon: 1e-6)
    try operations(variant).layer_norm(x.base, x.stride, x.base, x.stride, 7, 33, nil, nil, 1e-6)
    expectClose(x.values, expected) { (1 + abs(expected[$0])) * LayerNormTests.relativeLimit }
    #expect(x.isIntact)
  }
}
