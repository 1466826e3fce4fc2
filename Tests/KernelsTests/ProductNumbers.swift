import CKernels
import Kernels
import Testing

/// The numbers of a product as every variant gets them: floats; with bf16, floats that are bfloat16 by value; with int8, the
/// levels 0...255 of x and the weights -127...127.
struct ProductNumbers {
  let precision: Precision
  let rows: Int
  let inner: Int
  let outputs: Int
  /// [R, K]
  var x: [Float]
  /// [O, K]
  var weights: [Float]
  /// What a sum of a row is multiplied with, [R]; int8: the scale of its levels.
  var factors: [Float]?
  /// int8: the level that stands for 0, [R], and what a unit of an output's weights is worth, [O].
  var zeroPoints: [Int32]
  var scales: [Float]

  /// Random numbers; fp32 and bf16 in -1...1.
  init(_ precision: Precision, rows: Int, inner: Int, outputs: Int, random: inout TestRandom) {
    (self.precision, self.rows, self.inner, self.outputs) = (precision, rows, inner, outputs)
    (zeroPoints, scales) = ([], [])
    guard precision == .int8 else {
      func numbers(_ count: Int) -> [Float] {
        let floats = random.floats(count)
        return precision == .fp32 ? floats : floats.map { fromBFloat16(roundedToBFloat16($0)) }
      }
      (x, weights) = (numbers(rows * inner), numbers(outputs * inner))
      return
    }
    x = (0..<rows * inner).map { _ in Float(Int.random(in: 0...255, using: &random)) }
    weights = (0..<outputs * inner).map { _ in Float(Int.random(in: -127...127, using: &random)) }
    zeroPoints = (0..<rows).map { _ in Int32.random(in: 0...255, using: &random) }
    factors = random.floats(rows, in: 0.001...0.1)
    scales = random.floats(outputs, in: 0.001...0.1)
  }

  /// Levels, weights and zero points as they are given, with scales of 1.
  init(levels: [[Int]], weights: [[Int]], zeroPoints: [Int]) {
    (precision, rows, inner, outputs) = (.int8, levels.count, levels[0].count, weights.count)
    x = levels.flatMap { $0.map(Float.init) }
    self.weights = weights.flatMap { $0.map(Float.init) }
    self.zeroPoints = zeroPoints.map(Int32.init)
    factors = [Float](repeating: 1, count: rows)
    scales = [Float](repeating: 1, count: outputs)
  }

  /// The sum of an output in double precision, and that of the terms' magnitudes. int8: both of integers, and exact.
  func sum(_ row: Int, _ output: Int) -> (value: Double, magnitude: Double) {
    let zero = zeroPoints.isEmpty ? 0 : Double(zeroPoints[row])
    return x.withUnsafeBufferPointer { x in
      weights.withUnsafeBufferPointer { weights in
        var (value, magnitude) = (0.0, 0.0)
        for k in 0..<inner {
          let term = (Double(x[row * inner + k]) - zero) * Double(weights[output * inner + k])
          value += term
          magnitude += abs(term)
        }
        return (value, magnitude)
      }
    }
  }

  /// factor · sum + bias of each element [R · O], and how far a kernel's may be off.
  func reference(bias: GuardedMatrix?) -> (values: [Double], limits: [Double]) {
    var (values, limits): ([Double], [Double]) = ([], [])
    for row in 0..<rows {
      for output in 0..<outputs {
        let sum = sum(row, output)
        let addend = bias.map { Double($0[0, output]) } ?? 0
        let factor = Double(factors?[row] ?? 1)
        switch precision {
        case .fp32, .bf16:
          // Sums of exact products. The instruction for bfloat16 takes subnormal numbers for 0.
          let flushed = precision == .bf16 ? Double(inner + 1) * 0x1p-125 : 0
          values.append(factor * sum.value + addend)
          limits.append(
            LinearTests.productLimit(inner, magnitude: abs(factor) * sum.magnitude + abs(addend)) + flushed)
        case .int8:
          // The sum is exact; it, the product of the scales and the product of both are rounded, and the result.
          let value = sum.value * factor * Double(scales[output])
          values.append(value + addend)
          limits.append((3.1 * abs(value) + abs(value + addend)) * floatEpsilon / 2)
        }
      }
    }
    return (values, limits)
  }
}

func roundedToBFloat16(_ x: Float) -> UInt16 {
  let bits = x.bitPattern
  return x.isNaN
    ? UInt16(truncatingIfNeeded: bits >> 16) | 0x40
    : UInt16(truncatingIfNeeded: (bits + 0x7fff + (bits >> 16 & 1)) >> 16)
}

func fromBFloat16(_ half: UInt16) -> Float { Float(bitPattern: UInt32(half) << 16) }

/// Bytes amid sentinels, zeros at first.
final class GuardedBytes {
  private static let sentinel: UInt8 = 0xa5
  private static let margin = 64
  private let storage: UnsafeMutableRawBufferPointer
  /// Off a vector's boundary by 4 bytes, which is what kernels may count on.
  private let first: Int
  let count: Int

  init(_ count: Int, misalignment: Int = 4) {
    self.count = count
    first = GuardedBytes.margin + misalignment
    storage = .allocate(byteCount: first + count + GuardedBytes.margin, alignment: 64)
    storage.initializeMemory(as: UInt8.self, repeating: GuardedBytes.sentinel)
    (base).initializeMemory(as: UInt8.self, repeating: 0, count: count)
  }

  deinit { storage.deallocate() }

  var base: UnsafeMutableRawPointer {
    // `storage` is never empty: it has margins.
    storage.baseAddress.unsafelyUnwrapped + first
  }

  func load<T>(_ offset: Int, as type: T.Type) -> T { base.loadUnaligned(fromByteOffset: offset, as: type) }

  /// Whether no sentinel has changed.
  var isIntact: Bool {
    ([0..<first, first + count..<storage.count] as [Range<Int>]).allSatisfy { range in
      range.allSatisfy { storage[$0] == GuardedBytes.sentinel }
    }
  }
}

extension ckernels_operations {
  func product(_ precision: Precision) -> ckernels_product_kernel {
    switch precision {
    case .fp32: products.0
    case .bf16: products.1
    case .int8: products.2
    }
  }
}

/// The numbers of a product as the kernel of a variant reads them.
final class EncodedProduct {
  let numbers: ProductNumbers
  let kernel: ckernels_product_kernel
  private let rows: GuardedBytes
  private let rowStride: Int
  private let panels: GuardedBytes
  private var sums: [Int32]

  /// What happens to the sums.
  struct Finish {
    var bias: GuardedMatrix?
    var activation = CKERNELS_IDENTITY
    var gamma: GuardedMatrix?
    var store = CKERNELS_STORE_FLOAT32
  }

  init(_ numbers: ProductNumbers, _ variant: KernelVariant) throws {
    self.numbers = numbers
    let kernel = try operations(variant).product(numbers.precision)
    let (inner, outputs, layout) = (numbers.inner, numbers.outputs, kernel.layout)
    let elementBytes =
      switch kernel.element {
      case CKERNELS_UINT8: 1
      case CKERNELS_BFLOAT16, CKERNELS_UINT16: 2
      default: 4
      }
    let rowBytes = (inner * elementBytes + 3) / 4 * 4
    rowStride = rowBytes + 12
    rows = GuardedBytes(numbers.rows * rowStride)
    // Beyond the end of a row are NaNs.
    rows.base.initializeMemory(as: UInt8.self, repeating: 0xff, count: rows.count)
    for row in 0..<numbers.rows {
      let target = rows.base + row * rowStride
      target.initializeMemory(as: UInt8.self, repeating: 0, count: rowBytes)
      for k in 0..<inner {
        let (value, place) = (numbers.x[row * inner + k], k * elementBytes)
        switch kernel.element {
        case CKERNELS_UINT8: target.storeBytes(of: UInt8(value), toByteOffset: place, as: UInt8.self)
        case CKERNELS_UINT16: target.storeBytes(of: UInt16(value), toByteOffset: place, as: UInt16.self)
        case CKERNELS_BFLOAT16:
          target.storeBytes(of: roundedToBFloat16(value), toByteOffset: place, as: UInt16.self)
        default: target.storeBytes(of: value, toByteOffset: place, as: Float.self)
        }
      }
    }
    let panelCount = (outputs + layout.width - 1) / layout.width
    panels = GuardedBytes(panelCount * ckernels_panel_bytes(layout, inner))
    sums = [Int32](repeating: 0, count: outputs)
    switch layout.element_bytes {
    case 1:
      let levels = numbers.weights.map { Int8($0) }
      ckernels_pack_rows_int8(layout, levels, inner, outputs, inner, panels.base, &sums)
    case 2:
      let halves = numbers.weights.map(roundedToBFloat16)
      ckernels_pack_rows_bfloat16(layout, halves, inner, outputs, inner, panels.base)
    default: ckernels_pack_rows(layout, numbers.weights, inner, outputs, inner, panels.base)
    }
    #expect(rows.isIntact && panels.isIntact)
    self.kernel = kernel
  }

  /// Computes some rows and outputs. `out` is that of the first of both; outputs begin with a panel.
  func run(
    rows range: Range<Int>, outputs: Range<Int>, _ finish: Finish, out: UnsafeMutableRawPointer, stride: Int
  ) {
    let (layout, first) = (kernel.layout, outputs.lowerBound)
    precondition(first % layout.width == 0, "outputs begin amid a panel")
    let numbers = numbers
    withUnsafePointer(numbers.factors, from: range.lowerBound) { factors in
      withUnsafePointer(numbers.zeroPoints.map(ckernels_zero_point), from: range.lowerBound) { zeroPoints in
        withUnsafePointer(numbers.scales, from: first) { scales in
          withUnsafePointer(sums, from: first) { sums in
            var product = ckernels_product(
              rows: range.count, inner: numbers.inner, outputs: outputs.count,
              x: rows.base + range.lowerBound * rowStride, x_stride: rowStride, factors: factors,
              zero_points: zeroPoints,
              panels: panels.base + first / layout.width * ckernels_panel_bytes(layout, numbers.inner),
              scales: scales, sums: sums, bias: finish.bias.map { UnsafePointer($0.base + first) },
              activation: finish.activation, gamma: finish.gamma.map { UnsafePointer($0.base + first) },
              out: out,
              out_stride: stride, store: finish.store)
            kernel.multiply(&product)
          }
        }
      }
    }
  }

  /// Some rows and outputs as floats [R · O]; all if nothing is said.
  func results(rows: Range<Int>? = nil, outputs: Range<Int>? = nil, _ finish: Finish = Finish()) -> [Float] {
    let (rows, outputs) = (rows ?? 0..<numbers.rows, outputs ?? 0..<numbers.outputs)
    let out = GuardedMatrix(rows: rows.count, columns: outputs.count, gap: 3) { _, _ in .nan }
    run(rows: rows, outputs: outputs, finish, out: out.base, stride: out.stride)
    #expect(out.isIntact)
    return out.values
  }
}

/// Calls `body` with the elements from `index` on; with nil if there are none.
private func withUnsafePointer<T>(_ array: [T]?, from index: Int, _ body: (UnsafePointer<T>?) -> Void) {
  guard let array, !array.isEmpty else { return body(nil) }
  array.withUnsafeBufferPointer { body($0.baseAddress.map { $0 + index }) }
}
