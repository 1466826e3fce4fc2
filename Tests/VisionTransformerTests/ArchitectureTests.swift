import Checkpoints
import Foundation
import Images
import TestSupport
import Testing
import VisionTransformer

/// timm's table, and what is made of it where a checkpoint does not name its architecture.
@Suite struct ArchitectureTests {
  @Test func table() throws {
    #expect(TimmArchitectures.entries.count == 193)
    for entry in TimmArchitectures.entries {
      let name = entry.name
      let (width, heads) = (entry.arguments["embed_dim"]?.int ?? 0, entry.arguments["num_heads"]?.int ?? 0)
      #expect(heads > 0 && width > 0 && width.isMultiple(of: heads), "\(name)")
      #expect(
        entry.arguments["depth"]?.int ?? 0 > 0 && entry.arguments["norm_layer"]?["eps"]?.double ?? 0 > 0,
        "\(name)")
      #expect(
        entry.pretrained["input_size"]?.array?.count == 3 && entry.pretrained["mean"]?.array?.count == 3,
        "\(name)")
    }
  }

  @Test func tagsAndAliases() throws {
    let table = TimmArchitectures.table
    #expect(try table.entry("vit_base_patch16_224.bamboo").pretrained["crop_pct"]?.double == 1)
    #expect(try table.entry("vit_base_patch16_224").pretrained["crop_pct"]?.double == 0.9)
    #expect(try table.entry("vit_base_patch16_224_in21k").name == "vit_base_patch16_224")
    #expect(try table.entry("deit_small_distilled_patch16_224").isDistilled)
  }

  /// A file on its own whose shapes are those of one of timm's architectures is read as that.
  @Test(arguments: ["timm-token", "timm-clip", "timm-map"]) func widthsOfNoArchitecture(_ name: String) throws
  {
    let folder = try TemporaryFolder()
    let file = try folder.copy(
      Fixtures.models.appending("\(name)/model.safetensors"), to: "alone.safetensors")
    let model = try VisionTransformer(Checkpoint(file))
    #expect(model.configuration.numHeads == 1 && model.family == nil)
    #expect(
      model.warnings.contains { $0.contains("the number of heads is not in the file; assumed 1 head of") })
    #expect(model.warnings.contains { $0.contains("the preprocessing is not in the checkpoint") })
  }

  /// Sizes on which a model was trained may leave pixels that no patch covers; sizes that a user asks for may not.
  @Test func margins() throws {
    let folder = try TemporaryFolder()
    try folder.copy(Fixtures.models.appending("timm-token/model.safetensors"), to: "model.safetensors")
    let configuration = try String(
      contentsOfFile: Fixtures.models.appending("timm-token/config.json").string, encoding: .utf8
    ).replacingOccurrences(of: "32,", with: "37,").replacingOccurrences(of: " 32\n", with: " 37\n")
    try folder.write(configuration, to: "config.json")
    let model = try VisionTransformer(Checkpoint(folder.path))
    #expect(model.transform.size == ImageSize(37) && model.grid == ImageSize(4))
    var (pixels, cropped): ([Float], [Float]) = ([], [])
    for channel in 0..<3 {
      for row in 0..<37 {
        for column in 0..<37 {
          let value = Float((channel * 71 + row * 37 + column) % 101) / 50 - 1
          pixels.append(value)
          if row < 32, column < 32 { cropped.append(value) }
        }
      }
    }
    let plain = try VisionTransformer(Fixtures.checkpoint("timm-token"))
    func logits(_ model: VisionTransformer, _ input: [Float]) -> [Float]? {
      InferenceSession(model).run(.tensors([input])) { output in output.logits.map { Array($0.row(0)) } }
    }
    let reference = logits(plain, cropped)
    #expect(reference != nil && logits(model, pixels) == reference)
    #expect(throws: ModelError.self) {
      try VisionTransformer(
        Checkpoint(folder.path), options: .init(transform: TransformOverrides(size: ImageSize(38))))
    }
  }

  /// Positions that fill no square: the size that the user gives tells how they lie.
  @Test func rectanglesWithoutAConfiguration() throws {
    let folder = try TemporaryFolder()
    let file = try folder.copy(
      Fixtures.models.appending("timm-patch-14-rectangular-input/model.safetensors"), to: "alone.safetensors")
    let error = try #require(throws: ModelError.self) { try VisionTransformer(Checkpoint(file)) }
    #expect(
      "\(error)".contains(
        "is 7 positions: no square grid of patches with 1 prefix tokens; give the trained size"))
    let size = ImageSize(height: 28, width: 42)
    let model = try VisionTransformer(
      Checkpoint(file), options: .init(transform: TransformOverrides(size: size)))
    #expect(model.configuration.gridSize == ImageSize(height: 2, width: 3))
  }

  /// Positions that fill a square and the rectangle that the user asks for: a warning says which of the two was taken.
  @Test func rectanglesThatAreSquares() throws {
    let folder = try TemporaryFolder()
    let file = try folder.copy(
      Fixtures.models.appending("timm-token/model.safetensors"), to: "alone.safetensors")
    func warnings(_ size: ImageSize) throws -> [String] {
      try VisionTransformer(Checkpoint(file), options: .init(transform: TransformOverrides(size: size)))
        .warnings
        .filter { $0.contains("16 positions are taken for a grid of 4x4") }
    }
    #expect(try warnings(ImageSize(height: 16, width: 64)).count == 1)
    #expect(try warnings(ImageSize(32)).isEmpty && warnings(ImageSize(height: 16, width: 32)).isEmpty)
  }

  /// What could be meant otherwise is said.
  @Test func headsThatCouldMeanSomethingElse() throws {
    let pooler = SafetensorsBuilder.Tensor("vit.pooler.dense.weight", shape: [1], [1])
    for (model, names, more, warning) in [
      (
        "timm-token", ["head": "head.1"], [],
        "the classifier \"head.1.weight\" is not one of the library's own"
      ),
      ("timm-token", ["head": "fc"], [], "the classifier \"fc.weight\" is not one of the library's own"),
      ("hf-vit", ["classifier": "classifier.2"], [], "the classifier \"classifier.2.weight\" is not one of"),
      ("hf-vit", [:], [pooler], "a pooler stands beside the classifier \"classifier.weight\""),
    ] as [(String, [String: String], [SafetensorsBuilder.Tensor], String)] {
      var parts = try ModelParts(model)
      let plain = try parts.load()
      for (name, other) in names {
        for index in parts.tensors.indices where parts.tensors[index].name.hasPrefix("\(name).") {
          parts.tensors[index].name = other + parts.tensors[index].name.dropFirst(name.count)
        }
      }
      parts.tensors += more
      let changed = try parts.load()
      #expect(
        changed.warnings.count == plain.warnings.count + 1 && changed.warnings[0].contains(warning),
        "\(changed.warnings)")
      #expect(changed.configuration == plain.configuration)
    }
  }

  /// timm's configurations cannot say that an MLP is gated; its declared width is that of both halves.
  @Test func gatesThatOnlyTensorsShow() throws {
    var parts = try ModelParts("timm-dinov2-giant")
    let plain = try parts.load()
    try #require(plain.configuration.gatedMLP && plain.configuration.activation == .silu)
    let named = parts.configuration
    let name = try #require(
      JSONDecoder().decode(JSONValue.self, from: Data(named.utf8))["architecture"]?.string)
    parts.configuration = named.replacingOccurrences(of: name, with: "vit_large_patch16_224")
    let model = try parts.load()
    #expect(
      model.configuration.mlpDim == plain.configuration.mlpDim && model.configuration.activation == .silu)
    #expect(model.warnings.count == 1 && model.warnings[0].contains("assumed SiLU"), "\(model.warnings)")
    parts.configuration = parts.configuration.replacingOccurrences(
      of: "\"model_args\": {", with: "\"model_args\": {\"act_layer\": \"gelu\",")
    let stated = try parts.load()
    #expect(stated.configuration.activation == .gelu && stated.warnings.isEmpty)
  }

  /// big_vision's `posemb_sincos_2d(1, 2, 8)`.
  @Test func sinesAndCosines() {
    let positions = PositionEmbedding.sinCos2D(dim: 8, grid: ImageSize(height: 1, width: 2))
    let expected: [Float] = [0, 0, 1, 1, 0, 0, 1, 1, 0.841_471, 0.000_1, 0.540_302_3, 1, 0, 0, 1, 1]
    #expect(positions.count == expected.count)
    #expect(zip(positions, expected).allSatisfy { abs($0 - $1) < 1e-6 })
  }
}
