import Checkpoints
import Images
import SystemPackage

/// What timm's name of an architecture and the arguments beside it declare: `architecture` and `model_args` of timm's `config.json`,
/// or an entry of the table that the user named or the tensors are like.
struct TimmDeclaration {
  /// Where the arguments stand; for messages.
  let path: FilePath
  /// timm's `config.json`; nil where only a name is known.
  let configuration: JSONValue?
  let entry: TimmArchitectures.Entry

  /// Arguments whose effect the tensors show, or that have none on the result.
  private static let inertArguments: Set<String> = [
    "init_values", "reg_tokens", "no_embed_class", "pre_norm", "fc_norm", "scale_attn_norm", "scale_mlp_norm",
    "attn_layer",
    "embed_layer", "embed_norm_layer", "mlp_layer", "dynamic_img_size", "dynamic_img_pad", "drop_rate",
    "pos_drop_rate",
    "patch_drop_rate", "proj_drop_rate", "attn_drop_rate", "drop_path_rate", "weight_init", "fix_init",
    "pos_embed",
  ]
  private static let activeArguments: Set<String> = [
    "img_size", "patch_size", "in_chans", "num_classes", "global_pool", "embed_dim", "depth", "num_heads",
    "mlp_ratio",
    "qkv_bias", "proj_bias", "qk_norm", "class_token", "pool_include_prefix", "final_norm", "norm_layer",
    "act_layer", "block_fn",
  ]
  static let activations: [String: ActivationKind] = [
    "gelu": .gelu, "gelu_tanh": .geluTanh, "quick_gelu": .quickGELU, "quickgelu": .quickGELU, "silu": .silu,
    "swish": .silu,
    "relu": .relu,
  ]
  private static let norms: [String: NormKind] = [
    "layernorm": .layerNorm, "layernormfp32": .layerNorm, "rmsnorm": .rmsNorm, "rmsnormfp32": .rmsNorm,
  ]
  private static let blocks: [String: BlockKind] = [
    "res_post": .postNorm, "parallel_scaling": .parallel, "diff_parallel_scaling": .parallel,
    "parallel_things": .preNorm,
  ]

  func read() throws(ModelError) -> Declared {
    let top = ConfigurationFields(path: path, values: configuration)
    for field in ["model_args", "pretrained_cfg"] { try top.requireObject(field) }
    let overrides = configuration?["model_args"]?.object ?? [:]
    if let unknown = overrides.keys.sorted().first(where: {
      !Self.inertArguments.contains($0) && !Self.activeArguments.contains($0)
    }) {
      throw .configuration(
        path: path, field: unknown, value: overrides[unknown].map(\.summary) ?? "",
        remedy: "timm's Vision Transformer has no such argument")
    }
    // An argument that is there with null takes timm's default, as in the constructor.
    let merged = (entry.arguments.object ?? [:]).merging(overrides) { $1 }
    let fields = ConfigurationFields(path: path, values: .object(merged))
    try requireReadable(fields)

    var declared = Declared(normEpsilon: 1e-6, positionResampling: .bicubicAntialiased)
    (declared.norm, declared.normEpsilon) = try norm(fields)
    declared.activation = try fields.choice("act_layer", Self.activations)
    declared.statesActivation = overrides["act_layer"] != nil
    declared.knowsMLP = fields.values?["mlp_layer"] != nil
    declared.block = try fields.choice("block_fn", Self.blocks) ?? .preNorm
    declared.embedDim = try fields.int("embed_dim")
    declared.depth = try fields.int("depth")
    declared.numHeads = try fields.int("num_heads")
    if let embedDim = declared.embedDim, let ratio = try fields.positive("mlp_ratio") {
      declared.mlpDim = TimmArchitectures.mlpDim(
        embedDim: embedDim, ratio: ratio, layer: fields.values?["mlp_layer"]?.string)
    }
    declared.inChannels = try fields.int("in_chans")
    declared.patchSize = try fields.size("patch_size")
    let given = ConfigurationFields(path: path, values: configuration?["model_args"])
    let givenSize = try given.size("img_size")
    declared.requiresImageSize = givenSize != nil
    declared.imageSize = givenSize ?? inputSize
    let classes = 0...1_000_000
    let topClasses = try top.int("num_classes", in: classes)
    declared.numClasses = try given.int("num_classes", in: classes) ?? topClasses
    declared.globalPool = try globalPool(numClasses: declared.numClasses)
    declared.poolsPrefixTokens = try fields.bool("pool_include_prefix") ?? false
    declared.hasFinalNorm = try fields.bool("final_norm") ?? true
    declared.hasClassToken = try fields.bool("class_token")
    declared.qkvBias = try fields.bool("qkv_bias")
    declared.projectionBias = try fields.bool("proj_bias")
    declared.queryKeyNorm = try fields.bool("qk_norm")
    return declared
  }

  /// Layers that only some of timm's classes stand for.
  private func requireReadable(_ fields: ConfigurationFields) throws(ModelError) {
    if let embedding = fields.values?["embed_layer"], embedding["type"]?.string != "resnetv2" {
      throw .configuration(
        path: path, field: "architecture", value: "\"\(entry.name)\"",
        remedy:
          "a hybrid with \(embedding["type"]?.string ?? "another network") in front; only ResNet-V2 is supported"
      )
    }
    try fields.require("mlp_layer", among: [.string("swiglu"), .string("swiglu_packed"), .string("mlp")])
    try fields.require("attn_layer", among: [.string(""), .string("attn"), .string("diff")])
    try fields.require("pos_embed", among: [.string("learn"), .string("none"), .string("")])
    try fields.require("dynamic_img_pad", among: [.bool(false)])
  }

  /// A name, or in the table the name and the epsilon that goes with it.
  private func norm(_ fields: ConfigurationFields) throws(ModelError) -> (NormKind?, Float) {
    guard let layer = fields.values?["norm_layer"] else { return (nil, 1e-6) }
    if layer.object != nil {
      let inner = ConfigurationFields(path: path, values: layer)
      return (try inner.choice("name", Self.norms), try inner.epsilon("eps") ?? 1e-6)
    }
    return (try fields.choice("norm_layer", Self.norms), 1e-6)
  }

  /// `input_size` of the preprocessing: [channels, height, width].
  private var inputSize: ImageSize? {
    let size = configuration?["pretrained_cfg"]?["input_size"] ?? entry.pretrained["input_size"]
    let sides = size?.array?.map { $0.int ?? 0 } ?? []
    guard sides.count == 3, sides.allSatisfy({ (1...65_536).contains($0) }) else { return nil }
    return ImageSize(height: sides[1], width: sides[2])
  }

  private func globalPool(numClasses: Int?) throws(ModelError) -> GlobalPool? {
    let value =
      configuration?["model_args"]?["global_pool"] ?? configuration?["global_pool"]
      ?? entry.arguments["global_pool"]
    // Without a head, timm's models may come without pooling.
    guard let value, value != .string("") || numClasses != 0 else { return nil }
    guard let pool = value.string.flatMap(GlobalPool.init(rawValue:)), pool != .tokenAndAverage else {
      throw .configuration(
        path: path, field: "global_pool", value: value.summary,
        remedy: "expected \"token\", \"avg\", \"max\", \"avgmax\", \"map\" or \"prr\"")
    }
    return pool
  }
}
