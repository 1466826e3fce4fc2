/// transformers: the names that it saves, and those that version 5 uses in memory.
extension NamingScheme {
  /// `ViTModel`, `DeiTModel`, `ViTMSNModel`, `IJepaModel`, `ViTMAEModel`, their classifiers and what they are pre-trained with.
  static let huggingFaceViT = NamingScheme(
    .huggingFaceViT, harmless: ["embeddings.mask_token", "pooler.*"],
    harmlessBeside: ["pooler.*", "decoder.*"], signs: [.pooler: ["pooler.*"]],
    // Version 5 saves ViTMSN's layers without the prefix that its embeddings have.
    mixesPrefixes: true,
    rules: [
      huggingFaceTrunk,
      Rule.layer("blocks.#.norm1", "encoder.layer.#.layernorm_before", "layers.#.layernorm_before"),
      Rule.layer("blocks.#.norm2", "encoder.layer.#.layernorm_after", "layers.#.layernorm_after"),
      Rule.layer("blocks.#.mlp.fc1", "encoder.layer.#.intermediate.dense", "layers.#.mlp.fc1"),
      Rule.layer("blocks.#.mlp.fc2", "encoder.layer.#.output.dense", "layers.#.mlp.fc2"),
      Rule.layer("head", "classifier", "cls_classifier"),
      Rule.customHead(["head", "fc"], sequences: ["classifier", "head", "fc"]),
      Rule.layer("head_dist", "distillation_classifier"),
      Rule.tensor("dist_token", "embeddings.distillation_token"),
    ])

  /// `Dinov2Model`, `Dinov2WithRegistersModel` and their classifiers.
  static let huggingFaceDINOv2 = NamingScheme(
    .huggingFaceDINOv2, harmless: ["embeddings.mask_token"],
    rules: [
      huggingFaceTrunk,
      dinov2Layers("encoder.layer.#"), dinov2Layers("layers.#"),
      Rule.layer("head", "classifier"),
      Rule.customHead(["head", "fc"], sequences: ["classifier", "head", "fc"]),
      Rule.tensor("reg_token", "embeddings.register_tokens"),
    ])

  /// The image tower of `CLIPModel`, `CLIPVisionModel` and `CLIPVisionModelWithProjection`.
  static let huggingFaceCLIP = NamingScheme(
    .huggingFaceCLIP, signature: ["embeddings.class_embedding"], harmless: ["embeddings.position_ids"],
    harmlessBeside: textTower,
    rules: [
      huggingFaceTower,
      Rule.tensor("cls_token", "embeddings.class_embedding"),
      // The misspelling is transformers' own.
      Rule.layer("norm_pre", "pre_layrnorm"),
      Rule.tensor("visual_projection.weight", "visual_projection.weight"),
    ])

  /// The image tower of `SiglipModel` and `SiglipVisionModel`.
  static let huggingFaceSigLIP = NamingScheme(
    .huggingFaceSigLIP, signature: ["embeddings.patch_embedding.bias"], harmless: ["embeddings.position_ids"],
    harmlessBeside: textTower,
    rules: [
      huggingFaceTower,
      Rule.tensor("attn_pool.latent", "head.probe"),
      poolingInputs("weight"), poolingInputs("bias"),
      Rule.layer("attn_pool.proj", "head.attention.out_proj"),
      Rule.layer("attn_pool.norm", "head.layernorm"),
      Rule.layer("attn_pool.mlp.fc1", "head.mlp.fc1"),
      Rule.layer("attn_pool.mlp.fc2", "head.mlp.fc2"),
      Rule.layer("head", "classifier"),
    ])

  /// Embeddings, attention and the last norm of ViT and DINOv2.
  private static let huggingFaceTrunk: [Rule] = {
    let layers = ["encoder.layer.#", "layers.#"]
    let inputs = layers.flatMap { layer in
      [
        ["query", "key", "value"].map { "\(layer).attention.attention.\($0)" },
        ["q", "k", "v"].map { "\(layer).attention.\($0)_proj" },
      ]
    }
    let outputs = layers.flatMap { [["\($0).attention.output.dense"], ["\($0).attention.o_proj"]] }
    return [
      Rule.layer("patch_embed.proj", "embeddings.patch_embeddings.projection"),
      Rule.layer("blocks.#.attn.qkv", stacking: inputs),
      Rule.layer("blocks.#.attn.proj", stacking: outputs),
      Rule.layer("norm", "layernorm"),
      Rule.tensor("cls_token", "embeddings.cls_token"),
      Rule.tensor("pos_embed", "embeddings.position_embeddings"),
    ].flatMap { $0 }
  }()

  private static func dinov2Layers(_ layer: String) -> [Rule] {
    [
      Rule.layer("blocks.#.norm1", "\(layer).norm1"),
      Rule.layer("blocks.#.norm2", "\(layer).norm2"),
      Rule.layer(
        "blocks.#.mlp.fc1",
        stacking: [
          ["\(layer).mlp.fc1"], ["\(layer).mlp.weights_in"],
          ["\(layer).mlp.gate_proj", "\(layer).mlp.up_proj"],
        ]),
      Rule.layer(
        "blocks.#.mlp.fc2", "\(layer).mlp.fc2", "\(layer).mlp.weights_out", "\(layer).mlp.down_proj"),
      Rule.tensor("blocks.#.ls1.gamma", Source("\(layer).layer_scale1.lambda1")),
      Rule.tensor("blocks.#.ls2.gamma", Source("\(layer).layer_scale2.lambda1")),
    ].flatMap { $0 }
  }

  /// What the image towers of CLIP and SigLIP have in common.
  private static let huggingFaceTower: [Rule] = [
    Rule.layer("patch_embed.proj", "embeddings.patch_embedding"),
    Rule.tensor("pos_embed", "embeddings.position_embedding.weight"),
    Rule.layer("blocks.#.norm1", "encoder.layers.#.layer_norm1"),
    Rule.layer(
      "blocks.#.attn.qkv", stacking: [["q", "k", "v"].map { "encoder.layers.#.self_attn.\($0)_proj" }]),
    Rule.layer("blocks.#.attn.proj", "encoder.layers.#.self_attn.out_proj"),
    Rule.layer("blocks.#.norm2", "encoder.layers.#.layer_norm2"),
    Rule.layer("blocks.#.mlp.fc1", "encoder.layers.#.mlp.fc1"),
    Rule.layer("blocks.#.mlp.fc2", "encoder.layers.#.mlp.fc2"),
    Rule.layer("norm", "post_layernorm"),
  ].flatMap { $0 }

  /// `torch.nn.MultiheadAttention` keeps queries, keys and values in one tensor, timm's attention pooling in two.
  private static func poolingInputs(_ part: String) -> [Rule] {
    let name = "head.attention.in_proj_\(part)"
    return Rule.tensor("attn_pool.q.\(part)", Source(name, share: .init(first: 0, count: 1, of: 3)))
      + Rule.tensor("attn_pool.kv.\(part)", Source(name, share: .init(first: 1, count: 2, of: 3)))
  }

  private static let textTower = ["text_model.*", "text_projection.*", "logit_scale", "logit_bias"]
}
