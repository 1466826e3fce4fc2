import Checkpoints
import Images

/// Finds timm's architectures that have the shapes of a checkpoint: they tell what tensors cannot.
struct ArchitectureSearch {
  /// The entries that fit, by name.
  let entries: [TimmArchitectures.Entry]

  init(_ facts: TensorFacts) {
    let table = TimmArchitectures.table
    entries = table.names.compactMap(table.find).filter { Self.fits($0, facts) }
  }

  /// Whether a model of this architecture has tensors like these.
  private static func fits(_ entry: TimmArchitectures.Entry, _ facts: TensorFacts) -> Bool {
    let arguments = entry.arguments
    func flag(_ name: String) -> Bool { arguments[name]?.bool ?? false }
    guard arguments["embed_dim"]?.int == facts.embedDim, arguments["depth"]?.int == facts.depth else {
      return false
    }
    let ratio = arguments["mlp_ratio"]?.double ?? 4
    let hidden = Int(Double(facts.embedDim) * ratio)
    let layer = arguments["mlp_layer"]?.string
    let pool = arguments["global_pool"]?.string ?? "token"
    let poolsPatches = ["avg", "avgmax", "max"].contains(pool)
    let block = arguments["block_fn"]?.string
    let structure: TensorFacts.Structure =
      block == "parallel_things"
      ? .branched : block?.hasSuffix("parallel_scaling") == true ? .parallel : .sequential
    let initialScale = arguments["init_values"]?.double ?? 0
    return arguments["patch_size"]?.int == facts.projectionSize.height
      && facts.projectionSize.height == facts.projectionSize.width
      && (layer == "swiglu_packed" ? hidden / 2 : hidden) == facts.mlpDim && (layer != nil) == facts.gatedMLP
      && structure == facts.structure
      && (arguments["attn_layer"]?.string == "diff" || block == "diff_parallel_scaling")
        == facts.differentialAttention
      && (arguments["class_token"]?.bool ?? true) == facts.hasClassToken
      && entry.isDistilled == facts.hasDistillationToken
      && (arguments["reg_tokens"]?.int ?? 0) == facts.numRegisterTokens
      && flag("pre_norm") == facts.hasPreNorm
      && (initialScale != 0 && block != "res_post") == facts.layerScale
      && flag("qk_norm") == facts.queryKeyNorm && flag("scale_attn_norm") == facts.attentionNorm
      && (pool == "map") == facts.hasAttentionPool
      && (arguments["fc_norm"]?.bool ?? poolsPatches) == facts.hasFeatureNorm
      && (arguments["norm_layer"]?["name"]?.string != "rmsnorm") == facts.normBias
      && (arguments["embed_norm_layer"] != nil) == facts.hasPatchNorm
      && (arguments["embed_layer"]?["layers"]?.array?.compactMap(\.int)) == facts.stem?.depths
  }

  /// The number of heads that timm's models of a width and depth agree on.
  static func numHeads(embedDim: Int, depth: Int) -> Int? {
    let table = TimmArchitectures.table
    let entries = table.names.compactMap(table.find).filter {
      $0.arguments["embed_dim"]?.int == embedDim && $0.arguments["depth"]?.int == depth
    }
    let heads = Set(entries.compactMap { $0.arguments["num_heads"]?.int })
    return heads.count == 1 ? heads.first : nil
  }
}
