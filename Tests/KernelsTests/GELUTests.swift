import CKernels
import Foundation
import Kernels
import Testing

@Suite struct GELUTests {
  /// Relative. The polynomial's error (1.2e-8), exp (1 ulp) and the roundings of its argument, of t and of
  /// the sum stay below 4 units of 2^-23 (3.4 at the worst of 3 million arguments).
  static let relativeLimit = 4 * floatEpsilon
  /// Where the tail is subnormal, it is off by up to a unit of 2^-149, and then multiplied by |x| < 15.
  static let absoluteLimit = 0x1p-145

  static func reference(_ x: Double) -> Double { 0.5 * x * erfc(-x * 0.5.squareRoot()) }

  static func limit(_ reference: Double) -> Double { abs(reference) * relativeLimit + absoluteLimit }

  private func gelu(_ variant: KernelVariant, _ x: [Float]) throws -> [Float] {
    let matrix = GuardedMatrix(x)
    try operations(variant).gelu(matrix.base, x.count, 1, x.count, nil)
    #expect(matrix.isIntact)
    return matrix.values
  }

  @Test(arguments: KernelVariant.available, lengths)
  func agreesWithDoublePrecision(variant: KernelVariant, length: Int) throws {
    var random = TestRandom()
    let (rows, gap) = (3, 5)
    let x = random.matrix(rows, length, gap: gap, in: -6...6)
    let before = x.values
    let bias = GuardedMatrix(random.floats(length))
    try operations(variant).gelu(x.base, x.stride, rows, length, bias.base)

    // The sum is rounded once, by the kernel and here.
    let expected = before.indices.map { GELUTests.reference(Double(before[$0] + bias[0, $0 % length])) }
    expectClose(x.values, expected) { GELUTests.limit(expected[$0]) }
    #expect(x.isIntact && bias.isIntact)

    let plain = GuardedMatrix(rows: rows, columns: length, gap: gap) { before[$0 * length + $1] }
    try operations(.plain).gelu(plain.base, plain.stride, rows, length, bias.base)
    expectClose(x.values, plain.values.map(Double.init), "against plain") { GELUTests.limit(expected[$0]) }
  }

  @Test(arguments: KernelVariant.available)
  func staysAccurateFromTinyToLarge(variant: KernelVariant) throws {
    let magnitudes = stride(from: -149.0, through: 6, by: 0.0625).map { Float(exp2($0)) }
    let dense = stride(from: Float(0), through: 16, by: 1 / 512).map { $0 }
    let x = magnitudes + dense + (magnitudes + dense).map { -$0 }
    let expected = x.map { GELUTests.reference(Double($0)) }
    expectClose(try gelu(variant, x), expected) { GELUTests.limit(expected[$0]) }
  }

  @Test(arguments: KernelVariant.available, [1, 16, 33])
  func passesNonFiniteInputs(variant: KernelVariant, length: Int) throws {
    for position in [0, length - 1] {
      var x = [Float](repeating: 1, count: length)
      x[position] = .nan
      let result = try gelu(variant, x)
      #expect(result.indices.allSatisfy { result[$0].isNaN == ($0 == position) })
      x[position] = .infinity
      #expect(try gelu(variant, x)[position] == .infinity)
      x[position] = -.infinity
      #expect(try gelu(variant, x)[position] == 0)
      x[position] = .greatestFiniteMagnitude
      #expect(try gelu(variant, x)[position] == .greatestFiniteMagnitude)
      x[position] = -.greatestFiniteMagnitude
      #expect(try gelu(variant, x)[position] == 0)
    }
  }

  @Test(arguments: KernelVariant.available)
  func takesEmptyMatrices(variant: KernelVariant) throws {
    let x = GuardedMatrix(rows: 0, columns: 0)
    try operations(variant).gelu(x.base, 0, 0, 0, nil)
    try operations(variant).gelu(x.base, 0, 0, 17, nil)
    #expect(x.isIntact)
  }
}
