import CKernels
import Foundation
import Kernels
import Testing

@Suite struct SoftmaxTests {
  /// Relative, for arguments that reach exp exactly: exp to 1 ulp, sum, reciprocal and product round once
  /// each; the partial sums of 1,023 terms are 64 additions deep and off by some 2^-23.
  static let relativeLimit = 8 * floatEpsilon
  /// Relative, for each unit of the argument: the difference and the scaling round it to 2^-24 each.
  static let argumentLimit = floatEpsilon
  /// Probabilities below this are subnormal and have fewer bits.
  static let absoluteLimit = 0x1p-147

  static func reference(_ row: [Float], scale: Float) -> [Double] {
    let maximum = Double(row.max() ?? 0)
    let terms = row.map { exp((Double($0) - maximum) * Double(scale)) }
    let sum = terms.reduce(0, +)
    return terms.map { $0 / sum }
  }

  private func softmax(_ variant: KernelVariant, _ row: [Float], scale: Float = 1) throws -> [Float] {
    let matrix = GuardedMatrix(row)
    try operations(variant).softmax(matrix.base, row.count, 1, row.count, scale)
    #expect(matrix.isIntact)
    return matrix.values
  }

  @Test(arguments: KernelVariant.available, lengths)
  func agreesWithDoublePrecision(variant: KernelVariant, length: Int) throws {
    var random = TestRandom()
    let rowCount = 11
    let x = random.matrix(rowCount, length, gap: 5, in: -40...40)
    let before = x.values
    let scale: Float = 0.125
    try operations(variant).softmax(x.base, x.stride, rowCount, length, scale)
    #expect(x.isIntact)
    let plain = GuardedMatrix(rows: rowCount, columns: length) { before[$0 * length + $1] }
    try operations(.plain).softmax(plain.base, plain.stride, rowCount, length, scale)

    let rows = (0..<rowCount).map { Array(before[$0 * length..<($0 + 1) * length]) }
    let expected = rows.flatMap { SoftmaxTests.reference($0, scale: scale) }
    func limit(_ index: Int) -> Double {
      let row = rows[index / length]
      let argument = Double((row.max() ?? 0) - row[index % length]) * Double(scale)
      return expected[index] * (SoftmaxTests.relativeLimit + argument * SoftmaxTests.argumentLimit)
    }
    expectClose(x.values, expected, limit: limit)
    expectClose(x.values, plain.values.map(Double.init), "against plain", limit: limit)
  }

  /// softmax(0, x) = exp(x) / (1 + exp(x)) shows the exponential alone, down to where it vanishes.
  @Test(arguments: KernelVariant.available)
  func exponentialIsAccurateDownToZero(variant: KernelVariant) throws {
    for x in stride(from: Float(0), through: -110, by: -0.0625) {
      // 20 elements reach the vector loop and the tail.
      let row = [0] + [Float](repeating: x, count: 19)
      let expected = SoftmaxTests.reference(row, scale: 1)
      expectClose(try softmax(variant, row), expected) {
        expected[$0] * SoftmaxTests.relativeLimit + SoftmaxTests.absoluteLimit
      }
    }
  }

  @Test(arguments: KernelVariant.available, [1, 5, 16, 20])
  func survivesLargeValues(variant: KernelVariant, length: Int) throws {
    var row = [Float](repeating: -.greatestFiniteMagnitude, count: length)
    row[length - 1] = .greatestFiniteMagnitude
    let result = try softmax(variant, row, scale: 2)
    #expect(result[length - 1] == 1)
    #expect(result.dropLast().allSatisfy { $0 == 0 })
  }

  @Test(arguments: KernelVariant.available, [1, 5, 16, 20])
  func handlesInfinitiesAndNaN(variant: KernelVariant, length: Int) throws {
    let half = [Float](repeating: -.infinity, count: length) + [Float](repeating: 3, count: length)
    let expected = [Float](repeating: 0, count: length) + [Float](repeating: 1 / Float(length), count: length)
    expectClose(try softmax(variant, half), expected.map(Double.init)) { _ in SoftmaxTests.relativeLimit }

    let hopeless = [Float](repeating: -.infinity, count: length)
    #expect(try softmax(variant, hopeless).allSatisfy { $0.isNaN })
    for position in [0, length - 1] {
      var row = [Float](repeating: 1, count: length)
      row[position] = .nan
      #expect(try softmax(variant, row).allSatisfy { $0.isNaN })
      row[position] = .infinity
      #expect(try softmax(variant, row).allSatisfy { $0.isNaN })
    }
  }

  @Test(arguments: KernelVariant.available)
  func takesEmptyMatrices(variant: KernelVariant) throws {
    let x = GuardedMatrix(rows: 0, columns: 0)
    try operations(variant).softmax(x.base, 0, 0, 0, 1)
    try operations(variant).softmax(x.base, 0, 3, 0, 1)
    #expect(x.isIntact)
  }
}
