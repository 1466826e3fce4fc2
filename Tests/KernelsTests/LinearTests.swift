import Kernels
import Testing

@Suite struct LinearTests {
  /// Rows, inner, outputs: off every tile of the matrix product, a single image's and a batch's.
  static let shapes = [
    (1, 1, 1), (1, 384, 10), (3, 5, 7), (17, 33, 15), (127, 17, 65), (197, 64, 96), (33, 384, 129),
    (300, 48, 40),
  ]

  /// Error of a sum of K products and an addend in any order, at most (K + 2) roundings of 2^-24 of the sum
  /// of magnitudes (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1).
  static func productLimit(_ inner: Int, magnitude: Double) -> Double {
    Double(inner + 2) * floatEpsilon / 2 * magnitude + 0x1p-140
  }

  struct Case {
    let x, weight, bias, layerScale, residual: GuardedMatrix
    /// x · weightᵀ + bias, and the sums of magnitudes [R · O].
    var product: [Double] = []
    var limits: [Double] = []

    init(_ rows: Int, _ inner: Int, _ outputs: Int) {
      var random = TestRandom()
      x = random.matrix(rows, inner, gap: 3)
      weight = random.matrix(outputs, inner, gap: 1)
      bias = random.matrix(1, outputs)
      layerScale = random.matrix(1, outputs)
      residual = random.matrix(rows, outputs, gap: 2)
      for row in 0..<rows {
        for output in 0..<outputs {
          var (sum, magnitude) = (Double(bias[0, output]), Double(abs(bias[0, output])))
          let (left, right) = (x.view.row(row), weight.view.row(output))
          for k in 0..<inner {
            let term = Double(left[k]) * Double(right[k])
            sum += term
            magnitude += abs(term)
          }
          product.append(sum)
          limits.append(LinearTests.productLimit(inner, magnitude: magnitude))
        }
      }
    }
  }

  private func check(_ shape: (Int, Int, Int), _ compute: Compute) {
    let (rows, _, outputs) = shape
    let data = Case(shape.0, shape.1, shape.2)
    let (product, limits) = (data.product, data.limits)
    let (x, weight) = (data.x.view, data.weight.view)
    let arena = Arena()
    func column(_ index: Int) -> Int { index % outputs }

    let out = GuardedMatrix(rows: rows, columns: outputs, gap: 1) { _, _ in .nan }
    compute.linear(x, weight: weight, bias: data.bias.base, into: out.mutableView)
    expectClose(out.values, product, "linear") { limits[$0] }
    #expect(out.isIntact)

    compute.linear(x, weight: weight, bias: nil, into: out.mutableView)
    let unbiased = product.indices.map { product[$0] - Double(data.bias[0, column($0)]) }
    expectClose(out.values, unbiased, "linear without bias") { limits[$0] }
    #expect(out.isIntact)

    for activation in Activation.allCases {
      for (bias, sums) in [(data.bias, product), (nil, unbiased)] as [(GuardedMatrix?, [Double])] {
        compute.linear(
          x, weight: weight, bias: bias?.base, activation: activation, into: out.mutableView)
        let activated = sums.map(activation.reference)
        expectClose(out.values, activated, "linear with \(activation)") {
          limits[$0] * Activation.steepestSlope + activation.limit(activated[$0])
        }
        #expect(out.isIntact)
      }
    }

    for (bias, sums) in [(data.bias, product), (nil, unbiased)] as [(GuardedMatrix?, [Double])] {
      compute.linearInDouble(x, weight: weight, bias: bias?.base, into: out.mutableView, arena: arena)
      // Rounded once; the sums themselves are off by 2^-53 of their terms' magnitudes.
      expectClose(out.values, sums, "linearInDouble") {
        abs(sums[$0]) * floatEpsilon / 2 + limits[$0] * 0x1p-28 + 0x1p-150
      }
      #expect(out.isIntact)
    }

    for scale in [data.layerScale, nil] {
      let residual = GuardedMatrix(rows: rows, columns: outputs, gap: 1) { data.residual[$0, $1] }
      compute.linearResidual(
        x, weight: weight, bias: data.bias.base, layerScale: scale?.base, into: residual.mutableView,
        arena: arena)
      let expected = product.indices.map { index in
        Double(data.residual[index / outputs, column(index)])
          + product[index] * (scale.map { Double($0[0, column(index)]) } ?? 1)
      }
      // Two more roundings of a value that stays below 1 + |product|.
      expectClose(residual.values, expected, "linearResidual") {
        limits[$0] + (1 + abs(product[$0])) * 2 * floatEpsilon
      }
      #expect(residual.isIntact)
    }
  }

  @Test(arguments: shapes)
  func agreesWithDoublePrecision(rows: Int, inner: Int, outputs: Int) {
    check((rows, inner, outputs), Compute())
  }

  @Test(arguments: [2, 3, 5])
  func agreesWithDoublePrecisionOnPools(threads: Int) {
    let compute = Compute(pool: ThreadPool(threadCount: threads))
    for shape in LinearTests.shapes { check(shape, compute) }
  }

  @Test func takesEmptyMatrices() {
    let compute = Compute()
    let (weight, arena) = (GuardedMatrix(rows: 3, columns: 5), Arena())
    let (x, out) = (GuardedMatrix(rows: 0, columns: 5), GuardedMatrix(rows: 0, columns: 3))
    compute.linear(x.view, weight: weight.view, bias: nil, into: out.mutableView)
    compute.linear(x.view, weight: weight.view, bias: nil, activation: .gelu, into: out.mutableView)
    compute.linearInDouble(x.view, weight: weight.view, bias: nil, into: out.mutableView, arena: arena)
    compute.gate(
      GuardedMatrix(rows: 0, columns: 6).view, activation: .silu, into: out.mutableView)
    compute.add(out.view, to: out.mutableView, activation: .relu)
    compute.linearResidual(
      x.view, weight: weight.view, bias: nil, layerScale: weight.base, into: out.mutableView, arena: arena)
    compute.layerNorm(out.view, gamma: nil, beta: nil, epsilon: 1e-6, into: out.mutableView)
    compute.rmsNorm(out.view, gamma: nil, epsilon: 1e-6, into: out.mutableView)
    compute.groupNorm(out.view, groups: 3, gamma: nil, beta: nil, epsilon: 1e-6, into: out.mutableView)
    compute.softmax(out.mutableView)
    #expect(out.isIntact)
  }

  /// Without an inner dimension, the product is zero.
  @Test func takesEmptySums() {
    let (x, weight) = (GuardedMatrix(rows: 2, columns: 0), GuardedMatrix(rows: 3, columns: 0))
    let out = GuardedMatrix(rows: 2, columns: 3) { _, _ in .nan }
    let bias = GuardedMatrix([1, 2, 3])
    Compute().linear(x.view, weight: weight.view, bias: nil, into: out.mutableView)
    #expect(out.values == [0, 0, 0, 0, 0, 0])
    Compute().linear(x.view, weight: weight.view, bias: bias.base, into: out.mutableView)
    #expect(out.values == [1, 2, 3, 1, 2, 3])
    Compute().linearInDouble(
      x.view, weight: weight.view, bias: bias.base, into: out.mutableView, arena: Arena())
    #expect(out.values == [1, 2, 3, 1, 2, 3])
  }

  /// One worker for each core, each with a product of its own: OpenBLAS must keep the callers apart.
  @Test func concurrentCallersGetTheirOwnResults() {
    let cases = [(197, 64, 96), (33, 129, 257), (64, 384, 48), (17, 65, 300)].map { Case($0.0, $0.1, $0.2) }
    let compute = Compute()
    func multiply(_ data: Case, into out: MutableMatrixView) {
      compute.linear(data.x.view, weight: data.weight.view, bias: data.bias.base, into: out)
    }
    let alone = cases.map { data in
      let out = GuardedMatrix(rows: data.x.rows, columns: data.weight.rows)
      multiply(data, into: out.mutableView)
      return out
    }
    let repetitions = 50
    let together = (0..<repetitions * cases.count).map { index in
      GuardedMatrix(rows: alone[index % cases.count].rows, columns: alone[index % cases.count].columns)
    }
    let views = together.map(\.mutableView)
    let inputs = cases.map { ($0.x.view, $0.weight.view, $0.bias.view) }
    ThreadPool(threadCount: 4).forEach(views.count) { index in
      let (x, weight, bias) = inputs[index % inputs.count]
      compute.linear(x, weight: weight, bias: bias.base, into: views[index])
    }
    for (index, out) in together.enumerated() {
      #expect(haveSameBits(out.values, alone[index % cases.count].values), "call \(index)")
    }
  }

  @Test func describesTheLibrary() {
    #expect(BLAS.description.contains("OpenBLAS"))
  }
}
