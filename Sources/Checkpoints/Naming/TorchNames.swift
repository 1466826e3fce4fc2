/// Other PyTorch libraries: torchvision, `pytorch_pretrained_vit`, and OpenAI's and OpenCLIP's CLIP.
extension NamingScheme {
  /// `torchvision/models/vision_transformer.py`; `mlp.linear_1` and `mlp.linear_2` up to version 0.12.
  static let torchvision: NamingScheme = {
    let layer = "encoder.layers.encoder_layer_#"
    return NamingScheme(
      .torchvision,
      rules: [
        Rule.layer("patch_embed.proj", "conv_proj"),
        Rule.tensor("cls_token", "class_token"),
        Rule.tensor("pos_embed", "encoder.pos_embedding"),
        Rule.layer("blocks.#.norm1", "\(layer).ln_1"),
        multiHeadAttention("\(layer).self_attention"),
        Rule.layer("blocks.#.norm2", "\(layer).ln_2"),
        Rule.layer("blocks.#.mlp.fc1", "\(layer).mlp.0", "\(layer).mlp.linear_1"),
        Rule.layer("blocks.#.mlp.fc2", "\(layer).mlp.3", "\(layer).mlp.linear_2"),
        Rule.layer("norm", "encoder.ln"),
        Rule.layer("pre_logits.fc", "heads.pre_logits"),
        Rule.layer("head", "heads.head"),
        Rule.customHead(["heads"], sequences: ["heads", "heads.head"]),
      ])
  }()

  /// The pip package of that name (lukemelas/PyTorch-Pretrained-ViT).
  static let pyTorchPretrainedViT: NamingScheme = {
    let block = "transformer.blocks.#"
    return NamingScheme(
      .pyTorchPretrainedViT,
      rules: [
        Rule.layer("patch_embed.proj", "patch_embedding"),
        Rule.tensor("cls_token", "class_token"),
        Rule.tensor("pos_embed", "positional_embedding.pos_embedding"),
        Rule.layer("blocks.#.norm1", "\(block).norm1"),
        Rule.layer("blocks.#.attn.qkv", stacking: [["q", "k", "v"].map { "\(block).attn.proj_\($0)" }]),
        Rule.layer("blocks.#.attn.proj", "\(block).proj"),
        Rule.layer("blocks.#.norm2", "\(block).norm2"),
        Rule.layer("blocks.#.mlp.fc1", "\(block).pwff.fc1"),
        Rule.layer("blocks.#.mlp.fc2", "\(block).pwff.fc2"),
        Rule.layer("norm", "norm"),
        Rule.layer("pre_logits.fc", "pre_logits"),
        Rule.layer("head", "fc"),
        Rule.customHead([], sequences: ["fc"]),
      ])
  }()

  /// The image tower of CLIP, `visual.`, alone or in the whole model.
  static let clip = clip(norms: Rule.layer("norm_pre", "ln_pre") + Rule.layer("norm", "ln_post"))

  /// CLIPA's (arXiv 2305.07017), which OpenCLIP saves under the same names. It has no norm before its blocks, and shows by that that the
  /// one behind them comes after the mean over the patches.
  static let clipa = clip(norms: Rule.layer("fc_norm", "ln_post"))

  private static func clip(norms: [Rule]) -> NamingScheme {
    let block = "transformer.resblocks.#"
    // OpenAI's archives carry these three numbers, OpenCLIP's do not.
    let numbers = ["input_resolution", "context_length", "vocab_size"]
    return NamingScheme(
      .clip,
      harmlessBeside: [
        "transformer.*", "token_embedding.*", "positional_embedding", "ln_final.*", "text_projection",
        "text.*", "attn_mask", "logit_scale", "logit_bias",
      ] + numbers,
      signs: [.archiveOfOpenAI: numbers],
      rules: [
        Rule.layer("patch_embed.proj", "conv1"),
        Rule.tensor("cls_token", "class_embedding"),
        Rule.tensor("pos_embed", "positional_embedding"),
        Rule.layer("blocks.#.norm1", "\(block).ln_1"),
        multiHeadAttention("\(block).attn"),
        Rule.tensor("blocks.#.ls1.gamma", Source("\(block).ls_1.gamma")),
        Rule.layer("blocks.#.norm2", "\(block).ln_2"),
        Rule.layer("blocks.#.mlp.fc1", "\(block).mlp.c_fc"),
        Rule.layer("blocks.#.mlp.fc2", "\(block).mlp.c_proj"),
        Rule.tensor("blocks.#.ls2.gamma", Source("\(block).ls_2.gamma")),
        Rule.tensor("visual_projection.weight", Source("proj", .dense)), norms,
      ])
  }

  /// `torch.nn.MultiheadAttention`.
  private static func multiHeadAttention(_ name: String) -> [Rule] {
    Rule.tensor("blocks.#.attn.qkv.weight", Source("\(name).in_proj_weight"))
      + Rule.tensor("blocks.#.attn.qkv.bias", Source("\(name).in_proj_bias"))
      + Rule.layer("blocks.#.attn.proj", "\(name).out_proj")
  }
}
