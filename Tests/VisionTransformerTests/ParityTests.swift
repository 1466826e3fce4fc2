import Checkpoints
import Foundation
import Images
import Kernels
import SystemPackage
import TestSupport
import Testing
import VisionTransformer

/// The network against the libraries whose checkpoints it reads, stage by stage, on the tiny models of `Tests/Fixtures/models`.
@Suite struct ParityTests {
  /// Both sides compute in float32 and differ in the order of their sums: about sqrt(K) units in the last place of the largest
  /// intermediate value a layer. 64 units of the largest value of a stage leave room for two blocks.
  static let tolerance: Float = 64 * Float.ulpOfOne

  struct Case: CustomTestStringConvertible, Sendable {
    /// The folder of the fixture.
    let name: String
    /// As in the name of the file: `expected-48x64`; nil for the model's own size.
    let size: ImageSize?

    var testDescription: String { size.map { "\(name) at \($0)" } ?? name }
    var folder: FilePath { Fixtures.models.appending(name) }

    var expected: FilePath {
      folder.appending(size.map { "expected-\($0).safetensors" } ?? "expected.safetensors")
    }
  }

  /// Every file of expected values there is.
  static let cases: [Case] = {
    let files = FileManager.default
    func contents(_ path: FilePath) -> [String] {
      ((try? files.contentsOfDirectory(atPath: path.string)) ?? []).sorted()
    }
    return Fixtures.modelNames.flatMap { name in
      contents(Fixtures.models.appending(name)).filter { $0.hasPrefix("expected") }.map { file in
        let sides = file.split { !$0.isNumber }.compactMap { Int($0) }
        return Case(name: name, size: sides.count == 2 ? ImageSize(height: sides[0], width: sides[1]) : nil)
      }
    }
  }()

  @Test func fixturesAreThere() { #expect(Self.cases.count > 150) }

  @Test(arguments: cases) func stages(_ example: Case) throws {
    let shape = try #require(SafetensorsFile(example.expected).tensors["input"]?.shape)
    let size = ImageSize(height: shape[1], width: shape[2])
    let options = VisionTransformer.Options(transform: TransformOverrides(size: size))
    let model = try VisionTransformer(Fixtures.checkpoint(example.name), options: options)
    try compare(model, with: Fixtures.tensors(example.expected), compute: Compute())
  }

  @Test func singleFileWithoutConfiguration() throws {
    let model = try VisionTransformer(Fixtures.checkpoint("timm-single-file"))
    #expect(model.configuration.numHeads == 2)
    #expect(model.warnings.contains { $0.contains("2 heads of 64") })
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

  /// Going on from the tokens before a block gives the bits of the whole walk.
  @Test(arguments: [
    "timm-dinov2", "timm-res-post", "timm-parallel-scaling", "timm-map", "timm-parallel-things",
  ])
  func runsOnFromABlock(_ name: String) throws {
    let folder = Fixtures.models.appending(name)
    let model = try VisionTransformer(Checkpoint(folder))
    let input = try #require(try Fixtures.tensors(folder.appending("expected.safetensors"))["input"])
    let session = InferenceSession(model)
    let whole = session.run(.tensors([input]), allTokens: false) { flat($0.features) }
    let allTokens = session.run(.tensors([input])) { flat($0.tokens) }
    var tokens = session.run(.tensors([input]), upTo: 0) { flat($0) }
    let dim = model.configuration.embedDim
    for block in 1...model.configuration.depth {
      let next = tokens.withUnsafeBufferPointer { buffer -> [Float]? in
        guard let base = buffer.baseAddress else { return nil }
        let view = MatrixView(base: base, rows: buffer.count / dim, columns: dim)
        #expect(session.run(view, batch: 1, from: block, allTokens: false) { flat($0.features) } == whole)
        #expect(session.run(view, batch: 1, from: block) { flat($0.tokens) } == allTokens)
        guard block < model.configuration.depth else { return nil }
        return session.run(view, batch: 1, block: block) { flat($0) }
      }
      if let next {
        #expect(next == session.run(.tensors([input]), upTo: block) { flat($0) })
        tokens = next
      }
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
      stages["pooled"] = flat(output.embeddings ?? output.features)
      stages["logits"] = output.logits.map(flat)
    }
    #expect(
      (expected["logits"] != nil) == (stages["logits"] != nil),
      "a head where there is none, or none where there is")
    // With two heads there are two pooled vectors, of which timm and transformers show neither.
    let skipped: Set<String> =
      model.configuration.hasDistillationHead ? ["input", "stem", "pooled"] : ["input", "stem"]
    let compared = Set(expected.keys).subtracting(skipped).sorted()
    #expect(compared.count >= 2)
    for name in compared {
      try expectClose(try #require(stages[name], "no \(name)"), expected, name, model: "\(model.path)")
    }
  }

  /// For tables: each deviation as a line of the file that VITRINE_DEVIATIONS names.
  static func note(_ line: String) {
    guard let path = ProcessInfo.processInfo.environment["VITRINE_DEVIATIONS"],
      let file = fopen(path, "a")
    else { return }
    fputs(line + "\n", file)
    fclose(file)
  }

  private func expectClose(
    _ actual: [Float], _ expected: [String: [Float]], _ name: String, model: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let reference = try #require(expected[name], "\(model) has no \(name)")
    let scale = max(1, reference.lazy.map(abs).max() ?? 1)
    let deviation = Deviation(actual, from: reference)
    Self.note("\(model)\t\(name)\t\(deviation.largest)")
    #expect(
      deviation.largest <= Self.tolerance * scale, "\(model): \(name) \(deviation)",
      sourceLocation: sourceLocation)
  }
}

/// The elements of a matrix, row by row.
private func flat(_ matrix: MatrixView) -> [Float] {
  (0..<matrix.rows).flatMap { Array(matrix.row($0)) }
}
