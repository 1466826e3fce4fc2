/// How one library names the tensors of a Vision Transformer, as a table from timm's names to its own.
///
/// timm's names are the ones that the rest of Vitrine uses; nothing above this table knows a foreign name. `#` stands for the
/// index of a block. Names are relative to a prefix (`vit.`, `module.`, `backbone.`, ...) that is found, not listed.
public struct NamingScheme: Sendable {
  /// The libraries whose names are known, as they are called in messages.
  public enum Library: String, Sendable {
    case timm
    case huggingFaceViT = "Hugging Face ViT"
    case huggingFaceDINOv2 = "Hugging Face DINOv2"
  }

  public let library: Library
  let rules: [Rule]
  /// Names of tensors that the library saves, but that no result depends on.
  let ignored: Set<String>

  /// Where one of timm's tensors comes from.
  struct Rule: Sendable {
    /// timm's name.
    let canonical: String
    /// The alternatives, each a list of tensors whose rows are stacked.
    let sources: [[String]]
  }

  init(_ library: Library, ignored: Set<String> = [], rules: [(String, [[String]])]) {
    self.library = library
    self.ignored = ignored
    self.rules = rules.map { Rule(canonical: $0.0, sources: $0.1) }
  }
}

extension NamingScheme {
  /// Every scheme that is recognised.
  public static let all: [NamingScheme] = [timm, huggingFaceViT, huggingFaceDINOv2]

  /// `timm/models/vision_transformer.py` and `deit.py`.
  static let timm = NamingScheme(
    .timm,
    ignored: ["mask_token"],
    rules: weightAndBias(
      [
        ("patch_embed.proj", [["patch_embed.proj"]]),
        ("blocks.#.norm1", [["blocks.#.norm1"]]),
        ("blocks.#.attn.qkv", [["blocks.#.attn.qkv"]]),
        ("blocks.#.attn.proj", [["blocks.#.attn.proj"]]),
        ("blocks.#.norm2", [["blocks.#.norm2"]]),
        ("blocks.#.mlp.fc1", [["blocks.#.mlp.fc1"]]),
        ("blocks.#.mlp.fc2", [["blocks.#.mlp.fc2"]]),
        ("norm", [["norm"]]),
        ("fc_norm", [["fc_norm"]]),
        ("head", [["head"]]),
        ("head_dist", [["head_dist"]]),
      ]) + [
        ("cls_token", [["cls_token"]]),
        ("dist_token", [["dist_token"]]),
        ("reg_token", [["reg_token"]]),
        ("pos_embed", [["pos_embed"]]),
        ("blocks.#.ls1.gamma", [["blocks.#.ls1.gamma"]]),
        ("blocks.#.ls2.gamma", [["blocks.#.ls2.gamma"]]),
      ])

  /// transformers' `ViTModel`, `DeiTModel` and their classifiers: the saved names, and those that version 5 uses in memory.
  static let huggingFaceViT = NamingScheme(
    .huggingFaceViT,
    ignored: ["embeddings.mask_token", "pooler.dense.weight", "pooler.dense.bias"],
    rules: weightAndBias(
      [
        ("patch_embed.proj", [["embeddings.patch_embeddings.projection"]]),
        ("blocks.#.norm1", [["encoder.layer.#.layernorm_before"], ["layers.#.layernorm_before"]]),
        ("blocks.#.attn.qkv", attentionInputs),
        ("blocks.#.attn.proj", attentionOutputs),
        ("blocks.#.norm2", [["encoder.layer.#.layernorm_after"], ["layers.#.layernorm_after"]]),
        ("blocks.#.mlp.fc1", [["encoder.layer.#.intermediate.dense"], ["layers.#.mlp.fc1"]]),
        ("blocks.#.mlp.fc2", [["encoder.layer.#.output.dense"], ["layers.#.mlp.fc2"]]),
        ("norm", [["layernorm"]]),
        ("head", [["classifier"], ["cls_classifier"]]),
        ("head_dist", [["distillation_classifier"]]),
      ]) + [
        ("cls_token", [["embeddings.cls_token"]]),
        ("dist_token", [["embeddings.distillation_token"]]),
        ("pos_embed", [["embeddings.position_embeddings"]]),
      ])

  /// transformers' `Dinov2Model`, `Dinov2WithRegistersModel` and their classifiers.
  static let huggingFaceDINOv2 = NamingScheme(
    .huggingFaceDINOv2,
    ignored: ["embeddings.mask_token"],
    rules: weightAndBias(
      [
        ("patch_embed.proj", [["embeddings.patch_embeddings.projection"]]),
        ("blocks.#.norm1", [["encoder.layer.#.norm1"], ["layers.#.norm1"]]),
        ("blocks.#.attn.qkv", attentionInputs),
        ("blocks.#.attn.proj", attentionOutputs),
        ("blocks.#.norm2", [["encoder.layer.#.norm2"], ["layers.#.norm2"]]),
        ("blocks.#.mlp.fc1", [["encoder.layer.#.mlp.fc1"], ["layers.#.mlp.fc1"]]),
        ("blocks.#.mlp.fc2", [["encoder.layer.#.mlp.fc2"], ["layers.#.mlp.fc2"]]),
        ("norm", [["layernorm"]]),
        ("head", [["classifier"]]),
      ]) + [
        ("cls_token", [["embeddings.cls_token"]]),
        ("reg_token", [["embeddings.register_tokens"]]),
        ("pos_embed", [["embeddings.position_embeddings"]]),
        (
          "blocks.#.ls1.gamma", [["encoder.layer.#.layer_scale1.lambda1"], ["layers.#.layer_scale1.lambda1"]]
        ),
        (
          "blocks.#.ls2.gamma", [["encoder.layer.#.layer_scale2.lambda1"], ["layers.#.layer_scale2.lambda1"]]
        ),
      ])

  /// Query, key and value projections, in the order in which timm stacks them.
  private static let attentionInputs = ["encoder.layer.#", "layers.#"].flatMap { layer in
    [
      ["query", "key", "value"].map { "\(layer).attention.attention.\($0)" },
      ["q", "k", "v"].map { "\(layer).attention.\($0)_proj" },
    ]
  }

  private static let attentionOutputs = ["encoder.layer.#", "layers.#"].flatMap { layer in
    [["\(layer).attention.output.dense"], ["\(layer).attention.o_proj"]]
  }

  /// A rule for `.weight` and one for `.bias` of each layer.
  private static func weightAndBias(_ layers: [(String, [[String]])]) -> [(String, [[String]])] {
    layers.flatMap { canonical, sources in
      ["weight", "bias"].map { part in
        ("\(canonical).\(part)", sources.map { $0.map { "\($0).\(part)" } })
      }
    }
  }
}
