import Checkpoints
import Images
import SystemPackage

/// A model of timm before it has weights: an architecture's name and the arguments of its constructor, as timm's `config.json` has
/// them, and what they make.
package struct TimmModel: Sendable {
  package let architecture: String
  /// `model_args`: what is given beside the name.
  package let arguments: [String: JSONValue]
  package let configuration: ViTConfiguration
  /// Of the patch projection.
  package let hasPatchBias: Bool
  /// Of the layers behind attention and in the MLP.
  package let hasProjectionBias: Bool
  /// `scale_attn_norm` and `scale_mlp_norm`.
  package let hasAttentionNorm: Bool
  package let hasMLPNorm: Bool
  /// Layer scales at the start; nil where there are none.
  package let layerScale: Float?
  /// Whether timm keeps the halves of a gated MLP apart, as `fc1_g` and `fc1_x`.
  package let splitsGate: Bool

  /// - Parameter path: where name and arguments stand; for messages.
  /// - Throws: `ModelError` with the argument.
  package init(architecture: String, arguments: [String: JSONValue], path: FilePath) throws(ModelError) {
    let entry = try TimmArchitectures.table.entry(architecture)
    let declared = try TimmDeclaration(
      path: path,
      configuration: .object([
        "architecture": .string(architecture), "model_args": .object(arguments),
      ]), entry: entry
    ).read()
    let merged = (entry.arguments.object ?? [:]).merging(arguments) { $1 }
    let fields = ConfigurationFields(path: path, values: .object(merged))
    func failure(_ field: String, _ remedy: String) -> ModelError {
      .configuration(path: path, field: field, value: merged[field]?.summary ?? "null", remedy: remedy)
    }
    guard let embedDim = declared.embedDim, let depth = declared.depth, let numHeads = declared.numHeads,
      let mlpDim = declared.mlpDim, let patch = declared.patchSize
    else {
      throw failure("embed_dim", "embed_dim, depth, num_heads, mlp_ratio and patch_size must be given")
    }
    guard mlpDim > 0 else { throw failure("mlp_ratio", "it leaves the MLP no width") }
    guard embedDim.isMultiple(of: numHeads) else {
      throw failure("num_heads", "the width of \(embedDim) is not divisible by it")
    }
    // The name's own preprocessing may be for another size than its positions.
    guard let size = try fields.size("img_size") ?? declared.imageSize else {
      throw failure("img_size", "expected a size")
    }
    guard size.height.isMultiple(of: patch.height), size.width.isMultiple(of: patch.width) else {
      throw ModelError.imageSize(size, patchSize: patch)
    }
    let pool = declared.globalPool ?? .token
    let hasClassToken = declared.hasClassToken ?? true
    guard pool != .token || hasClassToken else {
      throw failure("global_pool", "a model without a class token needs \"avg\", \"max\" or \"avgmax\"")
    }
    let registers = try fields.int("reg_tokens", in: 0...1024) ?? 0
    let prefix = (hasClassToken ? 1 : 0) + (entry.isDistilled ? 1 : 0) + registers
    let hasPositions = !["none", ""].contains(merged["pos_embed"]?.string ?? "learn")
    let excludesPrefix = try fields.bool("no_embed_class") ?? false
    let hasPreNorm = try fields.bool("pre_norm") ?? false
    let usesFeatureNorm = try fields.bool("fc_norm") ?? [.average, .maximum, .averageMaximum].contains(pool)
    let mlpLayer = merged["mlp_layer"]?.string
    let initial = try fields.positive("init_values")

    configuration = ViTConfiguration(
      inChannels: declared.inChannels ?? 3, patchSize: patch,
      gridSize: ImageSize(height: size.height / patch.height, width: size.width / patch.width),
      imageSize: size, stem: nil, embedDim: embedDim, depth: depth, numHeads: numHeads, mlpDim: mlpDim,
      numClasses: declared.numClasses ?? 1000, norm: declared.norm ?? .layerNorm,
      normEpsilon: declared.normEpsilon, activation: declared.activation ?? .gelu,
      block: declared.block ?? .preNorm,
      numBranches: merged["block_fn"]?.string == "parallel_things" ? 2 : nil,
      gatedMLP: mlpLayer == "swiglu" || mlpLayer == "swiglu_packed",
      differentialAttention: merged["attn_layer"]?.string == "diff"
        || merged["block_fn"]?.string == "diff_parallel_scaling",
      hasClassToken: hasClassToken, hasDistillationToken: entry.isDistilled, numRegisterTokens: registers,
      positions: hasPositions ? .learned : .none,
      numPositionedPrefixTokens: !hasPositions || excludesPrefix ? 0 : prefix,
      qkvBias: declared.qkvBias ?? true,
      // The norms of post-norm blocks are their scales.
      layerScale: initial != nil && declared.block != .postNorm,
      queryKeyNorm: declared.queryKeyNorm ?? false,
      hasPatchNorm: merged["embed_norm_layer"].map { $0 != .null } ?? false, hasPreNorm: hasPreNorm,
      globalPool: pool, poolsPrefixTokens: declared.poolsPrefixTokens,
      hasNorm: declared.hasFinalNorm && !usesFeatureNorm,
      hasFeatureNorm: declared.hasFinalNorm && usesFeatureNorm, representationDim: nil,
      representationPrecedesNorm: false, hasDistillationHead: entry.isDistilled, projectionDim: nil,
      positionResampling: declared.positionResampling)
    if merged["embed_layer"] != nil {
      throw failure("architecture", "a hybrid has no constructor here")
    }
    self.architecture = entry.name
    self.arguments = arguments
    hasPatchBias = !hasPreNorm
    hasProjectionBias = declared.projectionBias ?? true
    hasAttentionNorm = try fields.bool("scale_attn_norm") ?? false
    hasMLPNorm = try fields.bool("scale_mlp_norm") ?? false
    layerScale = initial.map { Float($0) }
    splitsGate = mlpLayer == "swiglu"
  }
}
