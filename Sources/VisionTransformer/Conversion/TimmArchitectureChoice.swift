import Checkpoints
import Images

/// The architecture of timm that a model is written as, and the arguments in which it differs.
///
/// Arguments that are Python classes cannot stand in a `config.json` (kind of block, of MLP, of patch embedding, an epsilon): they
/// come from the architecture's name alone. All others are given beside the name.
struct TimmArchitectureChoice {
  let entry: TimmArchitectures.Entry
  /// `model_args`: what differs from the architecture, and what timm always records.
  let arguments: [String: JSONValue]
  /// What the result reads as.
  let expected: ViTConfiguration
  /// Whether the model takes images of other sizes than its positions are for.
  let isDynamic: Bool
  /// Whether it is the one that the source goes by.
  let isNamed: Bool
  /// The epsilon of the norms in timm, and whether it is the source's.
  let epsilon: Float
  let hasEpsilon: Bool

  /// A larger epsilon than any of timm's shows in the results.
  private static let largestNegligible: Float = 1e-5

  /// - Throws: `ConversionError` where no architecture has these blocks.
  init(_ source: ConversionSource) throws {
    let c = source.configuration
    let fitting = TimmArchitectures.entries.filter { Self.isPossible($0, source) }
    guard !fitting.isEmpty else {
      throw source.refusal("timm", "\(Self.kind(c)) in any of its architectures")
    }
    let named = source.architecture.flatMap(TimmArchitectures.table.find)?.name
    let isDynamic = source.model.transform.size != c.imageSize
    // The epsilon first, then the name that the source goes by, then the fewest changes, then the preprocessing.
    func cost(_ entry: TimmArchitectures.Entry) -> (Double, Int, Int, Int, String) {
      let (_, epsilon) = Self.norm(entry, c)
      let error = abs(Double(epsilon) - Double(c.normEpsilon))
      // timm's loader resamples the positions of some by another rule, and others are made for its tests.
      let isSpecial = ["flexi", "radio", "test_"].contains { entry.name.contains($0) }
      let changes = Self.changes(entry, source, isDynamic: isDynamic).count + (isSpecial ? 100 : 0)
      let others = Self.otherPreprocessing(entry, source.model.transform)
      return (error, entry.name == named ? 0 : 1, changes, others, entry.name)
    }
    let priced = fitting.map { ($0, cost($0)) }
    guard let entry = priced.min(by: { $0.1 < $1.1 })?.0 else {
      throw source.refusal("timm", "\(Self.kind(c)) in any of its architectures")
    }
    self.entry = entry
    isNamed = entry.name == named
    (_, epsilon) = Self.norm(entry, c)
    hasEpsilon = epsilon == c.normEpsilon
    guard hasEpsilon || c.normEpsilon <= Self.largestNegligible else {
      throw source.refusal(
        "timm", "norms with an epsilon of \(c.normEpsilon) in its configuration", "use --naming huggingface")
    }
    let size = [c.imageSize.height, c.imageSize.width].map { JSONValue($0) }
    arguments = Self.changes(entry, source, isDynamic: isDynamic).merging([
      "img_size": .array(size), "in_chans": JSONValue(c.inChannels),
      "num_classes": JSONValue(c.projectionDim ?? c.numClasses),
      "global_pool": .string(c.globalPool.rawValue),
    ]) { $1 }
    self.isDynamic = arguments["dynamic_img_size"]?.bool ?? entry.arguments["dynamic_img_size"]?.bool ?? false

    var expected = c
    expected.normEpsilon = epsilon
    expected.positionResampling = .bicubicAntialiased
    expected.numPositionedPrefixTokens = Self.positioned(c)
    if c.hasPositions { expected.positions = .learned }
    if let width = c.projectionDim { (expected.numClasses, expected.projectionDim) = (width, nil) }
    self.expected = expected
  }

  /// In how many ways the architecture's own preprocessing is another one.
  private static func otherPreprocessing(_ entry: TimmArchitectures.Entry, _ transform: EvaluationTransform)
    -> Int
  {
    let (own, wanted) = (entry.pretrained, transform.timmConfiguration)
    func numbers(_ field: String) -> [Double]? { own[field]?.array?.compactMap(\.double) }
    let differs = [
      numbers("input_size") != wanted.inputSize?.map(Double.init), numbers("mean") != wanted.mean,
      numbers("std") != wanted.std, own["crop_pct"]?.double != wanted.cropFraction,
      own["interpolation"]?.string != wanted.interpolation,
    ]
    // The size is in most architectures' names.
    return (differs[0] ? differs.count : 0) + differs.filter { $0 }.count
  }

  /// Whether the architecture has the parts that only a name can stand for.
  private static func isPossible(_ entry: TimmArchitectures.Entry, _ source: ConversionSource) -> Bool {
    let c = source.configuration
    let arguments = entry.arguments
    let block: String? =
      switch c.block {
      case .preNorm: c.numBranches == nil ? nil : "parallel_things"
      case .postNorm: "res_post"
      case .parallel: c.differentialAttention ? "diff_parallel_scaling" : "parallel_scaling"
      }
    let isDifferential = arguments["attn_layer"]?.string == "diff"
    return arguments["block_fn"]?.string == block && (arguments["mlp_layer"] != nil) == c.gatedMLP
      && entry.isDistilled == c.hasDistillationToken
      && arguments["embed_layer"]?["type"]?.string == (c.stem == nil ? nil : "resnetv2")
      && arguments["embed_layer"]?["layers"]?.array?.compactMap(\.int) == c.stem?.depths
      && (!isDifferential || c.differentialAttention)
  }

  /// The argument for the norms, nil where the architecture's are the model's, and their epsilon. A norm by name has timm's own, 1e-6.
  private static func norm(_ entry: TimmArchitectures.Entry, _ c: ViTConfiguration) -> (
    argument: JSONValue?, epsilon: Float
  ) {
    let layer = entry.arguments["norm_layer"]
    let own = Float(layer?["eps"]?.double ?? 1e-6)
    let byName: Float = 1e-6
    let isSame = layer?["name"]?.string == c.norm.rawValue
    guard isSame, abs(own - c.normEpsilon) <= abs(byName - c.normEpsilon) else {
      return (.string(c.norm.rawValue), byName)
    }
    return (nil, own)
  }

  /// mlp_ratio such that timm's int(D * ratio) is the width of the hidden layer, both halves of a packed one.
  static func ratio(of source: ConversionSource, packed: Bool = false) -> Double {
    let c = source.configuration
    let (width, dim) = (Double(packed ? 2 * c.mlpDim : c.mlpDim), Double(c.embedDim))
    let ratio = width / dim
    return (dim * ratio).rounded(.down) < width ? ratio.nextUp : ratio
  }

  /// How many prefix tokens have a position: all, where they have one in the source, else none (`no_embed_class`).
  private static func positioned(_ c: ViTConfiguration) -> Int {
    guard c.hasPositions else { return 0 }
    return c.hasDistillationToken || c.numPositionedPrefixTokens == c.numPrefixTokens ? c.numPrefixTokens : 0
  }

  /// The arguments in which the model differs from the architecture.
  private static func changes(
    _ entry: TimmArchitectures.Entry, _ source: ConversionSource, isDynamic: Bool
  ) -> [String: JSONValue] {
    let c = source.configuration
    let own = entry.arguments
    let layer = own["mlp_layer"]?.string
    let ratio = Self.ratio(of: source, packed: layer == "swiglu_packed")
    let isSameWidth = own["mlp_ratio"]?.double.map {
      Int(Double(c.embedDim) * $0) == Int(Double(c.embedDim) * ratio)
    }
    let scale = c.stem?.stride ?? 1
    let patch = ImageSize(height: c.patchSize.height / scale, width: c.patchSize.width / scale)
    let pool = c.globalPool
    let poolsPatches = [.average, .maximum, .averageMaximum].contains(pool)
    let ownsFeatureNorm = own["fc_norm"]?.bool ?? poolsPatches
    let hasFinalNorm = c.hasNorm || c.hasFeatureNorm
    var result: [String: JSONValue] = [:]
    func set(_ name: String, _ value: JSONValue) {
      if (own[name] ?? .null) != value { result[name] = value }
    }
    set("patch_size", JSONValue(patch))
    set("embed_dim", JSONValue(c.embedDim))
    set("depth", JSONValue(c.depth))
    set("num_heads", JSONValue(c.numHeads))
    if isSameWidth != true { set("mlp_ratio", .number(ratio)) }
    set("qkv_bias", .bool(c.qkvBias))
    set("qk_norm", .bool(c.queryKeyNorm))
    let layers = source.branchLayers
    set("proj_bias", .bool(layers.contains { source.tensors.contains("\($0).bias") }))
    set("class_token", .bool(c.hasClassToken))
    set("reg_tokens", JSONValue(c.numRegisterTokens))
    if c.numPrefixTokens > 0, c.hasPositions { set("no_embed_class", .bool(positioned(c) == 0)) }
    set("pos_embed", .string(c.hasPositions ? "learn" : "none"))
    set("pre_norm", .bool(c.hasPreNorm))
    set("final_norm", .bool(hasFinalNorm))
    if hasFinalNorm, ownsFeatureNorm != c.hasFeatureNorm { set("fc_norm", .bool(c.hasFeatureNorm)) }
    set("global_pool", .string(pool.rawValue))
    set("pool_include_prefix", .bool(c.poolsPrefixTokens))
    set("act_layer", .string(c.activation.rawValue))
    if let argument = norm(entry, c).argument { result["norm_layer"] = argument }
    if c.hasPatchNorm != (own["embed_norm_layer"] != nil) {
      result["embed_norm_layer"] = c.hasPatchNorm ? .string(c.norm.rawValue) : .null
    }
    // Scales of post-norm blocks are in their norms.
    if c.block != .postNorm, c.layerScale != ((own["init_values"]?.double ?? 0) != 0) {
      result["init_values"] = c.layerScale ? .number(1e-5) : .null
    }
    let attention = c.numBranches == nil ? "blocks.0" : "blocks.0.attns.0"
    let mlp = c.numBranches == nil ? "blocks.0" : "blocks.0.ffns.0"
    set("scale_attn_norm", .bool(source.tensors.containsLike("\(attention).attn.norm.weight")))
    set("scale_mlp_norm", .bool(source.tensors.containsLike("\(mlp).mlp.norm.weight")))
    if c.differentialAttention, c.block != .parallel { set("attn_layer", .string("diff")) }
    if isDynamic { set("dynamic_img_size", .bool(true)) }
    return result
  }

  /// The kind of network in a few words, for a refusal.
  private static func kind(_ c: ViTConfiguration) -> String {
    var parts: [String] = []
    if c.hasDistillationToken { parts.append("a distillation token") }
    if let stem = c.stem { parts.append("a ResNet of \(stem.depths) units") }
    if c.block != .preNorm { parts.append("\(c.block.rawValue) blocks") }
    if c.numBranches != nil { parts.append("blocks of several branches") }
    if c.gatedMLP { parts.append("a gated MLP") }
    return parts.isEmpty ? "this network" : parts.joined(separator: " with ")
  }
}
