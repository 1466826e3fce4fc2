/// Google's JAX checkpoints in `.npz`: kernels are [inputs, outputs], and keep heads apart.
extension NamingScheme {
  /// `google-research/vision_transformer`: ViT, AugReg and the hybrids.
  static let google = NamingScheme(
    .google, harmlessBeside: ["opt/state/*", "state/*"],
    rules: [
      flaxTrunk,
      Rule.tensor("pos_embed", "Transformer/posembed_input/pos_embedding"),
      flaxBlocks("Transformer/encoderblock_#", attention: 1, norm2: 2, mlp: 3),
      flaxResNet,
    ])

  /// `google-research/big_vision`: blocks one by one, or all in one with an axis for the depth.
  static let bigVision = NamingScheme(
    .bigVision,
    signature: [
      "pos_embedding", "Transformer/encoderblock_#/MultiHeadDotProductAttention_0/query/kernel",
      "Transformer/encoderblock/MultiHeadDotProductAttention_0/query/kernel",
    ], harmlessBeside: ["txt/*", "t", "b", "opt/*"],
    rules: [
      flaxTrunk,
      Rule.tensor("pos_embed", "pos_embedding"),
      flaxBlocks("Transformer/encoderblock_#", attention: 0, norm2: 1, mlp: 0),
      flaxBlocks("Transformer/encoderblock", attention: 0, norm2: 1, mlp: 0),
      Rule.tensor("attn_pool.latent", "MAPHead_0/probe"),
      flaxAttention(
        "MAPHead_0/MultiHeadDotProductAttention_0",
        inputs: [("attn_pool.q", ["query"]), ("attn_pool.kv", ["key", "value"])], output: "attn_pool.proj"),
      flaxNorm("attn_pool.norm", "MAPHead_0/LayerNorm_0"),
      flaxDense("attn_pool.mlp.fc1", "MAPHead_0/MlpBlock_0/Dense_0"),
      flaxDense("attn_pool.mlp.fc2", "MAPHead_0/MlpBlock_0/Dense_1"),
    ])

  private static let flaxTrunk: [Rule] = [
    Rule.tensor("patch_embed.proj.weight", Source("embedding/kernel", .convolution)),
    Rule.tensor("patch_embed.proj.bias", "embedding/bias"),
    Rule.tensor("cls_token", "cls"),
    flaxNorm("norm", "Transformer/encoder_norm"),
    flaxDense("pre_logits.fc", "pre_logits"),
    flaxDense("head", "head"),
  ].flatMap { $0 }

  private static func flaxBlocks(_ block: String, attention: Int, norm2: Int, mlp: Int) -> [Rule] {
    [
      flaxNorm("blocks.#.norm1", "\(block)/LayerNorm_0"),
      flaxAttention(
        "\(block)/MultiHeadDotProductAttention_\(attention)",
        inputs: [("blocks.#.attn.qkv", ["query", "key", "value"])], output: "blocks.#.attn.proj"),
      flaxNorm("blocks.#.norm2", "\(block)/LayerNorm_\(norm2)"),
      flaxDense("blocks.#.mlp.fc1", "\(block)/MlpBlock_\(mlp)/Dense_0"),
      flaxDense("blocks.#.mlp.fc2", "\(block)/MlpBlock_\(mlp)/Dense_1"),
    ].flatMap { $0 }
  }

  /// The ResNet-V2 of the hybrids; stages and units are counted from 1.
  private static let flaxResNet: [Rule] = {
    func convolution(_ canonical: String, _ name: String) -> [Rule] {
      Rule.tensor("patch_embed.backbone.\(canonical).weight", Source("\(name)/kernel", .convolution))
    }
    func norm(_ canonical: String, _ name: String) -> [Rule] {
      flaxNorm("patch_embed.backbone.\(canonical)", name)
    }
    let unit = "stages.#-1.blocks.#-1"
    let branches = (1...3).flatMap {
      convolution("\(unit).conv\($0)", "block#/unit#/conv\($0)")
        + norm("\(unit).norm\($0)", "block#/unit#/gn\($0)")
    }
    return branches + convolution("stem.conv", "conv_root") + norm("stem.norm", "gn_root")
      + convolution("\(unit).downsample.conv", "block#/unit#/conv_proj")
      + norm("\(unit).downsample.norm", "block#/unit#/gn_proj")
  }()

  private static func flaxDense(_ canonical: String, _ name: String) -> [Rule] {
    Rule.tensor("\(canonical).weight", Source("\(name)/kernel", .dense))
      + Rule.tensor("\(canonical).bias", Source("\(name)/bias"))
  }

  private static func flaxNorm(_ canonical: String, _ name: String) -> [Rule] {
    Rule.tensor("\(canonical).weight", Source("\(name)/scale", .flat))
      + Rule.tensor("\(canonical).bias", Source("\(name)/bias", .flat))
  }

  /// flax's `MultiHeadDotProductAttention`, with the projections that go into heads stacked as timm has them.
  private static func flaxAttention(
    _ name: String, inputs: [(canonical: String, projections: [String])], output: String
  ) -> [Rule] {
    let stacks = inputs.flatMap { canonical, projections in
      Rule.stacked("\(canonical).weight", [projections.map { Source("\(name)/\($0)/kernel", .intoHeads) }])
        + Rule.stacked("\(canonical).bias", [projections.map { Source("\(name)/\($0)/bias", .flat) }])
    }
    return stacks + Rule.tensor("\(output).weight", Source("\(name)/out/kernel", .outOfHeads))
      + Rule.tensor("\(output).bias", Source("\(name)/out/bias"))
  }
}
