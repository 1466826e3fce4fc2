import CKernels
import Foundation
import Kernels
import Testing

extension Activation {
  typealias Kernel =
    @convention(c) (UnsafeMutablePointer<Float>, Int, Int, Int, UnsafePointer<Float>?) -> Void

  func kernel(_ variant: KernelVariant) throws -> Kernel {
    let operations = try operations(variant)
    return switch self {
    case .gelu: operations.gelu
    case .geluTanh: operations.gelu_tanh
    case .quickGELU: operations.quick_gelu
    case .silu: operations.silu
    case .relu: operations.relu
    case .tanh: operations.hyperbolic_tangent
    }
  }

  /// The function in double precision, in forms that do not cancel in the tails.
  func reference(_ x: Double) -> Double {
    func sigmoid(_ v: Double) -> Double { v >= 0 ? 1 / (1 + exp(-v)) : exp(v) / (1 + exp(v)) }
    return switch self {
    case .gelu: 0.5 * x * erfc(-x * 0.5.squareRoot())
    case .geluTanh: x * sigmoid(2 * (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x))
    case .quickGELU: x * sigmoid(1.702 * x)
    case .silu: x * sigmoid(x)
    case .relu: max(x, 0)
    case .tanh: Foundation.tanh(x)
    }
  }

  /// Relative, in units of 2^-23. gelu without tables: exp (1 ulp), the roundings of its argument, of t, of the
  /// polynomial and of the sum (3.1 at the worst of 4 million arguments). The others: exp, a product, a sum, a quotient and a
  /// difference (1.65 at the worst).
  var relativeLimit: Double {
    switch self {
    case .gelu: 3.5 * floatEpsilon
    case .geluTanh, .quickGELU, .silu, .tanh: 2 * floatEpsilon
    case .relu: 0
    }
  }

  /// Subnormal results. gelu: its tail is off by up to a unit of 2^-149, and then multiplied by |x| < 15. The
  /// others round once more at the end.
  var absoluteLimit: Double { self == .gelu ? 0x1p-145 : 0x1p-148 }

  func limit(_ reference: Double) -> Double { abs(reference) * relativeLimit + absoluteLimit }

  /// As above, for an argument: gelu of tables loses relative accuracy in its tail, and is 0 beyond 7 5/8, where it should be -1e-13.
  func limit(_ reference: Double, at x: Double, _ variant: KernelVariant) -> Double {
    let hasTables = self == .gelu && [.avx512, .avx512vnni, .avx512bf16, .amx].contains(variant)
    return limit(reference) + (hasTables && x < -1 ? 1e-10 : 0)
  }

  /// An upper bound of the slope's magnitude, by which an error of the argument grows: 1.13 at most.
  static let steepestSlope = 1.13
}

/// All variants of all activations.
private let kernels = KernelVariant.available.flatMap { variant in
  Activation.allCases.map { (variant, $0) }
}

@Suite struct ActivationTests {
  private func apply(_ variant: KernelVariant, _ activation: Activation, _ x: [Float]) throws -> [Float] {
    let matrix = GuardedMatrix(x)
    try activation.kernel(variant)(matrix.base, x.count, 1, x.count, nil)
    #expect(matrix.isIntact)
    return matrix.values
  }

  @Test(arguments: kernels, lengths)
  func agreesWithDoublePrecision(kernel: (KernelVariant, Activation), length: Int) throws {
    let (variant, activation) = kernel
    var random = TestRandom()
    let (rows, gap) = (3, 5)
    let x = random.matrix(rows, length, gap: gap, in: -6...6)
    let before = x.values
    let bias = GuardedMatrix(random.floats(length))
    try activation.kernel(variant)(x.base, x.stride, rows, length, bias.base)

    // The sum is rounded once, by the kernel and here.
    let sums = before.indices.map { Double(before[$0] + bias[0, $0 % length]) }
    let expected = sums.map(activation.reference)
    func limit(_ index: Int) -> Double { activation.limit(expected[index], at: sums[index], variant) }
    expectClose(x.values, expected, limit: limit)
    #expect(x.isIntact && bias.isIntact)

    let plain = GuardedMatrix(rows: rows, columns: length, gap: gap) { before[$0 * length + $1] }
    try activation.kernel(.plain)(plain.base, plain.stride, rows, length, bias.base)
    expectClose(x.values, plain.values.map(Double.init), "against plain") {
      limit($0) + abs(expected[$0]) * floatEpsilon / 2  // plain's own rounding
    }
  }

  /// The definitions as they are usually written; where they cancel, in absolute terms.
  @Test func referencesAreTheDefinitions() {
    for x in stride(from: -20.0, through: 20, by: 1 / 64) {
      let u = (2 / Double.pi).squareRoot() * (x + 0.044715 * pow(x, 3))
      #expect(abs(Activation.gelu.reference(x) - 0.5 * x * (1 + erf(x / 2.0.squareRoot()))) < 1e-14)
      #expect(abs(Activation.geluTanh.reference(x) - 0.5 * x * (1 + tanh(u))) < 1e-14)
      #expect(abs(Activation.quickGELU.reference(x) - x / (1 + exp(-1.702 * x))) < 1e-14)
      #expect(abs(Activation.silu.reference(x) - x / (1 + exp(-x))) < 1e-14)
    }
  }

  @Test(arguments: kernels)
  func staysAccurateFromTinyToLarge(variant: KernelVariant, activation: Activation) throws {
    let magnitudes = stride(from: -149.0, through: 7, by: 0.0625).map { Float(exp2($0)) }
    let dense = stride(from: Float(0), through: 128, by: 1 / 128).map { $0 }
    let x = magnitudes + dense + (magnitudes + dense).map { -$0 }
    let expected = x.map { activation.reference(Double($0)) }
    expectClose(try apply(variant, activation, x), expected) {
      activation.limit(expected[$0], at: Double(x[$0]), variant)
    }
  }

  /// Errors of one sign would add up in the product that follows, whose sum runs over thousands of activations.
  @Test(arguments: kernels)
  func errsToBothSidesAlike(variant: KernelVariant, activation: Activation) throws {
    let x = stride(from: Float(-4), through: 4, by: 0x1.01p-14).map { $0 }
    let y = try apply(variant, activation, x)
    let errors = zip(x, y).map { Double($1) - activation.reference(Double($0)) }
    #expect(abs(errors.reduce(0, +)) < 3e-10 * Double(errors.count))
  }

  @Test(arguments: kernels, [1, 16, 33])
  func passesNonFiniteInputs(kernel: (KernelVariant, Activation), length: Int) throws {
    let (variant, activation) = kernel
    let lowest: Float = activation == .tanh ? -1 : 0
    for position in [0, length - 1] {
      func result(_ value: Float) throws -> [Float] {
        var x = [Float](repeating: 1, count: length)
        x[position] = value
        return try apply(variant, activation, x)
      }
      let poisoned = try result(.nan)
      #expect(poisoned.indices.allSatisfy { poisoned[$0].isNaN == ($0 == position) })
      for value in [Float.infinity, .greatestFiniteMagnitude] {
        #expect(try result(value)[position] == (activation == .tanh ? 1 : value))
        #expect(try result(-value)[position] == lowest)
      }
    }
  }

  @Test(arguments: kernels)
  func takesEmptyMatrices(variant: KernelVariant, activation: Activation) throws {
    let x = GuardedMatrix(rows: 0, columns: 0)
    try activation.kernel(variant)(x.base, 0, 0, 0, nil)
    try activation.kernel(variant)(x.base, 0, 0, 17, nil)
    #expect(x.isIntact)
  }
}

@Suite struct GateTests {
  @Test(arguments: Activation.allCases, lengths)
  func multipliesHalves(activation: Activation, length: Int) {
    var random = TestRandom()
    let x = random.matrix(5, 2 * length, gap: 3, in: -4...4)
    let expected = (0..<5).flatMap { row in
      (0..<length).map { activation.reference(Double(x[row, $0])) * Double(x[row, length + $0]) }
    }
    // One more rounding than the activation.
    func limit(_ index: Int) -> Double {
      let (v, y) = (
        Double(x[index / length, index % length]), Double(x[index / length, length + index % length])
      )
      let activated = activation.limit(activation.reference(v), at: v, .active)
      return activated * abs(y) + abs(expected[index]) * floatEpsilon + 0x1p-140
    }
    let out = GuardedMatrix(rows: 5, columns: length, gap: 2) { _, _ in .nan }
    Compute().gate(x.view, activation: activation, into: out.mutableView)
    expectClose(out.values, expected, limit: limit)
    #expect(out.isIntact && x.isIntact)

    let left = x.mutableView[0..<5, 0..<length]
    Compute().gate(x.view, activation: activation, into: left)
    #expect(haveSameBits((0..<5).flatMap { left.view.row($0) }, out.values), "in place")
    #expect(x.isIntact)
  }

  @Test func agreesWithItselfOnPools() {
    var random = TestRandom()
    let x = random.matrix(197, 2 * 341, in: -4...4)
    let (alone, together) = (
      GuardedMatrix(rows: 197, columns: 341), GuardedMatrix(rows: 197, columns: 341)
    )
    Compute().gate(x.view, activation: .silu, into: alone.mutableView)
    Compute(pool: ThreadPool(threadCount: 3)).gate(x.view, activation: .silu, into: together.mutableView)
    #expect(haveSameBits(alone.values, together.values) && together.isIntact)
  }
}
