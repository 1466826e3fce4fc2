import CKernels
import Foundation
import Kernels
import Testing

/// One product in C: rows and weights as floats, and how the kernel of a variant sees them.
struct ProductTrial {
  let operations: ckernels_operations
  let kernel: ckernels_product_kernel
  let x, weight: GuardedMatrix

  init(_ variant: KernelVariant, _ precision: Precision, _ x: GuardedMatrix, _ weight: GuardedMatrix) throws {
    operations = try KernelsTests.operations(variant)
    kernel =
      switch precision {
      case .fp32: operations.products.0
      case .bf16: operations.products.1
      case .int8: operations.products.2
      }
    (self.x, self.weight) = (x, weight)
  }

  var inner: Int { x.columns }
  var outputs: Int { weight.rows }
  private var elementBytes: Int {
    switch kernel.element {
    case CKERNELS_UINT8: 1
    case CKERNELS_BFLOAT16, CKERNELS_UINT16: 2
    default: 4
    }
  }

  /// What happens to the sums.
  struct Finish {
    var bias: GuardedMatrix?
    var activation = CKERNELS_IDENTITY
    var gamma: GuardedMatrix?
    var store = CKERNELS_STORE_FLOAT32
  }

  /// Computes into `out` [R, O], whose elements are floats or, with that store, bfloat16 from the start of each row.
  func run(_ finish: Finish, into out: GuardedMatrix) {
    let stride = (inner * elementBytes + 3) / 4 * 4 + 64
    let rows = UnsafeMutableRawPointer.allocate(byteCount: x.rows * stride + 64, alignment: 64)
    defer { rows.deallocate() }
    // What is beyond a row must not matter.
    rows.initializeMemory(as: UInt8.self, repeating: 0xff, count: x.rows * stride + 64)
    var factors = [Float](repeating: 0, count: x.rows)
    var zeroPoints = [Int32](repeating: 0, count: x.rows)
    let isExact = kernel.layout.element_bytes == 1
    switch kernel.element {
    case CKERNELS_FLOAT32:
      for row in 0..<x.rows {
        (rows + row * stride).copyMemory(from: x.base + row * x.stride, byteCount: 4 * inner)
      }
    case CKERNELS_UINT8, CKERNELS_UINT16:
      var levels = ckernels_levels()
      operations.quantize(
        x.base, x.stride, x.rows, inner, &levels, kernel.element, rows, stride, &factors, &zeroPoints)
    default:
      operations.round_to_bfloat16(x.base, x.stride, x.rows, inner, kernel.element, rows, stride)
    }
    let panelCount = (outputs + kernel.layout.width - 1) / kernel.layout.width
    let panels = UnsafeMutableRawPointer.allocate(
      byteCount: panelCount * ckernels_panel_bytes(kernel.layout, inner) + 64, alignment: 64)
    defer { panels.deallocate() }
    var scales = [Float](repeating: 0, count: outputs)
    var sums = [Int32](repeating: 0, count: outputs)
    if isExact {
      var levels = [Int8](repeating: 0, count: outputs * inner)
      operations.quantize_weights(weight.base, weight.stride, outputs, inner, &levels, inner, &scales)
      ckernels_pack_rows_int8(kernel.layout, levels, inner, outputs, inner, panels, &sums)
    } else {
      ckernels_pack_rows(kernel.layout, weight.base, weight.stride, outputs, inner, panels)
    }
    let outStride = finish.store == CKERNELS_STORE_BFLOAT16 ? 2 * out.stride : out.stride
    factors.withUnsafeBufferPointer { factors in
      zeroPoints.withUnsafeBufferPointer { zeroPoints in
        scales.withUnsafeBufferPointer { scales in
          sums.withUnsafeBufferPointer { sums in
            var product = ckernels_product(
              rows: x.rows, inner: inner, outputs: outputs, x: rows, x_stride: stride,
              factors: isExact ? factors.baseAddress : nil, zero_points: zeroPoints.baseAddress,
              panels: panels,
              scales: scales.baseAddress, sums: sums.baseAddress,
              bias: finish.bias.map { UnsafePointer($0.base) },
              activation: finish.activation, gamma: finish.gamma.map { UnsafePointer($0.base) },
              out: out.base,
              out_stride: outStride, store: finish.store)
            kernel.multiply(&product)
          }
        }
      }
    }
  }

  func results(_ finish: Finish = Finish()) -> [Float] {
    let out = GuardedMatrix(rows: x.rows, columns: outputs, gap: 3) { _, _ in .nan }
    run(finish, into: out)
    #expect(out.isIntact)
    return out.values
  }
}

@Suite struct ProductTests {
  /// Rows, inner, outputs: on and off the edges of tiles (6 and 14 rows, 8 to 32 outputs), of groups (2 and 4 k) and of the chunks
  /// of 256 steps in which long sums are made.
  static let shapes: [(Int, Int, Int)] = [
    (1, 1, 1), (2, 2, 7), (5, 3, 8), (6, 4, 15), (7, 5, 16), (13, 15, 17), (14, 16, 31), (15, 17, 32),
    (29, 64, 33), (14, 255, 63), (15, 256, 65), (1, 257, 100), (2, 383, 33), (3, 384, 16), (5, 385, 48),
    (7, 513, 9), (29, 1023, 40), (1, 2100, 3), (197, 64, 96),
  ]

  /// Products of two numbers that were rounded to 8 bits each differ from the exact ones by two relative errors of 2^-9, which
  /// add up at worst; int8: half a step of 1/255 of the range of x, and of 1/127 of that of w.
  private static func limits(_ precision: Precision, _ x: GuardedMatrix, _ weight: GuardedMatrix) -> [Double]
  {
    (0..<x.rows).flatMap { row in
      (0..<weight.rows).map { output in
        let (left, right) = (x.view.row(row), weight.view.row(output))
        let magnitude = zip(left, right).reduce(0.0) { $0 + Double(abs($1.0 * $1.1)) }
        switch precision {
        case .fp32: return LinearTests.productLimit(x.columns, magnitude: magnitude)
        case .bf16:
          return magnitude * 2.1 * 0x1p-9 + LinearTests.productLimit(x.columns, magnitude: magnitude)
        case .int8:
          let step = Double(max(0, left.max() ?? 0) - min(0, left.min() ?? 0)) / 255 / 2 * 1.01
          let weightStep = right.reduce(0.0) { max($0, Double(abs($1))) } / 127 / 2 * 1.01
          return zip(left, right).reduce(1e-6) {
            $0 + step * (Double(abs($1.1)) + weightStep) + weightStep * Double(abs($1.0))
          }
        }
      }
    }
  }

  private static func exact(_ x: GuardedMatrix, _ weight: GuardedMatrix) -> [Double] {
    (0..<x.rows).flatMap { row in
      (0..<weight.rows).map { output in
        zip(x.view.row(row), weight.view.row(output)).reduce(0) { $0 + Double($1.0) * Double($1.1) }
      }
    }
  }

  @Test(arguments: KernelVariant.available, Precision.allCases)
  func agreesWithDoublePrecision(variant: KernelVariant, precision: Precision) throws {
    var random = TestRandom()
    for (rows, inner, outputs) in ProductTests.shapes {
      let (x, weight) = (random.matrix(rows, inner, gap: 1), random.matrix(outputs, inner, gap: 2))
      let limits = ProductTests.limits(precision, x, weight)
      let results = try ProductTrial(variant, precision, x, weight).results()
      expectClose(results, ProductTests.exact(x, weight), "\(rows) x \(inner) x \(outputs)") { limits[$0] }
      #expect(x.isIntact && weight.isIntact)
    }
  }

  /// GELU on numbers of 8 bits, of all that are bfloat16 up to 9.
  @Test(arguments: KernelVariant.available)
  func roughGELU(variant: KernelVariant) throws {
    let magnitudes = (0...0x4110).map { Float(bitPattern: UInt32($0) << 16) }
    let values = magnitudes + magnitudes.map { -$0 } + [.infinity, -.infinity, .nan]
    let (x, one) = (
      GuardedMatrix(rows: values.count, columns: 1) { row, _ in values[row] }, GuardedMatrix([1])
    )
    let trial = try ProductTrial(variant, .bf16, x, one)
    let results = trial.results(ProductTrial.Finish(activation: CKERNELS_GELU))
    let finite = values.indices.dropLast(3)
    let errors = finite.map { Double(results[$0]) - Activation.gelu.reference(Double(values[$0])) }
    #expect(finite.allSatisfy { abs(errors[$0]) < 5e-5 * max(1, Double(values[$0])) })
    #expect(results[finite.count] == .infinity && results[finite.count + 1] == 0)
    #expect(results[finite.count + 2].isNaN)
  }

  /// Everything that may happen to the sums on their way out, against the same done to the plain sums of the same variant.
  @Test(arguments: KernelVariant.available, Precision.allCases)
  func finishes(variant: KernelVariant, precision: Precision) throws {
    let kinds: [(ckernels_activation, Activation?)] = [
      (CKERNELS_IDENTITY, nil), (CKERNELS_GELU, .gelu), (CKERNELS_GELU_TANH, .geluTanh),
      (CKERNELS_QUICK_GELU, .quickGELU), (CKERNELS_SILU, .silu), (CKERNELS_RELU, .relu),
      (CKERNELS_TANH, .tanh),
    ]
    var random = TestRandom()
    for (rows, inner, outputs) in [(15, 40, 45), (3, 7, 5), (14, 33, 32)] {
      let (x, weight) = (random.matrix(rows, inner), random.matrix(outputs, inner))
      let (bias, gamma) = (random.matrix(1, outputs), random.matrix(1, outputs))
      let trial = try ProductTrial(variant, precision, x, weight)
      let sums = trial.results()
      for (activation, reference) in kinds {
        // GELU on numbers of 8 bits is within 5e-5 (see `rough_gelu_lanes`).
        let rough = activation == CKERNELS_GELU && precision != .fp32 ? 5e-5 : 0
        for hasBias in [true, false] {
          for hasGamma in [true, false] {
            let values = sums.indices.map { index -> Double in
              let biased = Double(hasBias ? sums[index] + bias[0, index % outputs] : sums[index])
              let y = reference?.reference(biased) ?? biased
              return hasGamma ? y * Double(gamma[0, index % outputs]) : y
            }
            // A few roundings, of numbers of magnitude up to some tens.
            func limit(_ index: Int) -> Double {
              (abs(values[index]) + 1) * 16 * floatEpsilon + (reference?.limit(values[index]) ?? 0) + rough
            }
            var finish = ProductTrial.Finish(
              bias: hasBias ? bias : nil, activation: activation, gamma: hasGamma ? gamma : nil)
            expectClose(trial.results(finish), values, "\(activation)", limit: limit)

            finish.store = CKERNELS_ADD_FLOAT32
            let residual = GuardedMatrix(rows: rows, columns: outputs, gap: 1) { Float($0) - Float($1) / 8 }
            let before = residual.values
            trial.run(finish, into: residual)
            #expect(residual.isIntact)
            expectClose(residual.values, values.indices.map { values[$0] + Double(before[$0]) }) {
              limit($0) + abs(Double(before[$0])) * floatEpsilon
            }

            finish.store = CKERNELS_STORE_BFLOAT16
            let halves = GuardedMatrix(rows: rows, columns: (outputs + 1) / 2, gap: 1) { _, _ in 0 }
            trial.run(finish, into: halves)
            #expect(halves.isIntact)
            for row in 0..<rows {
              let words = UnsafeRawPointer(halves.base + row * halves.stride).assumingMemoryBound(
                to: UInt16.self)
              for output in 0..<outputs {
                let index = row * outputs + output
                let value = Double(Float(bitPattern: UInt32(words[output]) << 16))
                #expect(abs(value - values[index]) <= abs(values[index]) * 0x1.01p-8 + limit(index))
              }
            }
          }
        }
      }
    }
  }

  /// NaN and infinities reach the results: of their row with x, of their column with w.
  @Test(arguments: KernelVariant.available, Precision.allCases)
  func spreadsNonFinite(variant: KernelVariant, precision: Precision) throws {
    var random = TestRandom()
    for value in [Float.nan, .infinity, -.infinity] {
      let (x, weight) = (random.matrix(9, 21), random.matrix(35, 21, in: 0.5...1))
      x.base[4 * x.stride + 7] = value
      let results = try ProductTrial(variant, precision, x, weight).results()
      for index in results.indices { #expect(results[index].isFinite == (index / 35 != 4)) }
    }
  }
}
