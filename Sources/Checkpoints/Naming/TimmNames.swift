/// timm, and checkpoints of training code with timm's names: DeiT, DINO, MAE, DINOv2.
extension NamingScheme {
  /// `timm/models/vision_transformer.py`, `deit.py` and `vision_transformer_hybrid.py`.
  static let timm = NamingScheme(
    .timm,
    // MAE saves its decoder, DINO and iBOT their projection heads.
    harmless: ["mask_token", "decoder_*"] + projectionHeads,
    harmlessBeside: projectionHeads + ["text.*", "logit_scale", "logit_bias"],
    signs: [.trainingOfDINO: ["head.last_layer.*"]],
    rules: [
      timmTrunk(block: "blocks.#"),
      Rule.layer(
        "blocks.#.mlp.fc1", stacking: [["blocks.#.mlp.fc1"], ["blocks.#.mlp.fc1_g", "blocks.#.mlp.fc1_x"]]),
      Rule.layer("blocks.#.mlp.fc2", "blocks.#.mlp.fc2"),
      Rule.tensor("reg_token", "reg_token"),
      timmVariants, resNetStem, customHead,
    ])

  /// `dinov2/models/vision_transformer.py`, with one list of blocks or with chunks of them.
  static let dinov2 = NamingScheme(
    .dinov2,
    signature: ["mask_token", "register_tokens", "blocks.#.mlp.w12.weight", "blocks.$.#.norm1.weight"],
    harmless: ["mask_token"],
    harmlessBeside: ["dino_head.*", "ibot_head.*", "dino_loss.*", "ibot_patch_loss.*"],
    rules: [
      dinov2Blocks("blocks.#"), dinov2Blocks("blocks.$.#"),
      Rule.tensor("reg_token", "register_tokens"),
      Rule.layer("head", "linear_head"),
      customHead,
    ])

  private static let customHead = Rule.customHead(
    ["classifier", "fc"], sequences: ["head", "linear_head", "classifier", "fc"])

  private static func dinov2Blocks(_ block: String) -> [Rule] {
    [
      timmTrunk(block: block),
      Rule.layer("blocks.#.mlp.fc1", "\(block).mlp.fc1", "\(block).mlp.w12"),
      Rule.layer("blocks.#.mlp.fc2", "\(block).mlp.fc2", "\(block).mlp.w3"),
    ].flatMap { $0 }
  }

  /// What every version of timm's code, and code made from it, calls the same.
  private static func timmTrunk(block: String) -> [Rule] {
    let blockLayers = ["norm1", "attn.qkv", "attn.proj", "norm2"].flatMap {
      Rule.layer("blocks.#.\($0)", "\(block).\($0)")
    }
    let outerLayers = ["patch_embed.proj", "norm", "fc_norm", "head", "head_dist"].flatMap {
      Rule.layer($0, $0)
    }
    let tokens = ["cls_token", "dist_token", "pos_embed"].flatMap { Rule.tensor($0, Source($0)) }
    let layerScales = ["ls1.gamma", "ls2.gamma"].flatMap {
      Rule.tensor("blocks.#.\($0)", Source("\(block).\($0)"))
    }
    return blockLayers + outerLayers + tokens + layerScales
  }

  /// What only some of timm's architectures have, under its own names.
  private static let timmVariants: [Rule] = {
    let layers = [
      "patch_embed.norm", "norm_pre", "pre_logits.fc",
      // Norms inside attention and MLP (BEiT-3), of queries and keys, and of the difference of two attentions.
      "blocks.#.attn.norm", "blocks.#.attn.q_norm", "blocks.#.attn.k_norm", "blocks.#.attn.sub_norm",
      "blocks.#.mlp.norm",
      // Attention and MLP side by side (arXiv 2302.05442).
      "blocks.#.in_norm", "blocks.#.in_proj", "blocks.#.q_norm", "blocks.#.k_norm", "blocks.#.sub_norm",
      "blocks.#.out_proj", "blocks.#.attn_out_proj", "blocks.#.mlp_out_proj",
      // Several attentions, then several MLPs (arXiv 2203.09795).
      "blocks.#.attns.#.norm", "blocks.#.attns.#.attn.qkv", "blocks.#.attns.#.attn.q_norm",
      "blocks.#.attns.#.attn.k_norm", "blocks.#.attns.#.attn.norm", "blocks.#.attns.#.attn.sub_norm",
      "blocks.#.attns.#.attn.proj",
      "blocks.#.ffns.#.norm", "blocks.#.ffns.#.mlp.norm", "blocks.#.ffns.#.mlp.fc2",
      // Attention pooling.
      "attn_pool.q", "attn_pool.kv", "attn_pool.proj", "attn_pool.norm", "attn_pool.mlp.fc1",
      "attn_pool.mlp.fc2",
    ]
    let lambdas = ["lambda_a", "lambda_b", "lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2"]
    let tensors = [
      "attn_pool.latent", "blocks.#.mlp_bias", "blocks.#.ls.gamma", "blocks.#.attns.#.ls.gamma",
      "blocks.#.ffns.#.ls.gamma",
    ]
    let attentions = ["blocks.#", "blocks.#.attn", "blocks.#.attns.#.attn"]
    let all = tensors + attentions.flatMap { attention in lambdas.map { "\(attention).\($0)" } }
    let mlp = "blocks.#.ffns.#.mlp"
    return layers.flatMap { Rule.layer($0, $0) } + all.flatMap { Rule.tensor($0, Source($0)) }
      + Rule.layer("\(mlp).fc1", stacking: [["\(mlp).fc1"], ["\(mlp).fc1_g", "\(mlp).fc1_x"]])
  }()

  /// The ResNet-V2 in front of a hybrid, `patch_embed.backbone`, whole or its stem alone.
  private static let resNetStem: [Rule] = {
    let backbone = "patch_embed.backbone"
    let unit = "\(backbone).stages.#.blocks.#"
    let convolutions = ["conv1", "conv2", "conv3", "downsample.conv"].flatMap {
      Rule.tensor("\(unit).\($0).weight", Source("\(unit).\($0).weight"))
    }
    let norms = ["norm1", "norm2", "norm3", "downsample.norm"].flatMap {
      Rule.layer("\(unit).\($0)", "\(unit).\($0)")
    }
    return convolutions + norms
      + Rule.tensor(
        "\(backbone).stem.conv.weight", Source("\(backbone).stem.conv.weight"),
        Source("\(backbone).conv.weight"))
      + Rule.layer("\(backbone).stem.norm", "\(backbone).stem.norm", "\(backbone).norm")
  }()

  private static let projectionHeads = ["head.mlp.*", "head.last_layer.*"]
}
