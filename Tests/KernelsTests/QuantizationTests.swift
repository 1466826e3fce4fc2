import CKernels
import Kernels
import Testing

@Suite struct QuantizationTests {
  private typealias Levels = (levels: [Int], scales: [Float], zeroPoints: [Int32])

  /// Quantises x into rows of bytes or words, and checks that what lies behind a row is 0 up to a whole group of 4 bytes, and
  /// as it was from there on.
  private func quantize(
    _ variant: KernelVariant, _ x: GuardedMatrix, _ element: ckernels_element,
    multipliers: GuardedMatrix? = nil, scale: Float = 0, zeroPoint: Int32 = 0
  ) throws -> Levels {
    let (group, bytes) = element == CKERNELS_UINT8 ? (4, 1) : (2, 2)
    let padded = (x.columns + group - 1) / group * group
    let stride = padded * bytes + 4
    let out = GuardedBytes(x.rows * stride)
    out.base.initializeMemory(as: UInt8.self, repeating: 0xee, count: out.count)
    var scales = [Float](repeating: -1, count: x.rows)
    var zeroPoints = [Int32](repeating: -1, count: x.rows)
    var how = ckernels_levels(
      multipliers: multipliers.map { UnsafePointer($0.base) }, scale: scale, zero_point: zeroPoint)
    try operations(variant).quantize(
      x.base, x.stride, x.rows, x.columns, &how, element, out.base, stride, &scales, &zeroPoints)
    #expect(out.isIntact && x.isIntact && multipliers?.isIntact ?? true)
    var levels: [Int] = []
    for row in 0..<x.rows {
      for column in 0..<padded {
        let place = row * stride + column * bytes
        let level = bytes == 1 ? Int(out.load(place, as: UInt8.self)) : Int(out.load(place, as: UInt16.self))
        if column < x.columns { levels.append(level) } else { #expect(level == 0, "padding") }
      }
      #expect(out.load(row * stride + padded * bytes, as: UInt32.self) == 0xeeee_eeee)
    }
    let plain = zeroPoints.map { $0 & 255 }
    #expect(zeroPoints == plain.map(ckernels_zero_point))
    return (levels, scales, plain)
  }

  private static let elements = [CKERNELS_UINT8, CKERNELS_UINT16]

  /// Half a step, and the roundings of a scale, its inverse and a product, of up to 255 steps together.
  static let steps = 0.5 + 255 * 4 * floatEpsilon
  /// Below a scale of 2^-120 a row is 0: 255 of such steps are lost at most.
  static let lost = 255 * 0x1p-120

  /// Rows of which kernels are to be told the range, with what they are.
  private static let ranges: [ClosedRange<Float>] = [
    -1...1, 0...1, -1...0, -0.17...8, 3...4, -4 ... -3, -1e-3...1e3, 1e-30...2e-30, -1e38...3e38,
    -Float.greatestFiniteMagnitude...Float.greatestFiniteMagnitude, 1e-38...1e-37, -0x1p-139...0x1p-139,
  ]

  @Test(arguments: KernelVariant.available, lengths)
  func levelsAreWithinHalfAStepAndThePlainOnes(variant: KernelVariant, length: Int) throws {
    var random = TestRandom()
    for range in QuantizationTests.ranges {
      let x = GuardedMatrix(rows: 5, columns: length, gap: 1) { _, _ in
        // The interpolation that does not overflow.
        let t = Float.random(in: 0...1, using: &random)
        return range.lowerBound * (1 - t) + range.upperBound * t
      }
      x.base[0] = 0
      x.base[x.stride + length - 1] = range.upperBound
      x.base[2 * x.stride] = range.lowerBound
      for element in QuantizationTests.elements {
        let found = try quantize(variant, x, element)
        let plain = try quantize(.plain, x, element)
        #expect(found.levels == plain.levels && found.zeroPoints == plain.zeroPoints)
        #expect(haveSameBits(found.scales, plain.scales))
        for row in 0..<5 {
          #expect(found.scales[row].isFinite && found.scales[row] >= 0)
          #expect((0...255).contains(found.zeroPoints[row]))
          for column in 0..<length {
            let level = found.levels[row * length + column] - Int(found.zeroPoints[row])
            let (value, step) = (Double(x[row, column]), Double(found.scales[row]))
            let limit = max(QuantizationTests.steps * step, step == 0 ? QuantizationTests.lost : 0)
            #expect(abs(step * Double(level) - value) <= limit, "\(value) in \(range)")
            if value == 0 { #expect(level == 0) }
          }
        }
      }
    }
  }

  @Test(arguments: KernelVariant.available, lengths)
  func constantRowsAreExactToASixteenBitRounding(variant: KernelVariant, length: Int) throws {
    let values: [Float] = [0, -0.0, 1, -1, 0.3, -7.7, 1e30, -3e38]
    let x = GuardedMatrix(rows: values.count, columns: length) { row, _ in values[row] }
    for element in QuantizationTests.elements {
      let found = try quantize(variant, x, element)
      for row in values.indices {
        // A range that ends at 0: the value is the first or the last level.
        let level = found.levels[row * length] - Int(found.zeroPoints[row])
        #expect(level == (values[row] == 0 ? 0 : values[row] > 0 ? 255 : -255))
        let value = Double(found.scales[row]) * Double(level)
        #expect(abs(value - Double(values[row])) <= abs(Double(values[row])) * floatEpsilon)
        #expect(
          found.levels[row * length..<(row + 1) * length].allSatisfy { $0 == found.levels[row * length] })
      }
    }
  }

  /// At any place, and beside numbers that could hide it.
  @Test(arguments: KernelVariant.available, lengths)
  func rowsThatAreNotFiniteSaySo(variant: KernelVariant, length: Int) throws {
    for value in [Float.nan, -.nan, .infinity, -.infinity] {
      for place in Set([0, length / 2, length - 1]) {
        let x = GuardedMatrix(rows: 3, columns: length) { row, column in
          row == 1 && column == place ? value : Float(column % 5) - 2
        }
        for element in QuantizationTests.elements {
          let found = try quantize(variant, x, element)
          #expect(found.scales.map(\.isNaN) == [false, true, false])
        }
      }
    }
  }

  /// Multiplied rows have the levels of the products, whether by their range or at a scale for all.
  @Test(arguments: KernelVariant.available, lengths)
  func multipliersComeBeforeTheLevels(variant: KernelVariant, length: Int) throws {
    var random = TestRandom()
    let x = random.matrix(4, length, gap: 2)
    let multipliers = GuardedMatrix(rows: 1, columns: length) { _, column in Float(1 + column % 7) / 4 }
    let products = GuardedMatrix(rows: 4, columns: length) { row, column in
      x[row, column] * multipliers[0, column]
    }
    for element in QuantizationTests.elements {
      for (scale, zeroPoint) in [(Float(0), Int32(0)), (0.01, 117)] {
        let expected = try quantize(.plain, products, element, scale: scale, zeroPoint: zeroPoint)
        for variant in [variant, .plain] {
          let found = try quantize(
            variant, x, element, multipliers: multipliers, scale: scale, zeroPoint: zeroPoint)
          #expect(found.levels == expected.levels && found.zeroPoints == expected.zeroPoints)
          #expect(haveSameBits(found.scales, expected.scales))
        }
      }
    }
  }

  /// At a scale for all rows a level is the nearest, the first or the last; a row that is not finite says so still.
  @Test(arguments: KernelVariant.available, lengths)
  func levelsOfAKnownScale(variant: KernelVariant, length: Int) throws {
    let values: [Float] = [0, 0.25, -0.25, 0.26, 100, -100, 1e30, .nan, .infinity]
    let x = GuardedMatrix(rows: values.count, columns: length) { row, _ in values[row] }
    let levels = [100, 101, 99, 101, 255, 0, 255]
    for element in QuantizationTests.elements {
      let found = try quantize(variant, x, element, scale: 0.25, zeroPoint: 100)
      for (row, level) in levels.enumerated() {
        #expect(found.levels[row * length..<(row + 1) * length].allSatisfy { $0 == level })
        #expect(found.scales[row] == 0.25 && found.zeroPoints[row] == 100)
      }
      #expect(found.scales[7].isNaN && found.scales[8].isNaN)
    }
  }

  // MARK: - Weights

  private func quantizeWeights(
    _ variant: KernelVariant, _ w: GuardedMatrix
  ) throws -> (levels: [Int8], scales: [Float]) {
    let stride = w.columns + 3
    let out = GuardedBytes(w.rows * stride, misalignment: 1)
    var scales = [Float](repeating: -1, count: w.rows)
    try operations(variant).quantize_weights(
      w.base, w.stride, w.rows, w.columns, out.base.assumingMemoryBound(to: Int8.self), stride, &scales)
    #expect(out.isIntact && w.isIntact)
    var levels: [Int8] = []
    for row in 0..<w.rows {
      for column in 0..<stride {
        let level = out.load(row * stride + column, as: Int8.self)
        if column < w.columns { levels.append(level) } else { #expect(level == 0, "the gap") }
      }
    }
    return (levels, scales)
  }

  @Test(arguments: KernelVariant.available, lengths)
  func weightsAreWithinHalfAStepAndThePlainOnes(variant: KernelVariant, length: Int) throws {
    var random = TestRandom()
    let magnitudes: [Float] = [0, 1, 1e-3, 1e-30, 1e-36, 1e38, .greatestFiniteMagnitude]
    let w = GuardedMatrix(rows: magnitudes.count, columns: length, gap: 2) { row, _ in
      Float.random(in: -1...1, using: &random) * magnitudes[row]
    }
    w.base[1 * w.stride + length - 1] = -1
    w.base[6 * w.stride] = -.greatestFiniteMagnitude
    let found = try quantizeWeights(variant, w)
    let plain = try quantizeWeights(.plain, w)
    #expect(found.levels == plain.levels && haveSameBits(found.scales, plain.scales))
    #expect(found.scales[0] == 1 && found.levels[0..<length].allSatisfy { $0 == 0 })
    for row in 1..<magnitudes.count {
      let levels = found.levels[row * length..<(row + 1) * length]
      #expect(levels.contains(127) || levels.contains(-127))
      #expect(!levels.contains(-128))
      for column in 0..<length {
        let (value, step) = (Double(w[row, column]), Double(found.scales[row]))
        #expect(
          abs(step * Double(levels[levels.startIndex + column]) - value) <= step * QuantizationTests.steps)
      }
    }
  }

  /// Scales that are no normal floats are off themselves; the levels stay within theirs.
  @Test(arguments: KernelVariant.available, [1, 5, 16, 33])
  func subnormalWeightsStayWithinTheLevels(variant: KernelVariant, length: Int) throws {
    let values: [Float] = [1e-38, 0x1p-133, 0x1.6p-142, 0x1.8p-147, .leastNonzeroMagnitude]
    let w = GuardedMatrix(rows: values.count, columns: length) { row, column in
      column % 2 == 0 ? values[row] : -values[row]
    }
    let found = try quantizeWeights(variant, w)
    let plain = try quantizeWeights(.plain, w)
    #expect(found.levels == plain.levels && haveSameBits(found.scales, plain.scales))
    for row in values.indices {
      #expect(found.scales[row] > 0)
      for column in 0..<length {
        let level = found.levels[row * length + column]
        #expect(level != -128 && (column % 2 == 0 ? level >= 0 : level <= 0))
      }
    }
  }

  // MARK: - Exact sums

  /// The largest terms there are, as many as a product may have, with every kind of zero point. Sums that pass through fewer than
  /// 32 bits on the way - `vpmaddubsw` adds two products in 16 - or that saturate would show.
  @Test(arguments: [1, 2, 3, 4, 5, 7, 63, 4096, 32_763, 32_764, 32_765, 32_766, 32_767])
  func sumsAreThoseOf64Bits(inner: Int) throws {
    #expect(inner <= ckernels_int8_largest_inner)
    var random = TestRandom()
    let levels: [[Int]] = [
      [Int](repeating: 255, count: inner), [Int](repeating: 0, count: inner),
      (0..<inner).map { $0 % 2 == 0 ? 255 : 0 },
      (0..<inner).map { _ in Int.random(in: 0...255, using: &random) },
      [Int](repeating: 128, count: inner),
    ]
    let signs: [[Int]] = [
      // The least level is one that rounding does not make, but a checkpoint may have.
      [Int](repeating: 127, count: inner), [Int](repeating: -128, count: inner),
      (0..<inner).map { $0 % 2 == 0 ? 127 : -127 },
      (0..<inner).map { $0 % 4 < 2 ? -127 : 127 },
      (0..<inner).map { _ in Int.random(in: -127...127, using: &random) },
    ]
    let zeros = [0, 255, 128, 1]
    // 20 rows, 35 outputs: full tiles and parts of them, whole panels and halves.
    let rows = zeros.flatMap { zero in levels.map { ($0, zero) } }
    let numbers = ProductNumbers(
      levels: rows.map(\.0), weights: (0..<35).map { signs[$0 % signs.count] }, zeroPoints: rows.map(\.1))
    // A pattern is computed once.
    let exact = levels.map { levels in
      signs.map { signs in
        zip(levels, signs).reduce(into: (product: Int64(0), sum: Int64(0))) {
          $0.product += Int64($1.0 * $1.1)
          $0.sum += Int64($1.1)
        }
      }
    }
    let expected = rows.indices.flatMap { row in
      (0..<35).map { output in
        let sums = exact[row % levels.count][output % signs.count]
        return Float(sums.product - Int64(rows[row].1) * sums.sum)
      }
    }
    for variant in KernelVariant.available {
      #expect(try EncodedProduct(numbers, variant).results() == expected, "\(variant)")
    }
  }
}
