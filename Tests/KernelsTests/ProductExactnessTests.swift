import CKernels
import Kernels
import Testing

/// Products of the very numbers that the kernels read, so that what remains is the rounding of sums: nothing that conversion to
/// fewer bits could hide.
@Suite struct ProductExactnessTests {
  static let rows = [1, 2, 5, 6, 7, 13, 14, 15, 16, 29, 31, 32, 33, 48, 49, 197]
  /// Around groups of 2 and 4, vectors, and the chunks of 256 steps (of 1 or 2 elements) that long sums are made of; the last go
  /// through AVX2 in two spans, bfloat16 through AMX in several.
  static let inner = [1, 2, 3, 4, 5, 15, 16, 17, 255, 256, 257, 383, 384, 385, 513, 769, 1023, 1301, 1793]
  static let outputs = [1, 7, 8, 15, 16, 17, 31, 32, 33, 63, 65, 100]

  /// Each element is right, and a part of the rows and outputs gets the same bits as the whole, on every way through the kernel.
  @Test(arguments: Precision.allCases, inner)
  func everyShapeIsRightAndHasTheSameBits(precision: Precision, inner: Int) throws {
    var random = TestRandom()
    let (rows, outputs) = (197, 100)
    let numbers = ProductNumbers(precision, rows: rows, inner: inner, outputs: outputs, random: &random)
    let bias = random.matrix(1, outputs)
    let (biased, plain) = (numbers.reference(bias: bias), numbers.reference(bias: nil))
    for variant in KernelVariant.available {
      let product = try EncodedProduct(numbers, variant)
      for (finish, reference) in [
        (EncodedProduct.Finish(bias: bias), biased), (EncodedProduct.Finish(), plain),
      ] {
        let whole = product.results(finish)
        expectClose(whole, reference.values, "\(variant)") { reference.limits[$0] }
        for count in ProductExactnessTests.rows {
          // Amid others, whose number before and after differs.
          let start = (rows - count) / 3
          for outputCount in ProductExactnessTests.outputs {
            let part = product.results(rows: start..<start + count, outputs: 0..<outputCount, finish)
            let expected = (start..<start + count).flatMap { row in
              whole[row * outputs..<row * outputs + outputCount]
            }
            #expect(haveSameBits(part, expected), "\(variant): [\(count), \(outputCount)] of the whole")
          }
        }
        // A thread's share of the panels.
        let width = product.kernel.layout.width
        for first in stride(from: 0, to: outputs, by: width) {
          let end = min(outputs, first + 2 * width)
          let part = product.results(rows: 3..<20, outputs: first..<end, finish)
          let expected = (3..<20).flatMap { whole[$0 * outputs + first..<$0 * outputs + end] }
          #expect(haveSameBits(part, expected), "\(variant): outputs from \(first) on")
        }
      }
    }
  }

  /// More rows than the second-level cache holds go through in blocks.
  @Test(arguments: KernelVariant.available, Precision.allCases)
  func rowsBeyondTheCacheHaveTheSameBits(variant: KernelVariant, precision: Precision) throws {
    for (inner, outputs) in [(1023, 9), (1601, 41)] {
      try rowsBeyondTheCacheHaveTheSameBits(variant, precision, inner: inner, outputs: outputs)
    }
  }

  private func rowsBeyondTheCacheHaveTheSameBits(
    _ variant: KernelVariant, _ precision: Precision, inner: Int, outputs: Int
  ) throws {
    var random = TestRandom()
    let period = 7
    let few = ProductNumbers(precision, rows: period, inner: inner, outputs: outputs, random: &random)
    let elementBytes = precision == .fp32 ? 4 : precision == .bf16 ? 2 : 1
    let rows = ckernels_second_level_cache() / (inner * elementBytes) + 200
    var numbers = ProductNumbers(precision, rows: rows, inner: inner, outputs: outputs, random: &random)
    for row in 0..<rows {
      let source = row % period
      numbers.x.replaceSubrange(
        row * inner..<(row + 1) * inner, with: few.x[source * inner..<(source + 1) * inner])
      if precision == .int8 {
        numbers.zeroPoints[row] = few.zeroPoints[source]
        numbers.factors?[row] = few.factors?[source] ?? 0
      }
    }
    numbers.weights = few.weights
    numbers.scales = few.scales
    let expected = try EncodedProduct(few, variant).results()
    let found = try EncodedProduct(numbers, variant).results()
    let wrong = (0..<rows).first { row in
      let source = row % period
      return !haveSameBits(
        Array(found[row * outputs..<(row + 1) * outputs]),
        Array(expected[source * outputs..<(source + 1) * outputs]))
    }
    #expect(wrong == nil)
  }

  /// What stands in other rows and other outputs, NaN for example, stays there.
  @Test(arguments: KernelVariant.available, [Precision.fp32, .bf16])
  func nonFiniteNumbersStayInTheirRowAndOutput(variant: KernelVariant, precision: Precision) throws {
    var random = TestRandom()
    let (rows, inner, outputs) = (31, 37, 70)
    let clean = ProductNumbers(precision, rows: rows, inner: inner, outputs: outputs, random: &random)
    let expected = try EncodedProduct(clean, variant).results()
    for value in [Float.nan, .infinity, -.infinity] {
      var numbers = clean
      let (badRows, badOutputs): (Set, Set) = ([0, 13, 30], [1, 33, 69])
      for row in badRows { numbers.x[row * inner + inner - 1] = value }
      for output in badOutputs { numbers.weights[output * inner + row(output)] = value }
      func row(_ output: Int) -> Int { output % inner }
      let found = try EncodedProduct(numbers, variant).results()
      for index in found.indices {
        let isBad = badRows.contains(index / outputs) || badOutputs.contains(index % outputs)
        #expect(isBad ? !found[index].isFinite : found[index].bitPattern == expected[index].bitPattern)
      }
    }
  }

  /// factor · sum + bias is rounded once or twice; the rest of the way out is the same as without factors.
  @Test(arguments: KernelVariant.available, [Precision.fp32, .bf16])
  func scalesRows(variant: KernelVariant, precision: Precision) throws {
    var random = TestRandom()
    for (rows, inner, outputs) in [(15, 37, 33), (6, 16, 32), (1, 5, 9), (29, 300, 65)] {
      var numbers = ProductNumbers(precision, rows: rows, inner: inner, outputs: outputs, random: &random)
      numbers.factors = random.floats(rows, in: 0.01...3)
      let bias = random.matrix(1, outputs)
      for bias in [bias, nil] {
        let reference = numbers.reference(bias: bias)
        let found = try EncodedProduct(numbers, variant).results(.init(bias: bias))
        expectClose(found, reference.values) { reference.limits[$0] }
      }
    }
  }

  private static let activations = [
    CKERNELS_IDENTITY, CKERNELS_GELU, CKERNELS_GELU_TANH, CKERNELS_QUICK_GELU, CKERNELS_SILU, CKERNELS_RELU,
    CKERNELS_TANH,
  ]

  /// Stored as bfloat16, a result is the float32 one, rounded to nearest with ties to even.
  @Test(arguments: KernelVariant.available, Precision.allCases)
  func storesRoundedResults(variant: KernelVariant, precision: Precision) throws {
    var random = TestRandom()
    for (rows, inner, outputs) in [
      (15, 37, 33), (6, 16, 32), (1, 5, 9), (29, 257, 65), (14, 64, 100), (14, 769, 64), (33, 1793, 65),
    ] {
      var numbers = ProductNumbers(precision, rows: rows, inner: inner, outputs: outputs, random: &random)
      // As attention's values, and not.
      if precision != .int8 && rows != 14 { numbers.factors = random.floats(rows, in: 0.01...3) }
      let product = try EncodedProduct(numbers, variant)
      let (bias, gamma) = (random.matrix(1, outputs), random.matrix(1, outputs))
      for activation in ProductExactnessTests.activations {
        for (bias, gamma) in [(bias, gamma), (bias, nil), (nil, nil)] as [(GuardedMatrix?, GuardedMatrix?)] {
          var finish = EncodedProduct.Finish(bias: bias, activation: activation, gamma: gamma)
          let floats = product.results(finish)
          finish.store = CKERNELS_STORE_BFLOAT16
          // Rows that end and begin off 4 bytes.
          let stride = outputs + 1 + outputs % 2 * 2
          let out = GuardedBytes(2 * rows * stride, misalignment: 2)
          product.run(
            rows: 0..<rows, outputs: 0..<outputs, finish, out: out.base, stride: stride)
          #expect(out.isIntact)
          for row in 0..<rows {
            for column in 0..<stride {
              let found = out.load(2 * (row * stride + column), as: UInt16.self)
              // Results below the normal numbers may be flushed to 0.
              let float = column < outputs ? floats[row * outputs + column] : 0
              #expect(found == roundedToBFloat16(float) || abs(float) < 0x1p-126 && fromBFloat16(found) == 0)
            }
          }
        }
      }
    }
  }

  /// Added to what is there: the stored result, with one rounding more.
  @Test(arguments: KernelVariant.available, Precision.allCases)
  func addsToWhatIsThere(variant: KernelVariant, precision: Precision) throws {
    var random = TestRandom()
    for (rows, inner, outputs) in [
      (15, 37, 33), (6, 16, 32), (1, 5, 9), (29, 257, 65), (33, 1793, 65), (49, 1793, 100), (65, 769, 33),
    ] {
      var numbers = ProductNumbers(precision, rows: rows, inner: inner, outputs: outputs, random: &random)
      if precision != .int8 && rows % 3 == 0 { numbers.factors = random.floats(rows, in: 0.01...3) }
      let product = try EncodedProduct(numbers, variant)
      let gamma = random.matrix(1, outputs)
      for gamma in [gamma, nil] {
        var finish = EncodedProduct.Finish(gamma: gamma)
        let results = product.results(finish)
        finish.store = CKERNELS_ADD_FLOAT32
        let out = random.matrix(rows, outputs, gap: 2)
        let before = out.values
        product.run(rows: 0..<rows, outputs: 0..<outputs, finish, out: out.base, stride: out.stride)
        #expect(out.isIntact)
        let expected = results.indices.map { Double(results[$0]) + Double(before[$0]) }
        // The product with gamma may or may not be rounded before it is added.
        expectClose(out.values, expected) {
          (abs(Double(results[$0])) + abs(expected[$0])) * floatEpsilon / 2 * 1.001 + 0x1p-149
        }
      }
    }
  }

  /// Nothing to compute, nothing written.
  @Test(arguments: KernelVariant.available, Precision.allCases)
  func takesEmptyProducts(variant: KernelVariant, precision: Precision) throws {
    var random = TestRandom()
    let numbers = ProductNumbers(precision, rows: 3, inner: 5, outputs: 7, random: &random)
    let product = try EncodedProduct(numbers, variant)
    let out = GuardedBytes(64)
    product.run(rows: 0..<0, outputs: 0..<7, .init(), out: out.base, stride: 7)
    product.run(rows: 0..<3, outputs: 0..<0, .init(), out: out.base, stride: 7)
    #expect(out.isIntact && (0..<64).allSatisfy { out.load($0, as: UInt8.self) == 0 })

    let sumless = ProductNumbers(precision, rows: 3, inner: 0, outputs: 7, random: &random)
    #expect(try EncodedProduct(sumless, variant).results().allSatisfy { $0 == 0 })
  }
}
