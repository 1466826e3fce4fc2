import CKernels
import Foundation
import Kernels
import Testing

/// `exponentials`: the softmax of attention, whose last product is left to the values.
@Suite struct ExponentialTests {
  /// Exponentials, by value, and the reciprocals of their sums.
  private struct Found {
    var values: [Float] = []
    var reciprocals: [Float]
  }

  private static let elements = [CKERNELS_FLOAT32, CKERNELS_BFLOAT16]

  private func exponentials(
    _ variant: KernelVariant, _ x: GuardedMatrix, scale: Float = 1, _ element: ckernels_element
  ) throws -> Found {
    var found = Found(reciprocals: [Float](repeating: -1, count: x.rows))
    // An odd number of halves is filled up with 0: of a single float they need all, of more they leave the end as it was.
    let y = GuardedMatrix(rows: x.rows, columns: x.columns, gap: 2) { x[$0, $1] }
    try operations(variant).exponentials(
      y.base, y.stride, y.rows, y.columns, scale, element, &found.reciprocals)
    #expect(y.isIntact)
    for row in 0..<x.rows {
      guard element == CKERNELS_BFLOAT16 else {
        found.values += y.view.row(row)
        continue
      }
      let halves = UnsafeRawPointer(y.base + row * y.stride)
      func half(_ column: Int) -> Float {
        fromBFloat16(halves.load(fromByteOffset: 2 * column, as: UInt16.self))
      }
      found.values += (0..<x.columns).map(half)
      if x.columns % 2 == 1 { #expect(half(x.columns) == 0, "padding") }
    }
    return found
  }

  /// Relative: bfloat16 rounds to 2^-8, the exponential is within a part in 10,000; the exponent's own roundings are nothing beside it.
  static let halfLimit = 0x1p-8 + 1.2e-4
  /// Below the normal floats bfloat16 may be flushed to 0.
  static let halfFlushed = 0x1p-126

  /// exp alone, from 1 down to where it vanishes: argument minus maximum is exact where the maximum is 0.
  @Test(arguments: KernelVariant.available)
  func exponentialIsAccurateDownToZero(variant: KernelVariant) throws {
    let count = 40_003
    let x = GuardedMatrix(rows: 1, columns: count) { _, column in -110 * Float(column) / Float(count) }
    let expected = x.values.map { exp(Double($0)) }
    let floats = try exponentials(variant, x, CKERNELS_FLOAT32)
    // A unit in the last place of the result, be it normal or not.
    expectClose(floats.values, expected) { Double(Float(expected[$0]).ulp) + 0x1p-149 }
    let halves = try exponentials(variant, x, CKERNELS_BFLOAT16)
    expectClose(halves.values, expected) {
      expected[$0] * ExponentialTests.halfLimit + ExponentialTests.halfFlushed
    }
    for reciprocal in [floats.reciprocals[0], halves.reciprocals[0]] {
      let sum = expected.reduce(0, +)
      #expect(abs(Double(reciprocal) * sum - 1) < 2e-4)
    }
  }

  @Test(arguments: KernelVariant.available, lengths + [2, 4, 14, 31, 32, 197])
  func normalizedTheyAreTheSoftmax(variant: KernelVariant, length: Int) throws {
    var random = TestRandom()
    let scale: Float = 0.125
    let rowCount = 11
    let x = random.matrix(rowCount, length, gap: 1, in: -40...40)
    if length > 1 { x.base[x.stride + length / 2] = -.infinity }
    let rows = (0..<rowCount).map { Array(x.view.row($0)) }
    let expected = rows.flatMap { SoftmaxTests.reference($0, scale: scale) }
    for element in ExponentialTests.elements {
      let found = try exponentials(variant, x, scale: scale, element)
      let normalized = found.values.indices.map { found.values[$0] * found.reciprocals[$0 / length] }
      expectClose(normalized, expected) { index in
        let row = rows[index / length]
        guard element == CKERNELS_FLOAT32 else {
          // The exponential and the sum.
          return expected[index] * (ExponentialTests.halfLimit + 1.2e-4) + ExponentialTests.halfFlushed
        }
        let argument = Double((row.max() ?? 0) - row[index % length]) * Double(scale)
        guard argument.isFinite else { return 0 }
        return expected[index] * (SoftmaxTests.relativeLimit + argument * SoftmaxTests.argumentLimit)
      }
    }
  }

  /// As with softmax, nothing comes of a row with a NaN, with inf, or of -inf alone: its reciprocal is NaN, and with it all that the
  /// row is multiplied with.
  @Test(arguments: KernelVariant.available, lengths)
  func hopelessRowsSaySo(variant: KernelVariant, length: Int) throws {
    for element in ExponentialTests.elements {
      for value in [Float.nan, .infinity] {
        for place in Set([0, length / 2, length - 1]) {
          let x = GuardedMatrix(rows: 3, columns: length) { row, column in
            row == 1 && column == place ? value : Float(column % 7) - 3
          }
          #expect(try exponentials(variant, x, element).reciprocals.map(\.isNaN) == [false, true, false])
        }
      }
      let x = GuardedMatrix(rows: 2, columns: length) { row, _ in row == 0 ? -.infinity : 1 }
      #expect(try exponentials(variant, x, element).reciprocals.map(\.isNaN) == [true, false])
    }
  }

  @Test(arguments: KernelVariant.available, lengths)
  func survivesLargeValues(variant: KernelVariant, length: Int) throws {
    let x = GuardedMatrix(rows: 1, columns: length) { _, column in
      column == length - 1 ? .greatestFiniteMagnitude : -.greatestFiniteMagnitude
    }
    for element in ExponentialTests.elements {
      let found = try exponentials(variant, x, scale: 2, element)
      // The exponential of 0 is 1 but for the approximation.
      #expect(abs(found.values[length - 1] - 1) < 2e-4 && abs(found.reciprocals[0] - 1) < 2e-4)
      #expect(found.values.dropLast().allSatisfy { $0 == 0 })
    }
  }

  // MARK: - Rounding to bfloat16

  /// Every kind of float, at every place of a vector: ties both ways, numbers next to ties, subnormal ones, those that become
  /// infinite, NaNs whose payload would round away.
  @Test(arguments: KernelVariant.available, lengths)
  func roundsToBFloat16(variant: KernelVariant, length: Int) throws {
    let uppers: [UInt32] = [0, 1, 0x7f, 0x80, 0x3f80, 0x3f81, 0x4049, 0x7f7e, 0x7f7f, 0x7f80, 0x7fc0]
    let lowers: [UInt32] = [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff]
    let bits = uppers.flatMap { upper in lowers.map { upper << 16 | $0 } }
    for start in stride(from: 0, to: bits.count, by: 7) {
      let x = GuardedMatrix(rows: 3, columns: length, gap: 1) { row, column in
        let pattern = bits[(start + row * 5 + column) % bits.count]
        return Float(bitPattern: pattern | (column % 3 == 1 ? 1 << 31 : 0))
      }
      for element in [CKERNELS_BFLOAT16, CKERNELS_ROUNDED_FLOAT32] {
        let bytes = element == CKERNELS_BFLOAT16 ? 2 : 4
        let rowBytes = (bytes * length + 3) / 4 * 4
        let out = GuardedBytes(3 * (rowBytes + 4))
        out.base.initializeMemory(as: UInt8.self, repeating: 0xee, count: out.count)
        try operations(variant).round_to_bfloat16(
          x.base, x.stride, 3, length, element, out.base, rowBytes + 4)
        #expect(out.isIntact && x.isIntact)
        for row in 0..<3 {
          for column in 0..<rowBytes / bytes {
            let place = row * (rowBytes + 4) + column * bytes
            let expected = column < length ? roundedToBFloat16(x[row, column]) : 0
            if bytes == 2 {
              #expect(out.load(place, as: UInt16.self) == expected)
            } else {
              #expect(out.load(place, as: UInt32.self) == UInt32(expected) << 16)
            }
          }
          #expect(out.load(row * (rowBytes + 4) + rowBytes, as: UInt32.self) == 0xeeee_eeee)
        }
      }
    }
  }
}
