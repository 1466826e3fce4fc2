import Kernels
import Testing
import Training

/// Queries and keys of each head, values and projection together are what arXiv:2305.09828 asks for; all else stays.
@Suite("Mimetic initialisation") struct MimeticInitializationTests {
  private static func product(_ a: [Float], _ b: [Float]) -> Float {
    zip(a, b).reduce(0) { $0 + $1.0 * $1.1 }
  }

  private static func store(_ fixture: TrainingFixture, mimetic threads: Int?) -> ParameterStore {
    let store = ParameterStore(ParameterLayout(fixture.architecture), moments: .two, averages: false)
    Initialization.initialize(store, seed: 11, layerScale: nil)
    if let threads {
      Initialization.imitateTrained(store, seed: 11, pool: ThreadPool(threadCount: threads))
    }
    return store
  }

  @Test func changesAttentionAndPositionsAlone() throws {
    let fixture = try TrainingFixture("token")
    let (store, plain) = (Self.store(fixture, mimetic: 1), Self.store(fixture, mimetic: nil))
    let other = Self.store(fixture, mimetic: 3)
    for parameter in store.layout.parameters {
      let values = store.tensor(parameter)
      #expect(values == other.tensor(parameter), "\(parameter.name) depends on the threads")
      let changes =
        parameter.role == .positions
        || ["attn.qkv.weight", "attn.proj.weight"].contains { parameter.name.hasSuffix($0) }
      #expect((values != plain.tensor(parameter)) == changes, "\(parameter.name)")
    }
  }

  @Test func attentionLooksLikeATrainedOne() throws {
    let fixture = try TrainingFixture("token")
    let c = fixture.architecture.configuration
    let (d, width) = (c.embedDim, c.headDim)
    let store = Self.store(fixture, mimetic: 2)
    // The mean of so many numbers of a variance of 1 is off by their root at most, five times over.
    func limit(_ count: Int) -> Float { 5 / Float(count).squareRoot() }
    for parameter in store.layout.parameters where parameter.name.hasSuffix("attn.qkv.weight") {
      let values = store.tensor(parameter)
      let rows = stride(from: 0, to: values.count, by: d).map { Array(values[$0..<$0 + d]) }
      for head in 0..<c.numHeads {
        let queries = rows[head * width..<(head + 1) * width]
        let keys = rows[d + head * width..<d + (head + 1) * width]
        for (index, query) in queries.enumerated() {
          for (other, second) in queries.enumerated() {
            #expect(abs(Self.product(query, second) - (index == other ? 1 : 0)) < 1e-5)
          }
        }
        let noise = zip(queries, keys).flatMap { zip($0, $1).map { ($1 - 0.7 * $0) / 0.7 } }
        let variance = noise.reduce(0) { $0 + $1 * $1 } / Float(noise.count) * Float(d)
        #expect(abs(variance - 1) < limit(noise.count) * Float(2).squareRoot(), "\(parameter.name) \(head)")
      }
      let name = parameter.name.replacing("qkv", with: "proj")
      let projection = store.tensor(try #require(store.layout.parameters.first { $0.name == name }))
      var noise: [Float] = []
      for output in 0..<d {
        let weights = Array(projection[output * d..<(output + 1) * d])
        for input in 0..<d {
          let value = Self.product(weights, (0..<d).map { rows[2 * d + $0][input] })
          noise.append((value + (output == input ? 0.4 : 0)) / 0.4)
        }
      }
      let variance = noise.reduce(0) { $0 + $1 * $1 } / Float(noise.count) * Float(d)
      #expect(abs(variance - 1) < limit(noise.count) * Float(2).squareRoot(), "\(name): \(variance)")
      let trace = (0..<d).reduce(Float(0)) { $0 + noise[$1 * d + $1] } / Float(d).squareRoot()
      #expect(abs(trace) < 5, "\(name): \(trace)")
    }
  }
}
