import Checkpoints
import SystemPackage
import TestSupport
import Testing

@Suite struct NamedTensorsTests {
  private func named(_ tensors: [(String, [Int])]) throws -> NamedTensors {
    let folder = try TemporaryFolder()
    let file = try folder.write(
      SafetensorsBuilder.file(
        tensors.map { .init($0.0, shape: $0.1, [Float](repeating: 0, count: $0.1.reduce(1, *))) }),
      to: "model.safetensors")
    return try NamedTensors(SafetensorsFile(file), path: file)
  }

  @Test(arguments: ["", "module.", "backbone.", "model.vit."]) func prefixes(_ prefix: String) throws {
    let tensors = try named([
      (prefix + "embeddings.patch_embeddings.projection.weight", [4, 3, 2, 2]),
      (prefix + "encoder.layer.0.layernorm_before.weight", [4]),
      (prefix + "encoder.layer.0.attention.attention.query.weight", [4, 4]),
      (prefix + "encoder.layer.0.attention.attention.key.weight", [4, 4]),
      (prefix + "encoder.layer.0.attention.attention.value.weight", [4, 4]),
      ("classifier.weight", [5, 4]), (prefix + "pooler.dense.weight", [4, 4]),
      (prefix + "something.else", [1]),
    ])
    #expect(tensors.scheme.library == .huggingFaceViT)
    #expect(tensors.prefix == prefix)
    #expect(tensors.depth == 1)
    #expect(tensors.shape(of: "blocks.0.attn.qkv.weight") == [12, 4])
    #expect(tensors.shape(of: "head.weight") == [5, 4])
    #expect(tensors.ignored == [prefix + "pooler.dense.weight"])
    #expect(tensors.unexpected == [prefix + "something.else"])
    #expect(
      tensors.foreignName(of: "blocks.0.mlp.fc1.bias") == prefix + "encoder.layer.0.intermediate.dense.bias")
  }

  /// The names that transformers 5 uses in memory, saved as they are.
  @Test func namesOfTransformers5() throws {
    let tensors = try named([
      ("vit.embeddings.patch_embeddings.projection.weight", [4, 3, 2, 2]),
      ("vit.layers.0.layernorm_before.weight", [4]), ("vit.layers.0.attention.q_proj.weight", [4, 4]),
      ("vit.layers.0.attention.k_proj.weight", [4, 4]), ("vit.layers.0.attention.v_proj.weight", [4, 4]),
      ("vit.layers.0.attention.o_proj.weight", [4, 4]), ("vit.layers.0.mlp.fc1.weight", [8, 4]),
    ])
    #expect(tensors.scheme.library == .huggingFaceViT)
    #expect(tensors.unexpected.isEmpty)
    #expect(
      tensors.parts(of: "blocks.0.attn.qkv.weight")?.map { $0.tensor.name }
        == ["q", "k", "v"].map { "vit.layers.0.attention.\($0)_proj.weight" })
  }

  /// A gap between blocks must not be taken for the end.
  @Test func gaps() throws {
    let tensors = try named([
      ("patch_embed.proj.weight", [4, 3, 2, 2]), ("blocks.0.norm1.weight", [4]),
      ("blocks.2.norm1.weight", [4]),
    ])
    #expect(tensors.depth == 3)
    #expect(!tensors.contains("blocks.1.norm1.weight"))
  }

  @Test func otherModels() throws {
    let error = try #require(throws: CheckpointError.self) {
      try named([("conv1.weight", [8, 3, 7, 7]), ("fc.bias", [10])])
    }
    #expect("\(error)".contains("not a Vision Transformer with names of timm, Hugging Face ViT"))
    #expect("\(error)".contains("\"conv1.weight\", \"fc.bias\""))
  }

  /// JAX's layouts, as PyTorch has them: heads flattened, inputs last, the layers of a stack one by one.
  @Test func layouts() throws {
    let block = "Transformer/encoderblock/"
    let tensors = try named([
      ("params/embedding/kernel", [2, 3, 3, 8]), ("params/pos_embedding", [1, 4, 8]),
      ("params/\(block)LayerNorm_0/scale", [5, 8]), ("params/\(block)MlpBlock_0/Dense_0/kernel", [5, 8, 12]),
      ("params/\(block)MultiHeadDotProductAttention_0/query/kernel", [5, 8, 2, 4]),
      ("params/\(block)MultiHeadDotProductAttention_0/key/kernel", [5, 8, 2, 4]),
      ("params/\(block)MultiHeadDotProductAttention_0/value/kernel", [5, 8, 2, 4]),
      ("params/\(block)MultiHeadDotProductAttention_0/query/bias", [5, 2, 4]),
      ("params/\(block)MultiHeadDotProductAttention_0/out/kernel", [5, 2, 4, 8]),
    ])
    #expect(tensors.scheme.library == .bigVision && tensors.prefix == "params/" && tensors.depth == 5)
    #expect(tensors.shape(of: "patch_embed.proj.weight") == [8, 3, 2, 3])
    #expect(tensors.shape(of: "blocks.4.norm1.weight") == [8])
    #expect(tensors.shape(of: "blocks.0.attn.qkv.weight") == [24, 8])
    #expect(tensors.shape(of: "blocks.3.attn.proj.weight") == [8, 8])
    #expect(tensors.shape(of: "blocks.2.mlp.fc1.weight") == [12, 8])
    #expect(tensors.parts(of: "blocks.2.mlp.fc1.weight")?.map(\.layer) == [2])
    // One of the three biases is not enough.
    #expect(!tensors.contains("blocks.0.attn.qkv.bias"))
    #expect(
      tensors.foreignName(of: "blocks.0.attn.qkv.bias")
        == "params/\(block)MultiHeadDotProductAttention_0/key/bias")
    let wrong = #expect(throws: CheckpointError.self) {
      try tensors.require("blocks.2.mlp.fc1.weight", shape: [13, 8])
    }
    #expect(
      "\(wrong as Any)".contains("expected [8, 13]") || "\(wrong.map { "\($0)" } ?? "")".contains("[8, 13]"))
  }

  /// Stages and units that are counted from 1, and a name for what is missing among them.
  @Test func hybrids() throws {
    let tensors = try named([
      ("embedding/kernel", [1, 1, 64, 8]), ("Transformer/posembed_input/pos_embedding", [1, 5, 8]),
      ("Transformer/encoderblock_0/LayerNorm_0/scale", [8]), ("conv_root/kernel", [7, 7, 3, 64]),
      ("gn_root/scale", [1, 1, 1, 64]), ("block1/unit2/conv3/kernel", [1, 1, 64, 256]),
    ])
    #expect(tensors.scheme.library == .google && tensors.unexpected.isEmpty)
    #expect(tensors.shape(of: "patch_embed.backbone.stages.0.blocks.1.conv3.weight") == [256, 64, 1, 1])
    #expect(tensors.shape(of: "patch_embed.backbone.stem.norm.weight") == [64])
    #expect(
      tensors.foreignName(of: "patch_embed.backbone.stages.2.blocks.8.norm1.bias") == "block3/unit9/gn1/bias")
  }

  /// The text tower of a CLIP has blocks by the names of the image tower; they are not taken for it.
  @Test func towers() throws {
    let tensors = try named([
      ("visual.conv1.weight", [8, 3, 2, 2]), ("visual.transformer.resblocks.0.ln_1.weight", [8]),
      ("visual.proj", [8, 6]), ("transformer.resblocks.0.ln_1.weight", [4]),
      ("transformer.resblocks.1.ln_1.weight", [4]), ("token_embedding.weight", [9, 4]), ("logit_scale", []),
    ])
    #expect(tensors.scheme.library == .clip && tensors.prefix == "visual." && tensors.depth == 1)
    #expect(tensors.shape(of: "visual_projection.weight") == [6, 8])
    #expect(tensors.unexpected.isEmpty && tensors.ignored.count == 4)
  }

  /// A classifier that users put in the place of the library's, alone in its `Sequential`, is taken; one of several layers is not.
  @Test(
    arguments: [
      ("heads", ["heads"]), ("heads", ["heads.0"]), ("heads", ["heads.head.1"]),
      ("heads", ["heads.0", "heads.3"]),
    ]) func customHeads(_ library: String, _ layers: [String]) throws
  {
    let tensors = try named(
      [("conv_proj.weight", [4, 3, 2, 2]), ("encoder.layers.encoder_layer_0.ln_1.weight", [4])]
        + layers.flatMap { [("\($0).weight", [5, 4]), ("\($0).bias", [5])] })
    #expect(tensors.scheme.library == .torchvision)
    #expect(tensors.hasCustomHead)
    #expect(tensors.foreignName(of: "head.weight") == "\(layers[0]).weight")
    #expect(tensors.unexpected == layers.dropFirst().flatMap { ["\($0).bias", "\($0).weight"] })
  }

  /// Two tensors that would be the same one: the second has no place, and does not silently take the first's.
  @Test func collisions() throws {
    let tensors = try named([
      ("backbone.patch_embed.proj.weight", [4, 3, 2, 2]), ("backbone.blocks.0.norm1.weight", [4]),
      ("backbone.head.weight", [4, 4]), ("head.weight", [5, 4]),
    ])
    #expect(tensors.shape(of: "head.weight") == [4, 4] && !tensors.hasCustomHead)
    #expect(tensors.unexpected == ["head.weight"])
  }

  /// What belongs to a loss has no part in any result.
  @Test func losses() throws {
    let tensors = try named([
      ("model.patch_embed.proj.weight", [4, 3, 2, 2]), ("model.blocks.0.norm1.weight", [4]),
      ("criterion.weight", [5]), ("loss_fn.centre", [5]), ("lossless.weight", [5]),
    ])
    #expect(tensors.ignored == ["criterion.weight", "loss_fn.centre"])
    #expect(tensors.unexpected == ["lossless.weight"])
  }

  /// CLIPA has the names of CLIP; the norm that it lacks shows what the other one is.
  @Test func norms() throws {
    func tower(_ more: [(String, [Int])]) throws -> NamedTensors {
      try named(
        [("visual.conv1.weight", [8, 3, 2, 2]), ("visual.transformer.resblocks.0.ln_1.weight", [8])]
          + [("visual.ln_post.weight", [8])] + more)
    }
    let (clip, clipa) = (try tower([("visual.ln_pre.weight", [8])]), try tower([]))
    #expect(clip.contains("norm.weight") && clip.contains("norm_pre.weight"))
    #expect(clipa.contains("fc_norm.weight") && !clipa.contains("norm.weight"))
    #expect(clip.unexpected.isEmpty && clipa.unexpected.isEmpty && clipa.scheme.library == .clip)
  }

  /// Numbers that are no index do no harm.
  @Test(arguments: ["99999999999999999999", "10001", "-1", "00x"]) func absurdIndices(_ index: String) throws
  {
    let tensors = try named([
      ("patch_embed.proj.weight", [4, 3, 2, 2]), ("blocks.0.norm1.weight", [4]),
      ("blocks.\(index).norm1.weight", [4]),
    ])
    #expect(tensors.depth == 1)
    #expect(tensors.unexpected == ["blocks.\(index).norm1.weight"])
  }
}
