import Checkpoints
import Images

/// A model as one of transformers' families has it, under the names that transformers saves.
struct HuggingFaceConversion {
  let source: ConversionSource
  private let family: HuggingFaceFamily
  /// Where the classifier is one, and where it is the projection of a CLIP.
  private let hasHead: Bool
  private let hasProjection: Bool

  private var configuration: ViTConfiguration { source.configuration }

  /// - Throws: `ConversionError` where transformers has no such model.
  init(_ source: ConversionSource) throws {
    self.source = source
    let c = source.configuration
    family = try HuggingFaceFamily(source)
    // timm's CLIP models have the projection as their head, with a bias of 0.
    hasProjection = family == .clip && (c.projectionDim != nil || c.numClasses > 0)
    hasHead = c.numClasses > 0 && !hasProjection
  }

  func plan() throws -> ConversionPlan {
    let architecture = family.architecture(hasHead: hasHead, hasProjection: hasProjection, configuration)
    var notes: [String] = []
    if architecture == "ViTModel" || architecture == "DeiTModel" {
      notes.append(
        "\(architecture) gets a new pooler in transformers unless it is opened with add_pooling_layer=False")
    }
    if hasProjection, configuration.projectionDim == nil {
      notes.append("the head without a bias becomes the projection to transformers' image embedding")
    }
    let preprocessing = source.model.transform.huggingFaceConfiguration(
      processor: family.processor(source.model.transform))
    return ConversionPlan(
      architecture: architecture, tensors: try tensors(),
      files: [
        ("config.json", try configurationFile(architecture)),
        ("preprocessor_config.json", try JSONValue(encoding: preprocessing)),
      ],
      configuration: expected, notes: notes)
  }

  /// What the result reads as.
  private var expected: ViTConfiguration {
    var c = configuration
    c.positions = .learned
    c.numPositionedPrefixTokens = family.positioned
    c.layerScale = family.hasLayerScale
    // A head on one of the two vectors, with zeros for the other, is a head on both.
    if family.hasLayerScale, hasHead { c.globalPool = .tokenAndAverage }
    if hasProjection { (c.projectionDim, c.numClasses) = (c.projectionDim ?? c.numClasses, 0) }
    return c
  }

  // MARK: Tensors

  private func tensors() throws -> [ConvertedTensor] {
    let c = configuration
    let d = c.embedDim
    let folds = family == .clip && source.tensors.contains("patch_embed.proj.bias")
    let tokens = try TokenConversion(
      source.tensors, c, positioned: family.positioned, foldsPatchBias: folds)
    let writer = SavedTensors(family, source, hasHead: hasHead, hasProjection: hasProjection)
    var result: [ConvertedTensor] = []
    func add(_ canonical: String, _ shape: [Int], _ values: [Float]?) throws {
      guard let values else { return }
      try result.append(writer.tensor(canonical, shape: shape, .values(values)))
    }
    // A tower has plain vectors, and a table without a batch axis.
    let isTower = family == .clip || family == .siglip
    try add("cls_token", family == .clip ? [d] : [1, 1, d], tokens.classToken)
    try add("dist_token", [1, 1, d], tokens.distillationToken)
    try add("reg_token", [1, c.numRegisterTokens, d], tokens.registerTokens)
    try add("pos_embed", (isTower ? [] : [1]) + [tokens.positionRows, d], tokens.positions)
    if family.hasLayerScale {
      // Takes part in pre-training alone.
      result.append(
        ConvertedTensor(
          "\(writer.prefix)embeddings.mask_token", shape: [1, d], .values([Float](repeating: 0, count: d))))
    }
    if family.hasLayerScale, !c.layerScale {
      for block in 0..<c.depth {
        for scale in ["ls1", "ls2"] {
          try add("blocks.\(block).\(scale).gamma", [d], [Float](repeating: 1, count: d))
        }
      }
    }
    var names = source.names.filter { !["cls_token", "dist_token", "reg_token", "pos_embed"].contains($0) }
    if folds { names.removeAll { $0 == "patch_embed.proj.bias" } }
    if hasProjection { names.removeAll { $0 == "head.bias" } }
    if family.hasLayerScale, hasHead, c.globalPool != .tokenAndAverage {
      try add("head.weight", [c.numClasses, 2 * d], widenedHead())
      names.removeAll { $0 == "head.weight" }
    }
    for name in names { result = try writer.adding(name, to: result) }
    return result
  }

  /// The head's weight [C, D] as [C, 2D]: class token, then mean of the patches.
  private func widenedHead() throws -> [Float] {
    let (d, classes) = (configuration.embedDim, configuration.numClasses)
    var reader = WeightReader(source.tensors)
    defer { reader.letGo() }
    let weight = try reader.matrices("head.weight", shape: [classes, d], columns: d)[0]
    try reader.weights.checkFinite()
    let zeros = [Float](repeating: 0, count: d)
    return (0..<classes).flatMap { row in
      configuration.globalPool == .token ? Array(weight.row(row)) + zeros : zeros + Array(weight.row(row))
    }
  }

  // MARK: Configuration

  private func configurationFile(_ architecture: String) throws -> JSONValue {
    let c = configuration
    var file: [String: JSONValue] = [
      "architectures": .array([.string(architecture)]), "model_type": .string(family.rawValue),
      "hidden_size": JSONValue(c.embedDim), "num_hidden_layers": JSONValue(c.depth),
      "num_attention_heads": JSONValue(c.numHeads), "num_channels": JSONValue(c.inChannels),
      "image_size": JSONValue(c.imageSize), "patch_size": JSONValue(c.patchSize),
      "layer_norm_eps": JSONValue(c.normEpsilon),
      "hidden_act": .string(HuggingFaceFamily.activation(c.activation)),
      "attention_dropout": .number(0),
    ]
    if !family.isTower {
      file["attention_dropout"] = nil
      file["attention_probs_dropout_prob"] = .number(0)
      file["hidden_dropout_prob"] = .number(0)
      file["qkv_bias"] = .bool(c.qkvBias)
    }
    if family.hasLayerScale {
      file["mlp_ratio"] = JSONValue(try HuggingFaceFamily.mlpRatio(source))
      file["use_swiglu_ffn"] = .bool(c.gatedMLP)
      if c.gatedMLP { file["hidden_act"] = .string("gelu") }
      if family == .dinov2WithRegisters { file["num_register_tokens"] = JSONValue(c.numRegisterTokens) }
    } else {
      file["intermediate_size"] = JSONValue(c.mlpDim)
    }
    if hasProjection { file["projection_dim"] = JSONValue(c.projectionDim ?? c.numClasses) }
    if hasHead {
      let labels =
        try Labels.declared(
          source.checkpoint.configuration, path: source.checkpoint.configurationPath, numClasses: c.numClasses
        )
        ?? (0..<c.numClasses).map { "LABEL_\($0)" }
      let pairs = labels.enumerated().map { ("\($0)", JSONValue.string($1)) }
      file["id2label"] = .object(Dictionary(uniqueKeysWithValues: pairs))
      // Two classes of one name: the first.
      file["label2id"] = .object(
        Dictionary(labels.enumerated().map { ($1, JSONValue($0)) }, uniquingKeysWith: { first, _ in first }))
    }
    return .object(file)
  }
}

/// Finds the saved names of a family's tensors.
private struct SavedTensors {
  private let family: HuggingFaceFamily
  private let source: ConversionSource
  private let scheme: NamingScheme?
  private let hasProjection: Bool
  /// What stands before the names of the backbone.
  let prefix: String

  init(_ family: HuggingFaceFamily, _ source: ConversionSource, hasHead: Bool, hasProjection: Bool) {
    self.family = family
    self.source = source
    self.hasProjection = hasProjection
    scheme = NamingScheme.all.first { $0.library == family.library }
    prefix = hasHead || hasProjection ? family.prefix : ""
  }

  private func savedNames(_ canonical: String) throws(ConversionError) -> [SavedName] {
    let isHead = canonical.hasPrefix("head.")
    let name = hasProjection && isHead ? "visual_projection.weight" : canonical
    // The other names of a rule: of a gated MLP, and of the head beside a distilled one.
    let isOther =
      source.configuration.gatedMLP && canonical.contains(".mlp.fc")
      || isHead && source.configuration.hasDistillationHead
    guard let names = scheme?.savedNames(of: name, prefix: prefix, alternative: isOther ? 1 : 0) else {
      throw source.refusal(
        HuggingFaceFamily.owner, "\"\(canonical)\" in a model of type \(family.rawValue)", "use --naming timm"
      )
    }
    return names
  }

  func tensor(_ canonical: String, shape: [Int], _ piece: ConvertedTensor.Piece) throws(ConversionError)
    -> ConvertedTensor
  {
    ConvertedTensor(try savedNames(canonical)[0].name, shape: shape, piece)
  }

  /// Adds one of timm's tensors as the family keeps it: whole, cut into several, or as a part of one that is there.
  func adding(_ canonical: String, to tensors: [ConvertedTensor]) throws(ConversionError) -> [ConvertedTensor]
  {
    var tensors = tensors
    for saved in try savedNames(canonical) {
      var shape = source.shape(canonical)
      if canonical == "attn_pool.latent" { shape = [1, 1, source.configuration.embedDim] }
      if let share = saved.share { shape[0] = shape[0] / share.total * share.count }
      let piece = ConvertedTensor.Piece.source(canonical, share: saved.share)
      if let index = tensors.firstIndex(where: { $0.name == saved.name }) {
        let other = tensors[index]
        shape[0] += other.shape[0]
        var joined = ConvertedTensor(saved.name, shape: shape, piece)
        joined.pieces = saved.place == 0 ? [piece] + other.pieces : other.pieces + [piece]
        tensors[index] = joined
      } else {
        tensors.append(ConvertedTensor(saved.name, shape: shape, piece))
      }
    }
    return tensors
  }
}
