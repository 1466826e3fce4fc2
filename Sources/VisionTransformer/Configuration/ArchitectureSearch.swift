import Checkpoints
import Images

/// Finds timm's architectures that have the shapes of a checkpoint: they tell what tensors cannot.
struct ArchitectureSearch {
  /// The entries that fit: those of the positions' image size first, then ViT before its descendants, then the shorter name.
  let entries: [TimmArchitectures.Entry]
  /// How many of them, from the first, are of the positions' image size.
  let numSized: Int

  init(_ facts: TensorFacts) {
    func isSized(_ entry: TimmArchitectures.Entry) -> Bool {
      guard let patches = Self.numPatches(entry, facts) else { return false }
      return (patches...patches + 1 + facts.numRegisterTokens).contains(facts.positions ?? patches)
    }
    func precedes(_ a: TimmArchitectures.Entry, _ b: TimmArchitectures.Entry) -> Bool {
      func rank(_ name: String) -> (Int, Int, String) { (name.hasPrefix("vit_") ? 0 : 1, name.count, name) }
      return rank(a.name) < rank(b.name)
    }
    let fitting = TimmArchitectures.entries.filter { Self.fits($0, facts) }
    let sized = fitting.filter(isSized)
    entries = sized.sorted(by: precedes) + fitting.filter { !isSized($0) }.sorted(by: precedes)
    numSized = sized.count
  }

  /// Patches of the image size for which the entry's weights were trained.
  private static func numPatches(_ entry: TimmArchitectures.Entry, _ facts: TensorFacts) -> Int? {
    guard let sides = entry.pretrained["input_size"]?.array?.compactMap(\.int), sides.count == 3 else {
      return nil
    }
    let scale = facts.stem?.stride ?? 1
    return sides[1] / (facts.projectionSize.height * scale)
      * (sides[2] / (facts.projectionSize.width * scale))
  }

  /// Whether a model of this architecture has tensors like these.
  private static func fits(_ entry: TimmArchitectures.Entry, _ facts: TensorFacts) -> Bool {
    let arguments = entry.arguments
    func flag(_ name: String) -> Bool { arguments[name]?.bool ?? false }
    guard entry.embedDim == facts.embedDim, entry.depth == facts.depth else { return false }
    let layer = arguments["mlp_layer"]?.string
    let mlpDim = TimmArchitectures.mlpDim(
      embedDim: facts.embedDim, ratio: arguments["mlp_ratio"]?.double ?? 4, layer: layer)
    let pool = arguments["global_pool"]?.string ?? "token"
    let poolsPatches = ["avg", "avgmax", "max"].contains(pool)
    let block = arguments["block_fn"]?.string
    let structure: TensorFacts.Structure =
      block == "parallel_things"
      ? .branched : block?.hasSuffix("parallel_scaling") == true ? .parallel : .sequential
    let initialScale = arguments["init_values"]?.double ?? 0
    return arguments["patch_size"]?.int == facts.projectionSize.height
      && facts.projectionSize.height == facts.projectionSize.width
      && mlpDim == facts.mlpDim && (layer != nil) == facts.gatedMLP
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
      && (arguments["final_norm"]?.bool ?? true) == (facts.hasNorm || facts.hasFeatureNorm)
      && (!facts.hasNorm && !facts.hasFeatureNorm
        || (arguments["fc_norm"]?.bool ?? poolsPatches) == facts.hasFeatureNorm)
      && (arguments["norm_layer"]?["name"]?.string != "rmsnorm") == facts.normBias
      && (arguments["embed_norm_layer"] != nil) == facts.hasPatchNorm
      && (arguments["embed_layer"]?["layers"]?.array?.compactMap(\.int)) == facts.stem?.depths
  }
}
