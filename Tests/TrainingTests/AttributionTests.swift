import Checkpoints
import Foundation
import Images
import SystemPackage
import TestSupport
import Testing
import Training
import VisionTransformer

/// Attributions against torch's autograd in double precision (`scripts/reference/attention_fixtures.py`).
@Suite struct AttributionTests {
  /// What the project promises, of the largest relevance.
  static let limit: Float = 1e-4

  static let names = [
    "timm-token", "timm-deit-distilled", "timm-avg", "timm-avg-no-class-token", "timm-rectangular",
    "timm-registers-gap", "timm-qk-norm", "timm-beit3", "timm-res-post", "timm-max", "timm-dinov2-registers",
    "hf-vit",
    "hf-deit-teacher",
  ]

  private func open(_ name: String) throws -> (VisionTransformer, [String: [Float]]) {
    let path = Fixtures.folder.appending("attention").appending("\(name).safetensors")
    let shape = try #require(SafetensorsFile(path).tensors["input"]?.shape)
    let size = ImageSize(height: shape[1], width: shape[2])
    let model = try VisionTransformer(
      Fixtures.checkpoint(name),
      options: .init(transform: TransformOverrides(size: size), describesOnly: true))
    return (model, try Fixtures.tensors(path))
  }

  @Test(arguments: names) func agreeWithAutograd(_ name: String) throws {
    let (model, expected) = try open(name)
    let weights = AttentionQuery.standard(model.configuration).weights(
      numPrefixTokens: model.configuration.numPrefixTokens, grid: model.grid)
    let session = AttributionSession(try AttributionModel(model, threads: 1))
    let input = try #require(expected["input"])
    // Several classes share a forward pass; one alone comes out the same, bit by bit.
    let all = session.attribute(input, query: weights) { _ in [0, 4, 0] }
    let alone = session.attribute(input, query: weights) { _ in [4] }
    #expect(all.attributions.map(\.label) == [0, 4, 0] && all.logits == alone.logits)
    #expect(all.attributions[1].relevance == alone.attributions[0].relevance)
    #expect(all.attributions[2].relevance == all.attributions[0].relevance)
    #expect(Deviation(all.logits, from: try #require(expected["logits"])).largest <= 1e-4)
    for result in all.attributions {
      let label = result.label
      let reference = try #require(expected["attribution.\(label)"])
      let scale = reference.reduce(0) { max($0, abs($1)) }
      let deviation = Deviation(result.relevance, from: reference)
      #expect(deviation.largest <= Self.limit * scale, "\(name), class \(label): \(deviation)")
    }
  }

  @Test(arguments: [
    ("timm-parallel-scaling", "blocks with attention and MLP side by side"),
    ("timm-diff", "differential attention"), ("hf-dinov2", "a head on class token and mean"),
    ("timm-map-registers", "the pool \"map\""),
  ]) func refuses(_ name: String, _ part: String) throws {
    let model = try VisionTransformer(Fixtures.checkpoint(name), options: .init(describesOnly: true))
    let error = #expect(throws: ModelError.self) { try AttributionModel(model, threads: 1) }
    #expect("\(try #require(error))".contains(part))
  }

  /// What no patch covers says nothing: as of an image without it.
  @Test func marginsAreLeftOut() throws {
    let checkpoint = try Fixtures.checkpoint("timm-rms-norm")
    let whole = try VisionTransformer(checkpoint, options: .init(describesOnly: true))
    let size = ImageSize(height: 156, width: 156)
    let covered = try VisionTransformer(
      checkpoint, options: .init(transform: TransformOverrides(size: size), describesOnly: true))
    try #require(whole.transform.size == ImageSize(height: 160, width: 160) && whole.grid == covered.grid)
    var random = SplitMix64(state: 3)
    let pixels = (0..<3 * 160 * 160).map { _ in Float.random(in: -1...1, using: &random) }
    let inner = pixels.indices.filter { $0 / 160 % 160 < 156 && $0 % 160 < 156 }.map { pixels[$0] }
    let query = AttentionQuery.standard(whole.configuration).weights(
      numPrefixTokens: whole.configuration.numPrefixTokens, grid: whole.grid)
    let results = try [(whole, pixels), (covered, inner)].map { model, pixels in
      AttributionSession(try AttributionModel(model, threads: 1)).attribute(pixels, query: query) { _ in [2] }
    }
    #expect(results[0].logits == results[1].logits)
    #expect(results[0].attributions[0].relevance == results[1].attributions[0].relevance)
  }

  @Test func refusesWhatHasNoClasses() throws {
    let model = try VisionTransformer(Fixtures.checkpoint("timm-dinov2"), options: .init(describesOnly: true))
    #expect(throws: ModelError.noHead(path: model.path)) { try AttributionModel(model, threads: 1) }
    let (token, _) = try open("timm-token")
    #expect(throws: ModelError.self) { try AttributionModel(token, precision: .int8, threads: 1) }
  }
}
