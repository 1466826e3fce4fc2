import CKernels
import Foundation
import Kernels
import Testing

/// Every variant's training operations against sums in double precision, written here a second time.
@Suite("Backward kernels") struct BackwardKernelTests {
  /// Relative to the magnitudes that take part in a sum: float32 sums of 1,023 terms in 8 chains, and some roundings more.
  static let limit = 4e-6
  static let gap = 3

  func operations(_ variant: KernelVariant) throws -> ckernels_training_operations {
    try #require(ckernels_training_operations_of(variant.cVariant)).pointee
  }

  @Test(arguments: KernelVariant.available, lengths)
  func norms(variant: KernelVariant, length: Int) throws {
    let operations = try operations(variant)
    var random = TestRandom(state: UInt64(length))
    let rows = 5
    let epsilon: Float = 1e-3
    for isLayerNorm in [true, false] {
      for accumulates in [true, false] {
        let x = random.matrix(rows, length, gap: Self.gap, in: -1...3)
        let dy = random.matrix(rows, length, gap: 1)
        let gamma = random.matrix(1, length, in: 0.5...2)
        let dx = random.matrix(rows, length, gap: 2)
        let (dgamma, dbeta) = (random.matrix(1, length), random.matrix(1, length))
        let before = (dx.values, dgamma.values, dbeta.values)
        if isLayerNorm {
          operations.layer_norm_backward(
            x.base, x.stride, dy.base, dy.stride, dx.base, dx.stride, rows, length, gamma.base, epsilon,
            accumulates, dgamma.base, dbeta.base)
        } else {
          operations.rms_norm_backward(
            x.base, x.stride, dy.base, dy.stride, dx.base, dx.stride, rows, length, gamma.base, epsilon,
            accumulates, dgamma.base)
        }
        var (expectedGamma, expectedBeta) = (before.1.map(Double.init), before.2.map(Double.init))
        var expected: [Double] = []
        for row in 0..<rows {
          let v = x.view.row(row).map(Double.init)
          let d = dy.view.row(row).map(Double.init)
          let mean = isLayerNorm ? v.reduce(0, +) / Double(length) : 0
          let squares = v.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
          let scale = 1 / (squares / Double(length) + Double(epsilon)).squareRoot()
          let h = v.map { ($0 - mean) * scale }
          let g = d.indices.map { d[$0] * Double(gamma[0, $0]) }
          let gMean = isLayerNorm ? g.reduce(0, +) / Double(length) : 0
          let ghMean = zip(g, h).reduce(0) { $0 + $1.0 * $1.1 } / Double(length)
          for i in 0..<length {
            expectedGamma[i] += d[i] * h[i]
            if isLayerNorm { expectedBeta[i] += d[i] }
            let start = accumulates ? Double(before.0[row * length + i]) : 0
            expected.append(start + scale * (g[i] - gMean - h[i] * ghMean))
          }
        }
        // 1 / sqrt(epsilon) is the largest that a row of one element is multiplied with.
        let largest = length == 1 ? 32.0 : 8
        expectClose(dx.values, expected, "dx") { _ in Self.limit * largest }
        expectClose(dgamma.values, expectedGamma, "dgamma") { _ in Self.limit * 8 }
        expectClose(dbeta.values, expectedBeta, "dbeta") { _ in Self.limit * 8 }
        #expect([x, dy, gamma, dx, dgamma, dbeta].allSatisfy { $0.isIntact })
      }
    }
  }

  typealias ActivationKernel =
    @convention(c) (UnsafeMutablePointer<Float>, Int, UnsafeMutablePointer<Float>, Int, Int, Int) -> Void

  @Test(arguments: KernelVariant.available)
  func activations(variant: KernelVariant) throws {
    let operations = try operations(variant)
    let kernels: [(Activation, ActivationKernel)] = [
      (.gelu, operations.gelu_backward), (.geluTanh, operations.gelu_tanh_backward),
      (.quickGELU, operations.quick_gelu_backward), (.silu, operations.silu_backward),
      (.relu, operations.relu_backward),
    ]
    // Off zero, where relu has no derivative; the edges of the two forms of gelu among them.
    let values =
      (0..<1023).map { Float($0 - 511) / 51.13 + 0.003 } + [0.99999994, 1, -1, -0.99999994, 40, -40]
    for (activation, kernel) in kernels {
      let x = GuardedMatrix(values)
      let dy = GuardedMatrix(values.map { _ in 0.5 })
      kernel(x.base, x.stride, dy.base, dy.stride, 1, values.count)
      expectClose(x.values, values.map { activation.reference(Double($0)) }, "\(activation)") {
        Self.limit * max(1, abs(Double(values[$0])))
      }
      let h = 1e-5
      let slopes = values.map { value in
        0.5 * (activation.reference(Double(value) + h) - activation.reference(Double(value) - h)) / (2 * h)
      }
      expectClose(dy.values, slopes, "\(activation)'") { _ in Self.limit }
      #expect(x.isIntact && dy.isIntact)

      let special = GuardedMatrix([.nan, .infinity, -.infinity])
      let gradient = GuardedMatrix([1, 1, 1])
      kernel(special.base, 3, gradient.base, 3, 1, 3)
      #expect(gradient[0, 0].isNaN && gradient[0, 1] == 1 && gradient[0, 2] == 0, "\(activation)")
    }
  }

  @Test(arguments: KernelVariant.available, lengths)
  func softmaxAndSums(variant: KernelVariant, length: Int) throws {
    let operations = try operations(variant)
    var random = TestRandom(state: UInt64(length))
    let rows = 7
    let p = random.matrix(rows, length, gap: Self.gap, in: 0...(2 / Float(length)))
    let dp = random.matrix(rows, length, gap: 1)
    let before = dp.values
    operations.softmax_backward(p.base, p.stride, dp.base, dp.stride, rows, length, 0.25)
    let expected = (0..<rows).flatMap { row in
      let (a, b) = (
        p.view.row(row).map(Double.init), before[row * length..<(row + 1) * length].map(Double.init)
      )
      let sum = zip(a, b).reduce(0) { $0 + $1.0 * $1.1 }
      return a.indices.map { 0.25 * a[$0] * (b[$0] - sum) }
    }
    expectClose(dp.values, expected) { _ in Self.limit }

    let sums = random.matrix(1, length)
    let products = random.matrix(1, length)
    let start = (sums.values, products.values)
    operations.add_column_sums(dp.base, dp.stride, rows, length, sums.base)
    operations.add_column_products(p.base, p.stride, dp.base, dp.stride, rows, length, 3, products.base)
    expectClose(
      sums.values,
      (0..<length).map { i in (0..<rows).reduce(Double(start.0[i])) { $0 + Double(dp[$1, i]) } }
    ) { _ in Self.limit }
    expectClose(
      products.values,
      (0..<length).map { i in
        (0..<rows).reduce(Double(start.1[i])) { $0 + 3 * Double(dp[$1, i]) * Double(p[$1, i]) }
      }
    ) { _ in Self.limit }
    #expect([p, dp, sums, products].allSatisfy { $0.isIntact })
  }

  @Test(arguments: KernelVariant.available, lengths)
  func buffers(variant: KernelVariant, length: Int) throws {
    let operations = try operations(variant)
    var random = TestRandom(state: UInt64(length))
    let gradient = random.matrix(1, length)
    let squares = gradient.values.reduce(0) { $0 + Double($1) * Double($1) }
    #expect(abs(operations.sum_of_squares(gradient.base, length) - squares) <= Self.limit * squares)

    let average = random.matrix(1, length)
    let expectedAverage = average.values.indices.map { i in
      Double(average[0, i]) + 0.25 * Double(gradient[0, i] - average[0, i])
    }
    operations.move_average(average.base, gradient.base, length, 0.25)
    expectClose(average.values, expectedAverage) { _ in Self.limit }

    let sum = random.matrix(1, length)
    let expectedSum = sum.values.indices.map { Double(sum[0, $0]) + Double(gradient[0, $0]) }
    operations.accumulate(sum.base, gradient.base, length)
    expectClose(sum.values, expectedSum) { _ in Self.limit }

    let (x, m) = (random.matrix(1, length), random.matrix(1, length))
    let v = random.matrix(1, length, in: 0.01...1)
    let before = (x.values.map(Double.init), m.values.map(Double.init), v.values.map(Double.init))
    let factors = ckernels_adamw_factors(
      gradient_scale: 0.5, decay: 0.99, beta2: 0.95, rest1: 0.1, rest2: 0.05, step_size: 0.01,
      inverse_root: 1.5,
      epsilon: 1e-3)
    operations.adamw(x.base, gradient.base, m.base, v.base, length, factors)
    var (expectedX, expectedM, expectedV): ([Double], [Double], [Double]) = ([], [], [])
    for i in 0..<length {
      let g = 0.5 * Double(gradient[0, i])
      expectedM.append(0.9 * before.1[i] + 0.1 * g)
      expectedV.append(0.95 * before.2[i] + 0.05 * g * g)
      expectedX.append(
        0.99 * before.0[i] - 0.01 * expectedM[i] / (1.5 * expectedV[i].squareRoot() + 1e-3))
    }
    expectClose(m.values, expectedM, "m") { _ in Self.limit }
    expectClose(v.values, expectedV, "v") { _ in Self.limit }
    expectClose(x.values, expectedX, "x") { _ in Self.limit }

    for nesterov in [false, true] {
      let (x, velocity) = (random.matrix(1, length), random.matrix(1, length))
      let before = (x.values.map(Double.init), velocity.values.map(Double.init))
      operations.sgd(
        x.base, gradient.base, velocity.base, length,
        ckernels_sgd_factors(
          gradient_scale: 2, weight_decay: 0.1, momentum: 0.9, learning_rate: 0.05, nesterov: nesterov))
      let expected = (0..<length).map { i in
        let g = 2 * Double(gradient[0, i]) + 0.1 * before.0[i]
        let v = 0.9 * before.1[i] + g
        return before.0[i] - 0.05 * (nesterov ? g + 0.9 * v : v)
      }
      expectClose(x.values, expected, "sgd") { _ in Self.limit }
      #expect(x.isIntact && velocity.isIntact)
    }
    #expect([gradient, average, sum, x, m, v].allSatisfy { $0.isIntact })
  }
}
