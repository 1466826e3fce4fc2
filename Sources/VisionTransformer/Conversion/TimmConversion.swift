import Checkpoints
import Images

/// A model as timm's `VisionTransformer` or `VisionTransformerDistilled` has it (`timm/models/vision_transformer.py`, `deit.py`).
struct TimmConversion {
  private static let library = "timm"
  let source: ConversionSource
  private let choice: TimmArchitectureChoice

  private var configuration: ViTConfiguration { source.configuration }

  /// - Throws: `ConversionError` where timm has no such model.
  init(_ source: ConversionSource) throws {
    self.source = source
    try Self.checkExpressible(source)
    choice = try TimmArchitectureChoice(source)
  }

  private static func checkExpressible(_ source: ConversionSource) throws(ConversionError) {
    let c = source.configuration
    func refuse(_ feature: String, _ remedy: String? = nil) throws(ConversionError) {
      throw source.refusal(library, feature, remedy)
    }
    if c.globalPool == .tokenAndAverage {
      try refuse(
        "a head on the class token beside the mean of the patches (DINOv2's)", "use --naming huggingface")
    }
    if c.representationDim != nil {
      try refuse(
        "a representation layer between the network and its head (pre_logits); it was removed from timm")
    }
    if c.hasDistillationToken, c.numClasses > 0, !c.hasDistillationHead {
      try refuse("a distillation token without a head of its own", "use --naming huggingface")
    }
    if c.hasDistillationToken, c.numRegisterTokens > 0 || !c.hasPositions || c.globalPool != .token {
      try refuse("a distillation token with registers, without positions or with a pool other than \"token\"")
    }
    if c.hasNorm, c.hasFeatureNorm { try refuse("a norm before the pool and another behind it") }
    if let branches = c.numBranches, branches != 2 { try refuse("blocks of \(branches) branches; it has 2") }
    if c.hasPreNorm, source.tensors.contains("patch_embed.proj.bias"), !c.hasPositions || c.hasPatchNorm {
      try refuse("a bias of the patch projection in front of a norm, without positions that could take it up")
    }
    if ["blocks.0.lambda_a", "blocks.0.attn.lambda_a"].contains(where: source.tensors.containsLike) {
      try refuse("differential attention with two numbers for lambda by its configuration")
    }
    let hasOneOutput = source.tensors.containsLike("blocks.0.out_proj.weight")
    if c.block == .parallel, hasOneOutput != c.differentialAttention {
      try refuse(
        "a parallel block of which attention and MLP share their output projection by its configuration")
    }
    let layers = source.branchLayers
    let biased = layers.filter { source.tensors.contains("\($0).bias") }
    if !biased.isEmpty, biased.count != layers.count {
      try refuse(
        "biases in some projections of its blocks and not in others, such as \(layers.first { !biased.contains($0) } ?? "")"
      )
    }
    if c.globalPool == .attention {
      let latents = source.shape("attn_pool.latent").dropLast().last ?? 1
      if latents != 1 { try refuse("attention pooling with \(latents) queries; it has 1") }
      let width = source.shape("attn_pool.mlp.fc1.weight").first
      let ratio = TimmArchitectureChoice.ratio(of: source)
      if width != Int(Double(c.embedDim) * ratio) {
        try refuse("attention pooling whose MLP is \(width ?? 0) wide where the blocks' is \(c.mlpDim)")
      }
    }
    if let stem = c.stem {
      let name = "patch_embed.backbone"
      var widths = [source.shape("\(name).stem.conv.weight").first]
      widths += stem.depths.indices.map { source.shape("\(name).stages.\($0).blocks.0.conv3.weight").first }
      let expected = [64] + stem.depths.indices.map { 256 << $0 }
      if widths != expected {
        let found = widths.map { "\($0 ?? 0)" }.joined(separator: ", ")
        try refuse("a ResNet of \(found) channels by its configuration; its own have \(expected)")
      }
    }
  }

  func plan() throws -> ConversionPlan {
    var notes: [String] = []
    if configuration.projectionDim != nil {
      notes.append("the image embedding becomes the output of timm's head, which the library calls logits")
    }
    if !choice.hasEpsilon {
      notes.append(
        "timm cannot state a norm epsilon of \(configuration.normEpsilon); its models use \(choice.epsilon)")
    }
    return ConversionPlan(
      architecture: choice.entry.name, tensors: try tensors(),
      files: [("config.json", try configurationFile())], configuration: choice.expected, notes: notes)
  }

  // MARK: Tensors

  private func tensors() throws(CheckpointError) -> [ConvertedTensor] {
    let c = configuration
    let folds = c.hasPreNorm && source.tensors.contains("patch_embed.proj.bias")
    let tokens = try TokenConversion(
      source.tensors, c, positioned: c.hasPositions ? choice.expected.numPositionedPrefixTokens : nil,
      foldsPatchBias: folds)
    let d = c.embedDim
    var result: [ConvertedTensor] = []
    func add(_ name: String, _ shape: [Int], _ values: [Float]?) {
      if let values { result.append(ConvertedTensor(name, shape: shape, .values(values))) }
    }
    add("cls_token", [1, 1, d], tokens.classToken)
    add("dist_token", [1, 1, d], tokens.distillationToken)
    add("reg_token", [1, c.numRegisterTokens, d], tokens.registerTokens)
    add("pos_embed", [1, tokens.positionRows, d], tokens.positions)
    if !c.hasPreNorm, !source.tensors.contains("patch_embed.proj.bias") {
      add("patch_embed.proj.bias", [d], [Float](repeating: 0, count: d))
    }
    for name in source.names {
      switch name {
      case "cls_token", "dist_token", "reg_token", "pos_embed": continue
      case "patch_embed.proj.bias" where folds: continue
      case "visual_projection.weight":
        let shape = source.shape(name)
        result.append(ConvertedTensor("head.weight", shape: shape, .source(name, share: nil)))
        add("head.bias", [shape[0]], [Float](repeating: 0, count: shape[0]))
      case "attn_pool.latent":
        result.append(ConvertedTensor(name, shape: [1, 1, d], .source(name, share: nil)))
      default:
        result += renamed(name)
      }
    }
    return result
  }

  private func renamed(_ name: String) -> [ConvertedTensor] {
    var shape = source.shape(name)
    let backbone = "patch_embed.backbone."
    if configuration.stem?.depths.isEmpty == true, name.hasPrefix("\(backbone)stem.") {
      // The stem alone is the backbone.
      let target = backbone + name.dropFirst("\(backbone)stem.".count)
      return [ConvertedTensor(target, shape: shape, .source(name, share: nil))]
    }
    if choice.entry.arguments["mlp_layer"]?.string == "swiglu", name.contains(".mlp.fc1.") {
      shape[0] /= 2
      return ["fc1_g", "fc1_x"].enumerated().map { index, layer in
        ConvertedTensor(
          name.split(separator: ".").map { $0 == "fc1" ? layer : String($0) }.joined(separator: "."),
          shape: shape,
          .source(name, share: .init(first: index, count: 1, of: 2)))
      }
    }
    return [ConvertedTensor(name, shape: shape, .source(name, share: nil))]
  }

  // MARK: Configuration

  private func configurationFile() throws -> JSONValue {
    let c = choice.expected
    let transform = source.model.transform
    let timm = transform.timmConfiguration
    let stem = c.stem.map {
      $0.depths.isEmpty ? "patch_embed.backbone.conv" : "patch_embed.backbone.stem.conv"
    }
    let inputSize = [c.inChannels, transform.size.height, transform.size.width]
    var pretrained: [String: JSONValue] = [
      "custom_load": .bool(false), "input_size": .array(inputSize.map { JSONValue($0) }),
      "fixed_input_size": .bool(!choice.isDynamic),
      "interpolation": .string(transform.interpolation.rawValue),
      "crop_pct": .number(timm.cropFraction ?? 1), "crop_mode": .string(timm.cropMode ?? "center"),
      "mean": JSONValue(timm.mean ?? []), "std": JSONValue(timm.std ?? []),
      "num_classes": JSONValue(c.numClasses), "pool_size": .null,
      "first_conv": .string(stem ?? "patch_embed.proj"),
      "classifier": c.hasDistillationToken
        ? .array([.string("head"), .string("head_dist")]) : .string("head"),
    ]
    // What else a model of timm says of its weights stays true of them.
    for field in ["tag", "license", "origin_url", "paper_ids"] where choice.isNamed {
      pretrained[field] = source.checkpoint.configuration?["pretrained_cfg"]?[field]
    }
    var file: [String: JSONValue] = [
      "architecture": .string(choice.entry.name), "num_classes": JSONValue(c.numClasses),
      "num_features": JSONValue(c.embedDim), "global_pool": .string(c.globalPool.rawValue),
      "model_args": .object(choice.arguments), "pretrained_cfg": .object(pretrained),
    ]
    let given = source.checkpoint.configuration
    if let names = given?["label_names"], source.model.labels != nil {
      file["label_names"] = names
      file["label_descriptions"] = given?["label_descriptions"]
    } else if let labels = try Labels.declared(
      given, path: source.checkpoint.configurationPath, numClasses: c.numClasses)
    {
      file["label_names"] = .array(labels.map(JSONValue.string))
    }
    return .object(file)
  }
}
