import Checkpoints
import Foundation
import Images
import SystemPackage
import TestSupport
import Testing
import VisionTransformer

/// Models that cannot be: each gives one sentence with the path, and the tensor or the field.
@Suite struct BrokenModelTests {
  @Test func missingTensor() throws {
    var parts = try ModelParts("timm-token")
    parts["blocks.1.mlp.fc2.bias"] = nil
    #expect(
      try parts.message().hasSuffix("model.safetensors: tensor \"blocks.1.mlp.fc2.bias\" is missing")
        || parts.message().hasSuffix(": tensor \"blocks.1.mlp.fc2.bias\" is missing"))
  }

  @Test func missingTensorUnderItsForeignName() throws {
    var parts = try ModelParts("hf-vit")
    parts["vit.encoder.layer.1.intermediate.dense.weight"] = nil
    #expect(
      try parts.message().contains("tensor \"vit.encoder.layer.1.intermediate.dense.weight\" is missing"))
  }

  /// What decides the architecture by being there must not be able to go missing without a word.
  @Test(arguments: [
    ("timm-token", ["norm.weight"], "norm.weight"),
    ("timm-token", ["norm.weight", "norm.bias"], "norm.weight"),
    ("timm-avg", ["fc_norm.weight"], "fc_norm.weight"),
    ("timm-avg", ["fc_norm.weight", "fc_norm.bias"], "norm.weight"),
    ("hf-vit", ["vit.layernorm.weight", "vit.layernorm.bias"], "vit.layernorm.weight"),
  ]) func missingNorm(_ model: String, _ removed: [String], _ named: String) throws {
    var parts = try ModelParts(model)
    for name in removed {
      try #require(parts[name] != nil)
      parts[name] = nil
    }
    #expect(try parts.message().hasSuffix("tensor \"\(named)\" is missing"))
  }

  @Test func wrongShape() throws {
    var parts = try ModelParts("timm-token")
    parts["blocks.0.attn.proj.weight"] = .init(
      "blocks.0.attn.proj.weight", shape: [48, 47], Array(repeating: 0, count: 48 * 47))
    #expect(
      try parts.message().hasSuffix(
        "model.safetensors: tensor \"blocks.0.attn.proj.weight\" has shape [48, 47], expected [48, 48]"))
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity]) func nonFiniteWeights(_ value: Float) throws {
    var parts = try ModelParts("hf-dinov2")
    let name = "dinov2.encoder.layer.1.norm2.weight"
    parts[name]?.bytes.replaceSubrange(4..<8, with: withUnsafeBytes(of: value.bitPattern, Array.init))
    #expect(try parts.message().contains("tensor \"\(name)\" holds NaN or infinite values"))
  }

  @Test func unexpectedTensors() throws {
    var parts = try ModelParts("timm-token")
    parts["blocks.0.attn.rel_pos"] = .init(
      "blocks.0.attn.rel_pos", shape: [16], Array(repeating: 1, count: 16))
    #expect(try parts.message().contains("no place for \"blocks.0.attn.rel_pos\""))
  }

  /// One of three parts of a stacked tensor.
  @Test func missingPart() throws {
    var parts = try ModelParts("hf-vit")
    parts["vit.encoder.layer.0.attention.attention.key.weight"] = nil
    #expect(
      try parts.message().hasSuffix(
        "tensor \"vit.encoder.layer.0.attention.attention.key.weight\" is missing"))
  }

  @Test func integerWeights() throws {
    var parts = try ModelParts("timm-token")
    parts["norm.weight"] = .init(
      "norm.weight", type: "I32", shape: [48], bytes: Array(repeating: 0, count: 192))
    #expect(
      try parts.message().contains(
        "tensor \"norm.weight\" is of type I32; weights must be F64, F32, F16 or BF16"))
  }

  /// What stands in config.json and what the tensors say must agree.
  @Test(arguments: [
    ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "\"depth\" is 3, but the tensors say 2"),
    (
      "\"num_attention_heads\": 2", "\"num_attention_heads\": 5",
      "\"num_heads\" is 5: the width of 32 is not divisible by it"
    ),
    (
      "\"num_attention_heads\": 2", "\"num_attention_heads\": 0",
      "\"num_attention_heads\" is 0: expected a whole number"
    ),
    ("\"num_attention_heads\": 2", "\"num_attention_heads\": \"two\"", "\"num_attention_heads\" is \"two\""),
    ("\"hidden_size\": 32", "\"hidden_size\": 64", "\"embed_dim\" is 64, but the tensors say 32"),
    ("\"patch_size\": 8", "\"patch_size\": 16", "\"patch height\" is 16, but the tensors say 8"),
    (
      "\"hidden_act\": \"gelu\"", "\"hidden_act\": \"mish\"",
      "\"hidden_act\" is \"mish\": expected one of"
    ),
    ("\"model_type\": \"vit\"", "\"model_type\": \"swin\"", "\"model_type\" is \"swin\": supported are"),
    (
      "\"layer_norm_eps\": 1e-12", "\"layer_norm_eps\": -1",
      "\"layer_norm_eps\" is -1: expected a number above 0"
    ),
    ("\"0\": ", "\"17\": ", "\"id2label\" is not readable as labels"),
    ("\"image_size\": 32", "\"image_size\": 64", "\"image_size\" is 64x64, but the tensors say 17 positions"),
    ("\"layer_norm_eps\": 1e-12", "\"layer_norm_eps\": 1e-60", "expected a small number above 0"),
  ]) func disagreements(_ field: String, _ replacement: String, _ message: String) throws {
    var parts = try ModelParts("hf-vit")
    let changed = parts.configuration.replacingOccurrences(of: field, with: replacement)
    try #require(changed != parts.configuration, "the fixture has no \(field)")
    parts.configuration = changed
    let actual = try parts.message()
    #expect(actual.contains(message), "\(actual)")
  }

  @Test(arguments: ["resnet50", "vit_base_patch16_rope_224", "vit_base_patch16_siglip_223", "vit", ""])
  func unknownArchitectures(_ name: String) throws {
    let parts = try ModelParts("timm-token")
    #expect(
      try parts.message(.init(architecture: name)).contains("architecture \"\(name)\": not one of timm's"))
  }

  @Test func similarArchitectures() throws {
    let parts = try ModelParts("timm-token")
    #expect(
      try parts.message(.init(architecture: "vit_small_patch16_225")).contains(
        "; similar: vit_small_patch16_224"))
  }

  @Test(arguments: [
    (
      "\"num_heads\": 3", "\"num_heads\": 3, \"qk_norm\": true",
      "\"qk_norm\" is true, but the tensors say false"
    ),
    (
      "\"num_heads\": 3", "\"num_heads\": 3, \"sparkle\": true",
      "\"sparkle\" is true: timm's Vision Transformer has no such argument"
    ),
    (
      "\"num_heads\": 3", "\"num_heads\": 3, \"act_layer\": \"mish\"",
      "\"act_layer\" is \"mish\": expected one of gelu"
    ),
    ("\"in_chans\": 3", "\"in_chans\": 1", "\"in_chans\" is 1, but the tensors say 3"),
    ("\"global_pool\": \"token\"", "\"global_pool\": \"map\"", "tensor \"attn_pool.latent\" is missing"),
  ]) func argumentsThatDoNotFit(_ argument: String, _ replacement: String, _ message: String) throws {
    var parts = try ModelParts("timm-token")
    let changed = parts.configuration.replacingOccurrences(of: argument, with: replacement)
    try #require(changed != parts.configuration, "the fixture has no \(argument)")
    parts.configuration = changed
    let actual = try parts.message()
    #expect(actual.contains(message), "\(actual)")
  }

  @Test(arguments: [2, 4, 7]) func channels(_ count: Int) throws {
    var parts = try ModelParts("timm-token")
    parts["patch_embed.proj.weight"] = .init(
      "patch_embed.proj.weight", shape: [48, count, 8, 8], Array(repeating: 0.1, count: 48 * count * 64))
    #expect(
      try parts.message().hasSuffix(
        "is a layer for \(count) channels: only images of 3 channels (RGB) or 1 (grey) can be read"))
  }

  /// The name given by the user replaces the name alone: what the checkpoint says besides still holds.
  @Test func architectureByTheUser() throws {
    let model = try VisionTransformer(
      Checkpoint(Fixtures.models.appending("timm-token")),
      options: .init(architecture: "vit_small_patch16_224")
    )
    #expect(model.configuration.numHeads == 3)
    #expect(model.warnings.isEmpty)
  }

  /// A configuration that names a family of another kind says more than the names of its tensors.
  @Test(arguments: [
    ("{\"model_type\": \"dinov3_vit\"}", "\"model_type\" is \"dinov3_vit\": supported are clip, "),
    (
      "{\"architecture\": \"eva02_tiny_patch14_224\"}",
      "architecture \"eva02_tiny_patch14_224\": not one of timm's"
    ),
    ("{}", "\"architecture\" is missing: expected timm's \"architecture\""),
  ]) func otherFamilies(_ configuration: String, _ message: String) throws {
    var parts = try ModelParts("timm-token")
    parts.configuration = configuration
    parts.tensors = [.init("embeddings.rope.weight", shape: [1], [1])]
    let actual = try parts.message()
    #expect(actual.contains(message), "\(actual)")
  }

  /// A configuration of somebody else's does not stand in the way of a name that the user gives.
  @Test func configurationOfSomethingElse() throws {
    var parts = try ModelParts("timm-token")
    parts.configuration = "{\"dropout\": 0.1}"
    let message = try parts.message(.init(architecture: "vit_small_patch16_224"))
    #expect(message.contains("\"embed_dim\" is 384, but the tensors say 48"))
  }

  @Test func preprocessingOfAFileOnItsOwn() throws {
    let folder = try TemporaryFolder()
    let file = try folder.copy(
      Fixtures.models.appending("hf-vit").appending("model.safetensors"), to: "alone.safetensors")
    let model = try VisionTransformer(Checkpoint(file))
    #expect(model.configuration.normEpsilon == 1e-12)
    #expect(
      model.transform.interpolation == .bilinear && model.transform.normalization.mean == [0.5, 0.5, 0.5])
    #expect(model.warnings.count == 2)
  }

  @Test func sizesThatAreNoWholePatches() throws {
    let parts = try ModelParts("timm-token")
    let message = try parts.message(
      .init(transform: TransformOverrides(size: ImageSize(height: 33, width: 60))))
    #expect(message.contains("33x60 is not made of whole patches of 8x8; the nearest that is: 32x64"))
  }

  @Test func labelsOfAnotherModel() throws {
    let parts = try ModelParts("timm-token")
    let folder = try TemporaryFolder()
    for (name, text) in [
      ("labels.txt", "a\nb\nc\n"), ("labels.json", "[\"a\", \"b\", \"c\"]"),
      ("map.json", "{\"0\":\"a\",\"1\":\"b\",\"2\":\"c\"}"),
    ] {
      let file = try folder.write(text, to: name)
      #expect(
        try parts.message(.init(labels: .file(file))).hasSuffix(
          "\(name): 3 labels, but the model has 7 classes"))
    }
    let broken = try folder.write("{\"0\": ", to: "broken.json")
    #expect(try parts.message(.init(labels: .file(broken))).hasSuffix("broken.json: not valid JSON"))
  }
}

@Suite struct LabelTests {
  @Test func imageNet() {
    #expect(Labels.imageNet1k.count == 1000)
    #expect(Labels.imageNet1k[0].hasPrefix("tench"))
    #expect(Labels.imageNet1k[281].hasPrefix("tabby"))
    #expect(Labels.imageNet1k[999].hasPrefix("toilet tissue"))
  }

  @Test func files() throws {
    let folder = try TemporaryFolder()
    let labels = ["tabby cat", "dog, large", ""]
    for (name, text) in [
      ("unix.txt", "tabby cat\ndog, large\n\n"), ("windows.txt", "\u{FEFF}tabby cat\r\ndog, large\r\n"),
      ("list.json", "[\"tabby cat\", \"dog, large\"]"),
      ("map.json", " {\"1\": \"dog, large\", \"0\": \"tabby cat\"}"),
    ] {
      #expect(
        try Labels.read(folder.write(text, to: name), numClasses: 2) == Array(labels.prefix(2)), "\(name)")
    }
  }
}
