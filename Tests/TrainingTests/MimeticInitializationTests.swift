import Kernels
import Testing
import Training

@Suite("Mimetic initialisation") struct MimeticInitializationTests {
  private static func product(_ a: [Float], _ b: [Float]) -> Float {
    zip(a, b).reduce(0) { $0 + $1.0 * $1.1 }
  }

  private static func columns(_ count: Int, rows: Int, seed: UInt64) -> [[Float]] {
    var random = CounterRandom(seed: seed, stream: 0)
    return (0..<count).map { _ in (0..<rows).map { _ in random.uniform(in: -1...1) } }
  }

  /// The product of the parts is the matrix again, and the vectors are orthogonal and of length 1.
  @Test(arguments: [(1, 1), (5, 5), (13, 20), (48, 48)])
  func singularValuesMakeTheMatrix(_ count: Int, rows: Int) {
    let matrix = Self.columns(count, rows: rows, seed: 3)
    let triples = SingularValues(matrix).triples
    #expect(triples.count == count && zip(triples, triples.dropFirst()).allSatisfy { $0.value >= $1.value })
    for column in 0..<count {
      for row in 0..<rows {
        let value = triples.reduce(Float(0)) { $0 + $1.value * $1.left[row] * $1.right[column] }
        #expect(abs(value - matrix[column][row]) < 1e-4)
      }
    }
    for (index, a) in triples.enumerated() {
      for b in triples[index...] {
        let expected: Float = a.right == b.right ? 1 : 0
        #expect(abs(Self.product(a.left, b.left) - expected) < 1e-4)
        #expect(abs(Self.product(a.right, b.right) - expected) < 1e-4)
      }
    }
  }

  /// Columns that are alike or 0 leave values of 0.
  @Test func singularValuesOfDependentColumns() {
    let column: [Float] = [3, 4, 0]
    let triples = SingularValues([column, column, [0, 0, 0]]).triples
    #expect(abs(triples[0].value - Float(50).squareRoot()) < 1e-5)
    #expect(triples[1].value < 1e-5 && triples[2].value < 1e-5)
    #expect(SingularValues([]).triples.isEmpty)
  }

  /// Queries and keys of each head, values and projection together are what arXiv:2305.09828 asks for; biases, norms and the MLP stay.
  @Test func attentionLooksLikeATrainedOne() throws {
    let fixture = try TrainingFixture("token")
    let c = fixture.architecture.configuration
    let (d, width) = (c.embedDim, c.headDim)
    let stores = [1, 3].map { threads in
      let store = ParameterStore(ParameterLayout(fixture.architecture), moments: .two, averages: false)
      Initialization.initialize(store, seed: 11, layerScale: nil)
      Initialization.imitateTrained(store, seed: 11, pool: ThreadPool(threadCount: threads))
      return store
    }
    let plain = ParameterStore(ParameterLayout(fixture.architecture), moments: .two, averages: false)
    Initialization.initialize(plain, seed: 11, layerScale: nil)
    var queryKeyTrace: Float = 0
    var heads = 0
    for parameter in stores[0].layout.parameters {
      let values = stores[0].tensor(parameter)
      #expect(values == stores[1].tensor(parameter), "\(parameter.name) depends on the threads")
      let changes =
        parameter.role == .positions || parameter.name.contains("attn.qkv.weight")
        || parameter.name.contains("attn.proj.weight")
      #expect((values != plain.tensor(parameter)) == changes, "\(parameter.name)")
      guard parameter.name.hasSuffix("attn.qkv.weight") else { continue }
      let rows = stride(from: 0, to: values.count, by: d).map { Array(values[$0..<$0 + d]) }
      for head in 0..<c.numHeads {
        for rank in 0..<width {
          let (query, key) = (rows[head * width + rank], rows[d + head * width + rank])
          // The same root of a singular value is in both.
          #expect(abs(Self.product(query, query) - Self.product(key, key)) < 1e-3)
          for other in 0..<rank {
            #expect(abs(Self.product(query, rows[head * width + other])) < 1e-3)
          }
          queryKeyTrace += Self.product(query, key)
        }
        heads += 1
      }
      let projectionName = parameter.name.replacing("qkv", with: "proj")
      let projection = stores[0].tensor(
        try #require(stores[0].layout.parameters.first { $0.name == projectionName }))
      var (trace, squares): (Float, Float) = (0, 0)
      for output in 0..<d {
        let weights = Array(projection[output * d..<(output + 1) * d])
        for input in 0..<d {
          let value = Self.product(weights, (0..<d).map { rows[2 * d + $0][input] })
          if output == input { trace += value } else { squares += value * value }
        }
      }
      let deviation = (squares / Float(d * (d - 1))).squareRoot() * Float(d).squareRoot()
      #expect(abs(trace / Float(d) + 0.4) < 0.05 && abs(deviation - 0.4) < 0.05, "\(trace), \(deviation)")
    }
    // A token attends to those like itself. The largest singular values of 0.7 (I + Z) lie above 0.7.
    #expect(queryKeyTrace / Float(heads * width) > 0.7)
  }
}
