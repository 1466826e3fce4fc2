import Checkpoints
import Foundation
import Images
import Kernels
import SystemPackage
import TestSupport
import Testing
import VisionTransformer

/// One file that `scripts/reference/attention_fixtures.py` has made.
struct AttentionFixture {
  let name: String
  let tensors: [String: [Float]]
  let model: VisionTransformer

  static let names: [String] =
    ((try? FileManager.default.contentsOfDirectory(atPath: Fixtures.folder.appending("attention").string))
    ?? []).filter { $0.hasSuffix(".safetensors") }.map { String($0.dropLast(12)) }.sorted()

  init(_ name: String, precision: Precision = .fp32) throws {
    self.name = name
    let path = Fixtures.folder.appending("attention").appending("\(name).safetensors")
    tensors = try Fixtures.tensors(path)
    let shape = try #require(SafetensorsFile(path).tensors["input"]?.shape)
    model = try VisionTransformer(
      Fixtures.checkpoint(name),
      options: .init(
        transform: TransformOverrides(size: ImageSize(height: shape[1], width: shape[2])),
        precision: precision))
  }

  func tensor(_ key: String) throws -> [Float] { try #require(tensors[key], "\(name) has no \(key)") }
  func input() throws -> [Float] { try tensor("input") }

  /// The weights of the query that the fixture's rollouts and attributions have.
  var weights: [Float] {
    AttentionQuery.standard(model.configuration).weights(
      numPrefixTokens: model.configuration.numPrefixTokens, grid: model.grid)
  }
}

/// Attention probabilities, and what is made of them, against timm, transformers and numpy.
@Suite struct AttentionTests {
  /// What the project promises of probabilities, distances relative to the image, and rollouts.
  static let limit: Float = 1e-5

  @Test func fixturesAreThere() { #expect(AttentionFixture.names.count > 18) }

  @Test(arguments: AttentionFixture.names) func probabilities(_ name: String) throws {
    let fixture = try AttentionFixture(name)
    let shown = try Self.probabilities(fixture, [try fixture.input()])
    for (layer, heads) in shown[0].enumerated() {
      let deviation = Deviation(heads, from: try fixture.tensor("probabilities.\(layer)"))
      #expect(deviation.largest <= Self.limit, "\(name), layer \(layer): \(deviation)")
    }
  }

  /// Looking changes neither the result nor what else is seen; several images, and several threads.
  @Test(arguments: ["timm-token", "timm-diff", "timm-parallel-things", "hf-dinov2-registers"])
  func lookingChangesNothing(_ name: String) throws {
    let fixture = try AttentionFixture(name)
    let input = try fixture.input()
    let other = input.map { 0.7 * $0 - 0.2 }
    let expected = try Self.probabilities(fixture, [input])[0]
    for threads in [1, 3] {
      let compute = Compute(pool: threads > 1 ? ThreadPool(threadCount: threads) : nil)
      let shown = try Self.probabilities(fixture, [other, input], compute: compute)
      for (a, b) in zip(shown[1], expected) { #expect(Deviation(a, from: b).largest <= 1e-6) }
      #expect(shown[0] != shown[1])
    }
    let session = InferenceSession(fixture.model)
    var layers: [Int] = []
    let observer = AttentionObserver(layers: 1..<2) { layers.append($0.layer) }
    let features = [nil, observer].map { observer in
      session.run(.tensors([input]), attention: observer) { output in
        (0..<output.tokens.rows).flatMap { Array(output.tokens.row($0)) }
      }
    }
    let heads = fixture.model.configuration.numHeads * (fixture.model.configuration.numBranches ?? 1)
    #expect(layers == Array(repeating: 1, count: heads))
    #expect(Deviation(features[1], from: features[0]).largest <= 1e-5)
  }

  /// Reduced precisions show what they themselves compute: rows that sum to 1, near those of float32.
  @Test(arguments: [Precision.bf16, .int8], ["timm-token", "hf-dinov2-registers", "timm-deit-distilled"])
  func reducedPrecisions(_ precision: Precision, _ name: String) throws {
    let fixture = try AttentionFixture(name, precision: precision)
    let n = fixture.model.numTokens
    for (layer, heads) in try Self.probabilities(fixture, [try fixture.input()])[0].enumerated() {
      let expected = try fixture.tensor("probabilities.\(layer)")
      try #require(heads.count == expected.count)
      let mean = zip(heads, expected).reduce(0) { $0 + abs($1.0 - $1.1) } / Float(heads.count)
      #expect(mean < 0.02, "\(name), layer \(layer): \(mean)")
      for row in stride(from: 0, to: heads.count, by: n) {
        #expect(abs(heads[row..<row + n].reduce(0, +) - 1) < 1e-5)
      }
    }
  }

  @Test(arguments: AttentionFixture.names) func distances(_ name: String) throws {
    let fixture = try AttentionFixture(name)
    let configuration = fixture.model.configuration
    guard !configuration.differentialAttention else { return }
    let distance = AttentionDistance(
      grid: fixture.model.grid, patchSize: configuration.patchSize,
      numPrefixTokens: configuration.numPrefixTokens)
    var means: [[Float]] = Array(repeating: [], count: configuration.depth)
    InferenceSession(fixture.model).run(
      .tensors([try fixture.input()]),
      attention: AttentionObserver(layers: 0..<configuration.depth) {
        means[$0.layer].append(Float(distance.mean($0.probabilities)))
      })
    for (layer, values) in means.enumerated() {
      let deviation = Deviation(values, from: try fixture.tensor("distances.\(layer)"))
      // In pixels, of images of about 30.
      #expect(deviation.largest <= 30 * Self.limit, "\(name), layer \(layer): \(deviation)")
    }
  }

  /// Against numpy, of the fixture's own probabilities: where entries are dropped, a rounding may change which are the lowest.
  @Test(arguments: AttentionFixture.names.filter { !$0.contains("diff") }, AttentionRollout.Fusion.allCases)
  func rollouts(_ name: String, _ fusion: AttentionRollout.Fusion) throws {
    let fixture = try AttentionFixture(name)
    let (n, depth) = (fixture.model.numTokens, fixture.model.configuration.depth)
    for discard in [0, 0.6, 0.9] {
      let rollout = AttentionRollout(
        numTokens: n, hasClassToken: fixture.model.configuration.hasClassToken,
        options: .init(fusion: fusion, discard: discard))
      // Twice, to see that nothing of the first image is left.
      for _ in 0..<2 {
        rollout.reset()
        for layer in 0..<depth {
          var heads = try fixture.tensor("probabilities.\(layer)")
          heads.withUnsafeMutableBufferPointer { heads in
            guard let base = heads.baseAddress else { return }
            for head in stride(from: 0, to: heads.count, by: n * n) {
              rollout.add(MatrixView(base: base + head, rows: n, columns: n), layer: layer)
            }
          }
        }
      }
      let deviation = Deviation(
        rollout.rows(fixture.weights), from: try fixture.tensor("rollout.\(fusion.rawValue).\(discard)"))
      #expect(deviation.largest <= Self.limit, "\(name), \(fusion), \(discard): \(deviation)")
    }
  }

  /// The same from the input on, of every query at once: rows sum to 1, and the class token's is numpy's.
  @Test(arguments: ["timm-token", "timm-deit-distilled", "timm-parallel-things", "timm-rectangular"])
  func rolloutOfANetwork(_ name: String) throws {
    let fixture = try AttentionFixture(name)
    let n = fixture.model.numTokens
    let rollout = AttentionRollout(
      numTokens: n, hasClassToken: fixture.model.configuration.hasClassToken)
    InferenceSession(fixture.model).run(
      .tensors([try fixture.input()]),
      attention: AttentionObserver(layers: 0..<fixture.model.configuration.depth, visit: rollout.add))
    let identity = (0..<n * n).map { Float($0 / n == $0 % n ? 1 : 0) }
    let rows = rollout.rows(identity)
    for row in stride(from: 0, to: n * n, by: n) {
      #expect(abs(rows[row..<row + n].reduce(0, +) - 1) < 1e-5)
    }
    let deviation = Deviation(Array(rows[..<n]), from: try fixture.tensor("rollout.mean.0.0"))
    #expect(deviation.largest <= Self.limit, "\(name): \(deviation)")
  }

  @Test func queries() throws {
    let grid = ImageSize(height: 2, width: 3)
    #expect(AttentionQuery.classToken.weights(numPrefixTokens: 1, grid: grid) == [1, 0, 0, 0, 0, 0, 0])
    #expect(
      AttentionQuery.patch(row: 1, column: 0).weights(numPrefixTokens: 2, grid: grid)
        == [0, 0, 0, 0, 0, 1, 0, 0])
    #expect(
      AttentionQuery.meanOfPatches.weights(numPrefixTokens: 0, grid: grid)
        == Array(repeating: Float(1) / 6, count: 6))
    let model = try AttentionFixture("timm-avg-no-class-token").model
    let missing = #expect(throws: ModelError.self) { try AttentionQuery.classToken.check(model) }
    #expect("\(try #require(missing))".contains("the model has no class token"))
    #expect(AttentionQuery.standard(model.configuration) == .meanOfPatches)
    let error = #expect(throws: ModelError.self) {
      try AttentionQuery.patch(row: 3, column: 0).check(model)
    }
    #expect("\(try #require(error))".contains("rows 0 to 2 and columns 0 to 4"))
    try AttentionQuery.patch(row: 2, column: 4).check(model)
  }

  /// DINO's rule: what the rising sums reach before 1 - share goes.
  @Test func mass() {
    let map: [Float] = [0.1, 0.4, 0.05, 0.25, 0.2]
    #expect(AttentionMass.top(1, of: map) == map)
    #expect(AttentionMass.top(0.6, of: map) == [0, 0.4, 0, 0.25, 0])
    #expect(AttentionMass.top(0.3, of: map) == [0, 0.4, 0, 0, 0])
    #expect(AttentionMass.top(0.5, of: [0, 0]) == [0, 0])
    #expect(AttentionMass.top(1e-9, of: [1, 3, 2]) == [0, 3, 0])
  }

  /// [images][layers] of [branches * H, N, N]
  static func probabilities(
    _ fixture: AttentionFixture, _ inputs: [[Float]], compute: Compute = Compute()
  ) throws -> [[[Float]]] {
    let depth = fixture.model.configuration.depth
    var shown = Array(repeating: Array(repeating: [Float](), count: depth), count: inputs.count)
    let observer = AttentionObserver(layers: 0..<depth) { attention in
      for row in 0..<attention.probabilities.rows {
        shown[attention.image][attention.layer] += attention.probabilities.row(row)
      }
    }
    InferenceSession(fixture.model, compute: compute).run(.tensors(inputs), attention: observer)
    return shown
  }
}
