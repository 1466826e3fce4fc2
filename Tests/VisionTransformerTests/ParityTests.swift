import Checkpoints
import Images
import Kernels
import SystemPackage
import TestSupport
import Testing
import VisionTransformer

/// The network against timm and transformers, stage by stage, on the tiny models of `Tests/Fixtures/models`.
@Suite struct ParityTests {
  /// Both sides compute in float32 and differ in the order of their sums: about sqrt(K) units in the last place of the largest
  /// intermediate value a layer. 64 units of the largest value of a stage leave room for two blocks.
  static let tolerance: Float = 64 * Float.ulpOfOne

  struct Case: CustomTestStringConvertible, Sendable {
    let model: String
    /// As in the name of the file: `expected-48x64`; nil for the model's own size.
    let size: ImageSize?

    var testDescription: String { size.map { "\(model) at \($0)" } ?? model }

    var expected: FilePath {
      Fixtures.models.appending(model).appending(
        size.map { "expected-\($0).safetensors" } ?? "expected.safetensors")
    }
  }

  static let cases: [Case] =
    [
      "timm-token", "timm-token-f16", "timm-token-bf16", "timm-avg", "timm-avg-no-class-token", "timm-max",
      "timm-no-qkv-bias", "timm-rectangular", "timm-deit", "timm-deit-distilled", "timm-dinov2",
      "timm-dinov2-registers", "hf-vit", "hf-vit-sharded", "hf-vit-pooler", "hf-deit", "hf-deit-teacher",
      "hf-dinov2",
      "hf-dinov2-features", "hf-dinov2-registers",
    ].map { Case(model: $0, size: nil) }
    + [
      ("timm-token", 40, 40), ("timm-token", 48, 64), ("timm-avg-no-class-token", 24, 40),
      ("timm-rectangular", 32, 32),
      ("timm-deit-distilled", 24, 40), ("timm-dinov2", 42, 70), ("timm-dinov2-registers", 42, 42),
      ("timm-dinov2-registers", 42, 70), ("hf-vit", 40, 40), ("hf-vit", 48, 64), ("hf-deit", 48, 64),
      ("hf-dinov2", 40, 40), ("hf-dinov2", 48, 64), ("hf-dinov2-registers", 40, 40),
      ("hf-dinov2-registers", 48, 64),
    ].map { Case(model: $0.0, size: ImageSize(height: $0.1, width: $0.2)) }

  @Test(arguments: cases) func stages(_ example: Case) throws {
    let options = VisionTransformer.Options(transform: TransformOverrides(size: example.size))
    let model = try VisionTransformer(Checkpoint(Fixtures.models.appending(example.model)), options: options)
    try compare(model, with: Fixtures.tensors(example.expected), compute: Compute())
  }

  @Test func singleFileWithoutConfiguration() throws {
    let folder = Fixtures.models.appending("timm-single-file")
    let expected = try Fixtures.tensors(folder.appending("expected.safetensors"))
    let model = try VisionTransformer(Checkpoint(folder.appending("weights.safetensors")))
    #expect(model.configuration.numHeads == 2)
    #expect(model.warnings.contains { $0.contains("2 heads of 64") })
    try compare(model, with: expected, compute: Compute())
  }

  /// The layers of one image split over threads give the same network.
  @Test(arguments: [2, 3, 5]) func threads(_ count: Int) throws {
    let folder = Fixtures.models.appending("hf-dinov2-registers")
    let model = try VisionTransformer(Checkpoint(folder))
    let pool = ThreadPool(threadCount: count)
    try compare(
      model, with: Fixtures.tensors(folder.appending("expected.safetensors")), compute: Compute(pool: pool))
  }

  /// An image's result does not depend on the images beside it, and a session's memory serves one batch after the other.
  @Test func batches() throws {
    let folder = Fixtures.models.appending("timm-deit-distilled")
    let model = try VisionTransformer(Checkpoint(folder))
    let expected = try Fixtures.tensors(folder.appending("expected.safetensors"))
    let input = try #require(expected["input"])
    let other = input.map { 1 - $0 }
    let session = InferenceSession(model)
    for batch in [[input], [other, input, other], [input, other], [other, other, other, other, input]] {
      let position = try #require(batch.firstIndex(of: input))
      let logits = session.run(.tensors(batch)) { output in output.logits.map { Array($0.row(position)) } }
      try expectClose(try #require(logits), expected, "logits", model: "a batch of \(batch.count)")
    }
  }

  /// Running up to a block gives what the whole walk has there.
  @Test func runsUpToABlock() throws {
    let folder = Fixtures.models.appending("timm-dinov2")
    let model = try VisionTransformer(Checkpoint(folder))
    let expected = try Fixtures.tensors(folder.appending("expected.safetensors"))
    let input = try #require(expected["input"])
    for layer in 0..<model.configuration.depth {
      let tokens = InferenceSession(model).run(.tensors([input]), upTo: layer) { flat($0) }
      try expectClose(tokens, expected, "block.\(layer)", model: "timm-dinov2")
    }
  }

  private func compare(_ model: VisionTransformer, with expected: [String: [Float]], compute: Compute) throws
  {
    let input = try #require(expected["input"])
    var stages: [String: [Float]] = [:]
    let session = InferenceSession(model, compute: compute)
    session.run(.tensors([input])) { stage, tokens in
      switch stage {
      case .embeddings: stages["embeddings"] = flat(tokens)
      case .block(let index): stages["block.\(index)"] = flat(tokens)
      case .norm: stages["features"] = flat(tokens)
      }
    } body: { output in
      // With two heads there are two pooled vectors, of which timm and transformers show neither.
      if !model.configuration.hasDistillationHead { stages["pooled"] = flat(output.features) }
      stages["logits"] = output.logits.map(flat)
    }
    #expect(
      (expected["logits"] != nil) == (stages["logits"] != nil),
      "a head where there is none, or none where there is")
    for name in stages.keys.sorted() {
      try expectClose(try #require(stages[name]), expected, name, model: "\(model.path)")
    }
    #expect(stages.count >= model.configuration.depth + 3)
  }

  private func expectClose(
    _ actual: [Float], _ expected: [String: [Float]], _ name: String, model: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let reference = try #require(expected[name], "\(model) has no \(name)")
    let scale = max(1, reference.lazy.map(abs).max() ?? 1)
    let deviation = Deviation(actual, from: reference)
    #expect(
      deviation.largest <= Self.tolerance * scale, "\(model): \(name) \(deviation)",
      sourceLocation: sourceLocation)
  }
}

/// The elements of a matrix, row by row.
private func flat(_ matrix: MatrixView) -> [Float] {
  (0..<matrix.rows).flatMap { Array(matrix.row($0)) }
}
