import Kernels
import Synchronization
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

  private func check(_ shape: (Int, Int, Int), _ compute: Compute) throws {
    let (rows, _, outputs) = shape
    let data = Case(shape.0, shape.1, shape.2)
    let (product, limits) = (data.product, data.limits)
    let (x, weight) = (data.x.view, try packed(data.weight))
    let arena = Arena()
    func column(_ index: Int) -> Int { index % outputs }

    let out = GuardedMatrix(rows: rows, columns: outputs, gap: 1) { _, _ in .nan }
    let unbiased = product.indices.map { product[$0] - Double(data.bias[0, column($0)]) }
    for (bias, sums) in [(data.bias, product), (nil, unbiased)] as [(GuardedMatrix?, [Double])] {
      compute.linear(x, weight: weight, bias: bias?.base, into: .store(out.mutableView), arena: arena)
      expectClose(out.values, sums, "linear") { limits[$0] }
      #expect(out.isIntact)
      for activation in Activation.allCases {
        compute.linear(
          x, weight: weight, bias: bias?.base, activation: activation, into: .store(out.mutableView),
          arena: arena)
        let activated = sums.map(activation.reference)
        expectClose(out.values, activated, "linear with \(activation)") {
          limits[$0] * Activation.steepestSlope + activation.limit(activated[$0])
        }
        #expect(out.isIntact)
      }
    }

    for scale in [data.layerScale, nil] {
      let residual = GuardedMatrix(rows: rows, columns: outputs, gap: 1) { data.residual[$0, $1] }
      compute.linear(
        x, weight: weight, bias: data.bias.base, into: .add(residual.mutableView, layerScale: scale?.base),
        arena: arena)
      let expected = product.indices.map { index in
        Double(data.residual[index / outputs, column(index)])
          + product[index] * (scale.map { Double($0[0, column(index)]) } ?? 1)
      }
      // Two more roundings of a value that stays below 1 + |product|.
      expectClose(residual.values, expected, "added to a residual") {
        limits[$0] + (1 + abs(product[$0])) * 2 * floatEpsilon
      }
      #expect(residual.isIntact)
    }
  }

  @Test(arguments: shapes)
  func agreesWithDoublePrecision(rows: Int, inner: Int, outputs: Int) throws {
    try check((rows, inner, outputs), Compute())
  }

  @Test(arguments: [2, 3, 5])
  func agreesWithDoublePrecisionOnPools(threads: Int) throws {
    let compute = Compute(pool: ThreadPool(threadCount: threads))
    for shape in LinearTests.shapes { try check(shape, compute) }
  }

  /// Some rows and outputs are those of the whole, bit by bit.
  @Test(arguments: Precision.allCases, [1, 3])
  func computesSomeRowsAndOutputs(precision: Precision, threads: Int) throws {
    var random = TestRandom()
    let (x, weight, bias) = (random.matrix(29, 96, gap: 3), random.matrix(160, 96), random.matrix(1, 160))
    let packed = try packed(weight, precision)
    #expect(packed.isCut(at: 0) && packed.isCut(at: 64) && packed.isCut(at: 160))
    #expect(!packed.isCut(at: -32) && !packed.isCut(at: 63) && !packed.isCut(at: 192))
    let (compute, arena) = (Compute(pool: ThreadPool(threadCount: threads)), Arena())
    defer { withExtendedLifetime((x, bias, arena)) {} }
    let rows = compute.rows(x.view, for: packed, arena: arena)
    let whole = GuardedMatrix(rows: 29, columns: 160)
    compute.linear(rows, weight: packed, bias: bias.base, activation: .gelu, into: .store(whole.mutableView))
    for (some, outputs) in [(0..<29, 64..<160), (7..<8, 0..<64), (3..<20, 32..<96)] {
      let part = GuardedMatrix(rows: some.count, columns: outputs.count, gap: 1)
      compute.linear(
        rows[some], weight: packed, bias: bias.base, activation: .gelu, outputs: outputs,
        into: .store(part.mutableView))
      #expect(part.values == some.flatMap { row in outputs.map { whole[row, $0] } })
      #expect(part.isIntact)
    }
  }

  @Test func takesEmptyMatrices() throws {
    let compute = Compute()
    let (weight, arena) = (try packed(GuardedMatrix(rows: 3, columns: 5)), Arena())
    let (x, out) = (GuardedMatrix(rows: 0, columns: 5), GuardedMatrix(rows: 0, columns: 3))
    compute.linear(x.view, weight: weight, into: .store(out.mutableView), arena: arena)
    compute.linear(x.view, weight: weight, activation: .gelu, into: .store(out.mutableView), arena: arena)
    compute.linear(x.view, weight: weight, into: .add(out.mutableView, layerScale: nil), arena: arena)
    compute.gate(
      GuardedMatrix(rows: 0, columns: 6).view, activation: .silu, into: out.mutableView)
    compute.add(out.view, to: out.mutableView, activation: .relu)
    compute.layerNorm(out.view, gamma: nil, beta: nil, epsilon: 1e-6, into: out.mutableView)
    compute.rmsNorm(out.view, gamma: nil, epsilon: 1e-6, into: out.mutableView)
    compute.groupNorm(out.view, groups: 3, gamma: nil, beta: nil, epsilon: 1e-6, into: out.mutableView)
    compute.softmax(out.mutableView)
    #expect(out.isIntact)
  }

  /// Without an inner dimension, the product is zero.
  @Test(arguments: Precision.allCases)
  func takesEmptySums(precision: Precision) throws {
    let x = GuardedMatrix(rows: 2, columns: 0)
    let weight = try packed(GuardedMatrix(rows: 3, columns: 0), precision)
    let out = GuardedMatrix(rows: 2, columns: 3) { _, _ in .nan }
    let bias = GuardedMatrix([1, 2, 3])
    Compute().linear(x.view, weight: weight, into: .store(out.mutableView), arena: Arena())
    #expect(out.values == [0, 0, 0, 0, 0, 0])
    Compute().linear(x.view, weight: weight, bias: bias.base, into: .store(out.mutableView), arena: Arena())
    #expect(out.values == [1, 2, 3, 1, 2, 3])
  }

  /// A row's results have the same bits whatever stands beside it, and however many threads there are.
  @Test(arguments: Precision.allCases)
  func resultsDependOnTheirRowAlone(precision: Precision) throws {
    var random = TestRandom()
    let (inner, outputs) = (385, 130)
    let x = random.matrix(199, inner, gap: 2)
    let weight = try packed(random.matrix(outputs, inner), precision)
    let bias = random.matrix(1, outputs)
    func results(_ rows: Range<Int>, threads: Int) -> [Float] {
      let out = GuardedMatrix(rows: rows.count, columns: outputs)
      Compute(pool: ThreadPool(threadCount: threads)).linear(
        x.view[rows, 0..<inner], weight: weight, bias: bias.base, activation: .gelu,
        into: .store(out.mutableView), arena: Arena())
      return out.values
    }
    let all = results(0..<199, threads: 1)
    for threads in [2, 3, 7] { #expect(haveSameBits(results(0..<199, threads: threads), all)) }
    for rows in [0..<1, 5..<7, 100..<114, 100..<115, 198..<199, 3..<100] {
      let expected = Array(all[rows.lowerBound * outputs..<rows.upperBound * outputs])
      #expect(haveSameBits(results(rows, threads: 1), expected), "rows \(rows)")
    }
  }

  @Test func blocksOfRowsCoverEachRowOnce() {
    for threads in [1, 2, 3] {
      let compute = Compute(pool: ThreadPool(threadCount: threads))
      for rows in [0, 1, 2, 223, 224, 225, 1000] {
        let seen = Counts(rows)
        compute.forEachRowBlock(rows, arenas: Arenas(threads: threads)) { block, _, lane in
          #expect((0..<threads).contains(lane))
          for row in block { seen.add(row) }
        }
        #expect(seen.values.allSatisfy { $0 == 1 })
      }
    }
  }
}

/// Counts by index, from several threads.
private final class Counts: Sendable {
  private let counts: Mutex<[Int]>

  init(_ count: Int) { counts = Mutex([Int](repeating: 0, count: count)) }

  func add(_ index: Int) { counts.withLock { $0[index] += 1 } }
  var values: [Int] { counts.withLock { $0 } }
}
