/// How one library names the tensors of a Vision Transformer, as a table from timm's names to its own.
///
/// timm's names are the ones that the rest of Vitrine uses; nothing above these tables knows a foreign name. Names are relative to
/// a prefix (`vit.`, `module.`, `opt/target/`, ...) that is found, not listed.
public struct NamingScheme: Sendable {
  /// The libraries whose names are known, as they are called in messages.
  public enum Library: String, Sendable, CaseIterable {
    case timm
    case huggingFaceViT = "Hugging Face ViT"
    case huggingFaceDINOv2 = "Hugging Face DINOv2"
    case huggingFaceCLIP = "Hugging Face CLIP"
    case huggingFaceSigLIP = "Hugging Face SigLIP"
    case torchvision
    case pyTorchPretrainedViT = "pytorch_pretrained_vit"
    case dinov2 = "DINOv2"
    case google = "Google ViT"
    case bigVision = "big_vision"
    case clip = "CLIP"
  }

  public let library: Library
  let rules: [Rule]
  /// Names of which one must be there, where another library's names are otherwise the same; empty where none is needed.
  let signature: [NamePattern]
  /// Whether layers may stand outside the prefix that the embeddings have.
  let mixesPrefixes: Bool
  /// Names of tensors among those of the network that no result depends on. A `*` at the end stands for anything.
  let harmless: [String]
  /// The same of tensors that stand beside the network: text towers, optimizers, heads of training.
  let harmlessBeside: [String]
  /// The same beside any network: the weights of classes, and other numbers, of a loss.
  private static let harmlessInTraining = ["criterion.*", "loss.*", "loss_fn.*", "loss_function.*"]
  /// Names of harmless tensors that tell something by being there.
  private let signs: [Sign: [String]]
  /// The rules by the key of each of their names.
  let index: [String: [Place]]

  /// What a tensor that takes no part in any result tells by being there.
  public enum Sign: Sendable {
    /// The checkpoint is of DINO's own training code.
    case trainingOfDINO
    /// transformers' pooler: a layer behind the class token that its classifiers do not have.
    case pooler
    /// The archive is OpenAI's.
    case archiveOfOpenAI
  }

  /// Where one of timm's tensors comes from.
  struct Rule: Sendable {
    /// timm's name, with `#` for the index of a block, or of a stage and a block.
    let canonical: String
    /// The alternatives, each a list of tensors whose rows are stacked.
    var alternatives: [[Source]]
    /// How many of them, from the last, are names that users give and not the library.
    var numCustom = 0
  }

  /// A tensor in the file: its name and the layout of its elements.
  struct Source: Sendable, ExpressibleByStringLiteral {
    let pattern: NamePattern
    let layout: TensorLayout
    /// Which of several equal shares of the rows it is that is meant.
    let share: TensorPart.Share?

    init(_ pattern: String, _ layout: TensorLayout = .asIs, share: TensorPart.Share? = nil) {
      self.pattern = NamePattern(pattern)
      self.layout = layout
      self.share = share
    }

    init(stringLiteral value: String) { self.init(value) }
  }

  /// A source by its position in the table.
  struct Place: Sendable {
    let rule: Int
    let alternative: Int
    let part: Int
  }

  init(
    _ library: Library, signature: [String] = [], harmless: [String] = [], harmlessBeside: [String] = [],
    signs: [Sign: [String]] = [:], mixesPrefixes: Bool = false, rules: [[Rule]]
  ) {
    self.library = library
    // A tensor may be listed several times, each time with other names.
    var merged: [Rule] = []
    var positions: [String: Int] = [:]
    for rule in rules.joined() {
      if let position = positions[rule.canonical] {
        merged[position].alternatives += rule.alternatives
        merged[position].numCustom += rule.numCustom
      } else {
        positions[rule.canonical] = merged.count
        merged.append(rule)
      }
    }
    self.rules = merged
    self.signature = signature.map(NamePattern.init)
    self.harmless = harmless
    self.harmlessBeside = harmlessBeside
    self.signs = signs
    self.mixesPrefixes = mixesPrefixes
    var index: [String: [Place]] = [:]
    for (ruleIndex, rule) in merged.enumerated() {
      for (alternativeIndex, alternative) in rule.alternatives.enumerated() {
        for (partIndex, source) in alternative.enumerated() {
          index[source.pattern.key, default: []].append(
            Place(rule: ruleIndex, alternative: alternativeIndex, part: partIndex))
        }
      }
    }
    self.index = index
  }

  /// Every scheme that is recognised, in the order in which they are tried: of two that explain as much of a file the first is
  /// taken. A table is made when it is first asked for. Beside it, how the file calls the weight of the patch projection.
  private static let makers: [(anchor: String, scheme: @Sendable () -> NamingScheme)] = [
    ("patch_embed.proj.weight", { dinov2 }), ("patch_embed.proj.weight", { timm }),
    ("embeddings.patch_embeddings.projection.weight", { huggingFaceViT }),
    ("embeddings.patch_embeddings.projection.weight", { huggingFaceDINOv2 }),
    ("embeddings.patch_embedding.weight", { huggingFaceCLIP }),
    ("embeddings.patch_embedding.weight", { huggingFaceSigLIP }),
    ("conv_proj.weight", { torchvision }), ("patch_embedding.weight", { pyTorchPretrainedViT }),
    ("embedding/kernel", { google }), ("embedding/kernel", { bigVision }), ("conv1.weight", { clipa }),
    ("conv1.weight", { clip }),
  ]

  /// Every scheme that is recognised.
  public static var all: [NamingScheme] { makers.map { $0.scheme() } }

  /// The schemes of which the names show a patch projection.
  static func candidates(for names: [String]) -> [NamingScheme] {
    makers.filter { maker in names.contains { $0.hasSuffix(maker.anchor) } }.map { $0.scheme() }
  }

  /// The libraries, for messages.
  static let libraries = Library.allCases.map(\.rawValue).joined(separator: ", ")

  /// The anchor of a scheme: a model without it is no Vision Transformer.
  static let anchor = "patch_embed.proj.weight"

  /// The names of the patch projection.
  var anchors: [String] {
    rules.filter { $0.canonical == Self.anchor }.flatMap(\.alternatives).compactMap { $0.first?.pattern.text }
  }

  /// Whether a name of the file, which begins with the prefix or stands beside it, is known to be harmless.
  func isHarmless(_ name: String, prefix: String) -> Bool {
    if name.hasPrefix(prefix), Self.matches(name.dropFirst(prefix.count), harmless) { return true }
    let beside = (name.hasPrefix(prefix) ? [] : harmlessBeside) + Self.harmlessInTraining
    return Self.matches(name, beside, in: Self.outerPrefixes(of: prefix))
  }

  /// Whether one of the harmless names of a file is the sign.
  func shows(_ sign: Sign, in ignored: [String], prefix: String) -> Bool {
    guard let patterns = signs[sign] else { return false }
    let prefixes = Self.outerPrefixes(of: prefix)
    return ignored.contains { Self.matches($0, patterns, in: prefixes) }
  }

  private static func matches(_ name: String, _ patterns: [String], in prefixes: [String]) -> Bool {
    prefixes.contains { name.hasPrefix($0) && matches(name.dropFirst($0.count), patterns) }
  }

  private static func matches(_ name: Substring, _ patterns: [String]) -> Bool {
    patterns.contains { $0.hasSuffix("*") ? name.hasPrefix($0.dropLast()) : name == $0 }
  }
}

/// How the elements of a tensor in the file lie, compared with PyTorch's layout.
public enum TensorLayout: Sendable, Equatable {
  case asIs
  /// A dense layer as JAX has it: [inputs, outputs].
  case dense
  /// A convolution as JAX has it: [height, width, inputs, outputs].
  case convolution
  /// A projection into heads: [inputs, heads, head size].
  case intoHeads
  /// A projection out of heads: [heads, head size, outputs].
  case outOfHeads
  /// A vector with axes of its own for nothing or for heads.
  case flat
}

extension NamingScheme.Rule {
  /// One tensor with one or several names.
  static func tensor(_ canonical: String, _ names: NamingScheme.Source...) -> [Self] {
    [Self(canonical: canonical, alternatives: names.map { [$0] })]
  }

  /// One tensor whose rows the file keeps in several.
  static func stacked(_ canonical: String, _ parts: [[NamingScheme.Source]]) -> [Self] {
    [Self(canonical: canonical, alternatives: parts)]
  }

  /// A layer's `.weight` and `.bias`, each named alike.
  static func layer(_ canonical: String, _ names: String...) -> [Self] {
    layer(canonical, stacking: names.map { [$0] })
  }

  /// The classifier where users have put one of their own in the place of the library's: under the names that are given, or as
  /// the one layer with weights of a `torch.nn.Sequential`. The library's own names must be listed before.
  static func customHead(_ names: [String], sequences: [String]) -> [Self] {
    let all = names + sequences.map { "\($0).$" }
    return layer("head", stacking: all.map { [$0] }).map { rule in
      Self(canonical: rule.canonical, alternatives: rule.alternatives, numCustom: all.count)
    }
  }

  /// A layer's `.weight` and `.bias`; each alternative a list of layers whose rows are stacked.
  static func layer(_ canonical: String, stacking alternatives: [[String]]) -> [Self] {
    ["weight", "bias"].map { part in
      Self(
        canonical: "\(canonical).\(part)",
        alternatives: alternatives.map { $0.map { NamingScheme.Source("\($0).\(part)") } })
    }
  }
}
