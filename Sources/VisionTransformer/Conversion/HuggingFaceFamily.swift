import Checkpoints
import Images

/// transformers' families of Vision Transformers, by `model_type`.
enum HuggingFaceFamily: String {
  case vit
  case deit
  case ijepa
  case dinov2
  case dinov2WithRegisters = "dinov2_with_registers"
  case clip = "clip_vision_model"
  case siglip = "siglip_vision_model"

  static let owner = "transformers"

  /// The family whose models compute what this one does.
  /// - Throws: `ConversionError` where there is none, with the feature that none has.
  init(_ source: ConversionSource) throws {
    let c = source.configuration
    func refuse(_ feature: String) throws(ConversionError) {
      throw source.refusal(Self.owner, feature, "use --naming timm")
    }
    try Self.checkCommon(source, refuse)
    if c.globalPool == .attention {
      self = .siglip
    } else if c.hasPreNorm {
      self = .clip
    } else if c.hasDistillationToken {
      self = .deit
    } else if !c.hasClassToken {
      self = .ijepa
    } else if c.numRegisterTokens > 0 {
      self = .dinov2WithRegisters
    } else if c.layerScale || c.gatedMLP || c.globalPool != .token {
      self = .dinov2
    } else {
      self = .vit
    }
    try check(source, refuse)
  }

  /// What no family has.
  private static func checkCommon(_ source: ConversionSource, _ refuse: (String) throws -> Void) throws {
    let c = source.configuration
    if c.stem != nil { try refuse("a ResNet in front of the patch embedding") }
    if c.norm != .layerNorm { try refuse("RMS norms") }
    if c.block != .preNorm || c.numBranches != nil {
      try refuse("blocks of the kind \(c.numBranches == nil ? c.block.rawValue : "parallel branches")")
    }
    if c.differentialAttention { try refuse("differential attention") }
    if c.queryKeyNorm { try refuse("norms of queries and keys") }
    if c.hasPatchNorm { try refuse("a norm in the patch embedding") }
    if c.representationDim != nil {
      try refuse("a representation layer between the network and its head (pre_logits)")
    }
    if c.hasFeatureNorm { try refuse("a norm behind the pool (fc_norm)") }
    if !c.hasNorm { try refuse("a network without a norm after its last block") }
    if c.poolsPrefixTokens { try refuse("a pool that takes in class and register tokens") }
    if source.names.contains(where: { $0.hasSuffix(".attn.norm.weight") || $0.hasSuffix(".mlp.norm.weight") })
    {
      try refuse("norms within attention or MLP")
    }
    if let layer = source.branchLayers.first(where: { !source.tensors.contains("\($0).bias") }) {
      try refuse("a layer without a bias (\(source.tensors.foreignName(of: "\(layer).weight")))")
    }
  }

  /// What this family has not.
  private func check(_ source: ConversionSource, _ refuse: (String) throws -> Void) throws {
    let c = source.configuration
    let hasPatchBias = source.tensors.contains("patch_embed.proj.bias")
    func forbid(_ condition: Bool, _ feature: String) throws {
      if condition { try refuse("\(feature) in a model of type \(rawValue)") }
    }
    try forbid(c.layerScale && !hasLayerScale, "layer scale")
    try forbid(c.gatedMLP && !hasLayerScale, "a gated MLP")
    try forbid(c.gatedMLP && c.activation != .silu, "a gate other than silu")
    try forbid(c.hasPreNorm && self != .clip, "a norm before the first block")
    try forbid(!hasPatchBias && self != .clip, "a patch projection without a bias")
    try forbid(c.numRegisterTokens > 0 && self != .dinov2WithRegisters, "registers")
    try forbid(c.projectionDim != nil && self != .clip, "a projection to an image embedding")
    if hasLayerScale { _ = try Self.mlpRatio(source) }
    let pools: [GlobalPool] =
      switch self {
      case .vit, .deit, .clip: [.token]
      case .ijepa: [.average]
      case .siglip: [.attention]
      case .dinov2, .dinov2WithRegisters: c.numClasses > 0 ? [.token, .average, .tokenAndAverage] : [.token]
      }
    try forbid(!pools.contains(c.globalPool), "a pool \"\(c.globalPool.rawValue)\"")
    if isTower {
      try forbid(!c.qkvBias, "queries, keys and values without a bias")
      try forbid(
        c.patchSize.height != c.patchSize.width || c.gridSize.height != c.gridSize.width,
        "an input or patches that are not square")
      try forbid(self == .siglip && c.hasClassToken, "a class token")
      try forbid(c.hasDistillationToken, "a distillation token")
      try forbid(self == .clip && !c.hasClassToken, "no class token")
    }
    if self == .clip, c.numClasses > 0, try !source.hasZeroBias("head") {
      try refuse("a classifier with a bias in a model of type \(rawValue)")
    }
    if self == .siglip {
      try forbid(c.numClasses > 0, "a classifier behind attention pooling")
      try forbid(
        (source.shape("attn_pool.latent").dropLast().last ?? 1) != 1, "attention pooling with several queries"
      )
      let width = source.shape("attn_pool.mlp.fc1.weight").first ?? 0
      try forbid(
        width != c.mlpDim, "attention pooling whose MLP is \(width) wide where the blocks' is \(c.mlpDim)")
    }
  }

  /// The image towers of two-tower models.
  var isTower: Bool { self == .clip || self == .siglip }

  var hasLayerScale: Bool { self == .dinov2 || self == .dinov2WithRegisters }

  /// How many of the prefix tokens have a position.
  var positioned: Int {
    switch self {
    case .vit, .dinov2, .dinov2WithRegisters, .clip: 1
    case .deit: 2
    case .ijepa, .siglip: 0
    }
  }

  /// The scheme of the names.
  var library: NamingScheme.Library {
    switch self {
    case .vit, .deit, .ijepa: .huggingFaceViT
    case .dinov2, .dinov2WithRegisters: .huggingFaceDINOv2
    case .clip: .huggingFaceCLIP
    case .siglip: .huggingFaceSigLIP
    }
  }

  /// What stands before the names of the backbone where there is something beside it.
  var prefix: String { isTower ? "vision_model." : "\(rawValue)." }

  /// transformers' class.
  func architecture(hasHead: Bool, hasProjection: Bool, _ c: ViTConfiguration) -> String {
    let head = hasHead ? "ForImageClassification" : "Model"
    switch self {
    case .vit: return "ViT\(head)"
    case .deit: return "DeiT\(head)\(c.hasDistillationHead ? "WithTeacher" : "")"
    case .ijepa: return "IJepa\(head)"
    case .dinov2: return "Dinov2\(head)"
    case .dinov2WithRegisters: return "Dinov2WithRegisters\(head)"
    case .clip: return "CLIPVisionModel\(hasProjection ? "WithProjection" : "")"
    case .siglip: return "SiglipVisionModel"
    }
  }

  /// The class of image processors, where the family's own has these steps.
  func processor(_ transform: EvaluationTransform) -> String? {
    switch (self, transform.resizing) {
    case (.siglip, .exactly(transform.size)): "SiglipImageProcessor"
    case (.clip, .shortestEdge): "CLIPImageProcessor"
    default: nil
    }
  }

  static func activation(_ kind: ActivationKind) -> String {
    switch kind {
    case .gelu: "gelu"
    case .geluTanh: "gelu_pytorch_tanh"
    case .quickGELU: "quick_gelu"
    case .silu: "silu"
    case .relu: "relu"
    }
  }

  /// DINOv2's `mlp_ratio`, a whole number: of the width itself or, in `Dinov2SwiGLUFFN`, of one that `gatedDim` takes.
  /// - Throws: `ConversionError` where no ratio leads to the width.
  static func mlpRatio(_ source: ConversionSource) throws(ConversionError) -> Int {
    let (d, m, isGated) = (
      source.configuration.embedDim, source.configuration.mlpDim, source.configuration.gatedMLP
    )
    for ratio in 1...64
    where (isGated ? HuggingFaceDeclaration.gatedDim(d * ratio) : d * ratio) == m {
      return ratio
    }
    throw source.refusal(
      owner,
      "a\(isGated ? " gated" : "n") MLP \(m) wide in a DINOv2 of width \(d) (it has a whole mlp_ratio)",
      "use --naming timm")
  }
}
