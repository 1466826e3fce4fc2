/// What timm's name of an architecture tells, such as `vit_small_patch16_224.augreg_in21k` or `vit_base_patch14_reg4_dinov2`.
struct ArchitectureName: Equatable {
  /// A standard size of the family.
  struct Size: Equatable {
    let name: String
    let embedDim: Int
    let depth: Int
    let numHeads: Int
  }

  /// The sizes, from the ViT, DeiT, "Scaling Vision Transformers" (arXiv 2106.04560) and DINOv2 papers.
  static let sizes = [
    Size(name: "tiny", embedDim: 192, depth: 12, numHeads: 3),
    Size(name: "small", embedDim: 384, depth: 12, numHeads: 6),
    Size(name: "medium", embedDim: 512, depth: 12, numHeads: 8),
    Size(name: "base", embedDim: 768, depth: 12, numHeads: 12),
    Size(name: "large", embedDim: 1024, depth: 24, numHeads: 16),
    Size(name: "huge", embedDim: 1280, depth: 32, numHeads: 16),
    Size(name: "giant", embedDim: 1408, depth: 40, numHeads: 16),
    Size(name: "gigantic", embedDim: 1664, depth: 48, numHeads: 16),
  ]
  /// DINOv2's giant is wider than that of the other families.
  static let dinov2Giant = Size(name: "giant", embedDim: 1536, depth: 40, numHeads: 24)

  let size: Size
  /// Pixels of a patch's side, where the name says so.
  let patchSize: Int?

  /// Words that add training or data, but change nothing that the tensors do not show.
  private static let plainWords: Set<String> = ["distilled", "dinov2", "dino", "mae", "gap"]

  /// Takes a name apart.
  /// - Throws: `ModelError.unknownArchitecture` where a word is not understood.
  init(parsing name: String) throws(ModelError) {
    guard let known = ArchitectureName(name) else {
      throw .unknownArchitecture(
        name,
        remedy:
          "not supported; expected timm's name of a plain ViT, DeiT or DINOv2, such as vit_base_patch16_224 "
          + "or vit_small_patch14_dinov2")
    }
    self = known
  }

  /// Takes a name apart; nil where a word is not understood, since it may change the forward pass.
  init?(_ name: String) {
    // What follows the dot is the tag of the pretrained weights.
    let words = name.prefix { $0 != "." }.split(separator: "_").map(String.init)
    guard words.count >= 2, ["vit", "deit", "deit3"].contains(words[0]),
      var size = Self.sizes.first(where: { $0.name == words[1] })
    else { return nil }
    if size.name == "giant", words.contains("dinov2") { size = Self.dinov2Giant }
    var patchSize: Int?
    for word in words.dropFirst(2) {
      if word.hasPrefix("patch"), let side = Int(word.dropFirst(5)) {
        patchSize = side
      } else if word.hasPrefix("reg"), Int(word.dropFirst(3)) != nil {
        continue  // the register tokens are in the checkpoint
      } else if Int(word) != nil || Self.plainWords.contains(word) {
        continue
      } else {
        return nil
      }
    }
    self.size = size
    self.patchSize = patchSize
  }

  /// The number of heads of a standard size of these dimensions.
  static func numHeads(embedDim: Int, depth: Int) -> Int? {
    (sizes + [dinov2Giant]).first { $0.embedDim == embedDim && $0.depth == depth }?.numHeads
  }
}
