import Checkpoints
import Images
import SystemPackage

/// transformers' `config.json`: `model_type` and its fields, with the defaults of the configuration classes.
struct HuggingFaceDeclaration {
  let path: FilePath
  let configuration: JSONValue

  /// The defaults of one of transformers' configuration classes.
  private struct Family {
    var hiddenSize = 768
    var depth = 12
    var numHeads = 12
    /// nil where the width of the MLP follows from `mlp_ratio`.
    var mlpDim: Int? = 3072
    var patchSize = 16
    var epsilon: Float
    var activation = ActivationKind.gelu
    var resampling = PositionResampling.bicubic
    var isTower = false
  }

  private static let families: [String: Family] = [
    "vit": Family(epsilon: 1e-12),
    "deit": Family(epsilon: 1e-12),
    "ijepa": Family(epsilon: 1e-12),
    "vit_mae": Family(epsilon: 1e-12),
    "vit_msn": Family(epsilon: 1e-6),
    "dinov2": Family(mlpDim: nil, patchSize: 14, epsilon: 1e-6),
    "dinov2_with_registers": Family(
      mlpDim: nil, patchSize: 16, epsilon: 1e-6, resampling: .bicubicAntialiased),
    "clip_vision_model": Family(patchSize: 32, epsilon: 1e-5, activation: .quickGELU, isTower: true),
    "siglip_vision_model": Family(epsilon: 1e-6, activation: .geluTanh, isTower: true),
  ]

  private static let activations: [String: ActivationKind] = [
    "gelu": .gelu, "gelu_python": .gelu, "gelu_new": .geluTanh, "gelu_fast": .geluTanh,
    "gelu_pytorch_tanh": .geluTanh,
    "gelu_python_tanh": .geluTanh, "quick_gelu": .quickGELU, "relu": .relu, "silu": .silu, "swish": .silu,
  ]

  /// The family, and whether it is that of a part of the model: a whole CLIP or SigLIP declares its image tower in a part of its own.
  private func family() throws(ModelError) -> (Family, isPart: Bool) {
    guard let given = configuration["model_type"]?.string else {
      throw .configuration(
        path: path, field: "architecture", value: "missing",
        remedy: "expected timm's \"architecture\" or transformers' \"model_type\" (or give --architecture)")
    }
    let isWhole = ["clip", "siglip"].contains(given)
    let type = isWhole ? "\(given)_vision_model" : given
    guard let family = Self.families[type] else {
      throw .configuration(
        path: path, field: "model_type", value: "\"\(given)\"",
        remedy:
          "supported are \((Array(Self.families.keys) + ["clip", "siglip"]).sorted().joined(separator: ", "))"
      )
    }
    return (family, isWhole)
  }

  /// Refuses a family that is not supported.
  func checkFamily() throws(ModelError) { _ = try family() }

  func read() throws(ModelError) -> Declared {
    let (family, isWhole) = try family()
    let fields = ConfigurationFields(
      path: path, values: isWhole ? configuration["vision_config"] ?? .object([:]) : configuration)
    let embedDim = try fields.int("hidden_size") ?? family.hiddenSize
    var declared = Declared(
      normEpsilon: try fields.epsilon("layer_norm_eps") ?? family.epsilon,
      positionResampling: family.resampling)
    declared.embedDim = embedDim
    declared.depth = try fields.int("num_hidden_layers") ?? family.depth
    declared.numHeads = try fields.int("num_attention_heads") ?? family.numHeads
    declared.mlpDim = try mlpDim(fields, family, embedDim: embedDim)
    declared.inChannels = try fields.int("num_channels") ?? 3
    declared.patchSize = try fields.size("patch_size") ?? ImageSize(family.patchSize)
    declared.imageSize = try fields.size("image_size") ?? ImageSize(224)
    declared.requiresImageSize = true
    declared.norm = .layerNorm
    declared.block = .preNorm
    // The gated MLP of DINOv2 has an activation of its own, silu.
    let isGated = try fields.bool("use_swiglu_ffn") ?? false
    declared.activation =
      isGated ? .silu : try fields.choice("hidden_act", Self.activations) ?? family.activation
    // A tower keeps its biases whatever its configuration says.
    declared.qkvBias = family.isTower ? true : try fields.bool("qkv_bias") ?? true
    declared.projectionBias = true
    return declared
  }

  private func mlpDim(
    _ fields: ConfigurationFields, _ family: Family, embedDim: Int
  ) throws(ModelError) -> Int {
    if let mlpDim = family.mlpDim { return try fields.int("intermediate_size") ?? mlpDim }
    let hidden = Int(Double(embedDim) * min(try fields.positive("mlp_ratio") ?? 4, 1000))
    return try fields.bool("use_swiglu_ffn") ?? false ? Self.gatedDim(hidden) : hidden
  }

  /// The width of `Dinov2SwiGLUFFN` in place of an MLP's: two thirds, rounded up to a multiple of 8.
  static func gatedDim(_ hidden: Int) -> Int { (hidden * 2 / 3 + 7) / 8 * 8 }
}
