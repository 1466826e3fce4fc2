import Checkpoints
import SystemPackage

/// The names and shapes of an architecture's tensors, as timm's `state_dict` has them.
package struct ArchitectureTensors {
  private let entry: TimmArchitectures.Entry
  package private(set) var descriptions: [RandomTensors.Description] = []

  // Dimensions by the legend of `ViTConfiguration`.
  private let d: Int
  private let m: Int
  private let headDim: Int

  /// - Throws: `ModelError.configuration` where the architecture is none that Vitrine runs.
  package init(_ entry: TimmArchitectures.Entry) throws(ModelError) {
    // It refuses what has something else than a ResNet-V2 in front.
    let declared = try TimmDeclaration(path: FilePath(entry.name), configuration: nil, entry: entry).read()
    self.entry = entry
    d = declared.embedDim ?? 768
    m = declared.mlpDim ?? 4 * d
    headDim = d / max(1, declared.numHeads ?? 1)
    add()
  }

  private func flag(_ name: String) -> Bool { entry.arguments[name]?.bool ?? false }
  private func number(_ name: String) -> Int { entry.arguments[name]?.int ?? 0 }
  /// An argument where it is not the constructor's default: in place of a default, timm takes what the weights' tag says.
  private func given(_ name: String) -> Int? {
    let value = entry.arguments[name]?.int
    return value == TimmArchitectures.table.defaults[name]?.int ? nil : value
  }
  private func text(_ name: String) -> String? { entry.arguments[name]?.string }

  private mutating func add() {
    let pool = text("global_pool") ?? "token"
    let hasFeatureNorm = entry.arguments["fc_norm"]?.bool ?? ["avg", "avgmax", "max"].contains(pool)
    embedding()
    for index in 0..<number("depth") { block("blocks.\(index)") }
    if flag("final_norm") { norm(hasFeatureNorm ? "fc_norm" : "norm", d) }
    if pool == "map" { attentionPool() }
    let classes = given("num_classes") ?? entry.pretrained["num_classes"]?.int ?? 0
    if classes > 0 {
      linear("head", classes, d)
      if entry.isDistilled { linear("head_dist", classes, d) }
    }
  }

  // MARK: Layers

  /// Weights are spread so that a layer's outputs are as large as its inputs.
  private mutating func weight(_ name: String, _ shape: Int...) {
    let inputs = shape.dropFirst().reduce(1, *)
    descriptions.append(.init(name, shape: shape, deviation: 1 / Float(max(1, inputs)).squareRoot()))
  }

  private mutating func vector(_ name: String, _ count: Int, mean: Float = 0) {
    descriptions.append(.init(name, shape: [count], mean: mean, deviation: 0.02))
  }

  private mutating func tokens(_ name: String, _ count: Int) {
    descriptions.append(.init(name, shape: [1, count, d], deviation: 0.1))
  }

  private mutating func linear(_ name: String, _ outputs: Int, _ inputs: Int, hasBias: Bool = true) {
    weight("\(name).weight", outputs, inputs)
    if hasBias { vector("\(name).bias", outputs) }
  }

  private mutating func norm(_ name: String, _ count: Int, layer: String = "norm_layer") {
    vector("\(name).weight", count, mean: 1)
    if entry.arguments[layer]?["name"]?.string != "rmsnorm" { vector("\(name).bias", count) }
  }

  // MARK: Parts

  private mutating func embedding() {
    let (classTokens, registers) = (flag("class_token") ? 1 : 0, number("reg_tokens"))
    let prefix = classTokens + registers + (entry.isDistilled ? 1 : 0)
    if classTokens > 0 { tokens("cls_token", 1) }
    if registers > 0 { tokens("reg_token", registers) }
    if entry.isDistilled { tokens("dist_token", 1) }

    let patch = number("patch_size")
    var (channels, stride) = (number("in_chans"), 1)
    if let backbone = entry.arguments["embed_layer"] {
      let depths = backbone["layers"]?.array?.compactMap(\.int) ?? []
      channels = stem(depths, inputs: channels)
      stride = 4 << max(0, depths.count - 1)
    }
    let size = given("img_size") ?? entry.pretrained["input_size"]?.array?.last?.int ?? 0
    let side = size / max(1, patch * stride)
    tokens("pos_embed", side * side + (flag("no_embed_class") ? 0 : prefix))
    weight("patch_embed.proj.weight", d, channels, patch, patch)
    if !flag("pre_norm") { vector("patch_embed.proj.bias", d) }
    if entry.arguments["embed_norm_layer"] != nil { norm("patch_embed.norm", d, layer: "embed_norm_layer") }
    if flag("pre_norm") { norm("norm_pre", d) }
  }

  /// The ResNet-V2 in front of a hybrid; returns the channels of its output.
  private mutating func stem(_ depths: [Int], inputs: Int) -> Int {
    let name = "patch_embed.backbone"
    let first = depths.isEmpty ? name : "\(name).stem"
    convolution("\(first).conv", "\(first).norm", outputs: 64, inputs: inputs, kernel: 7)
    var channels = 64
    for (stage, depth) in depths.enumerated() {
      let (inner, outer) = (64 << stage, 256 << stage)
      for index in 0..<depth {
        let unit = "\(name).stages.\(stage).blocks.\(index)"
        if index == 0 {
          convolution(
            "\(unit).downsample.conv", "\(unit).downsample.norm", outputs: outer, inputs: channels, kernel: 1)
        }
        convolution("\(unit).conv1", "\(unit).norm1", outputs: inner, inputs: channels, kernel: 1)
        convolution("\(unit).conv2", "\(unit).norm2", outputs: inner, inputs: inner, kernel: 3)
        convolution("\(unit).conv3", "\(unit).norm3", outputs: outer, inputs: inner, kernel: 1)
        channels = outer
      }
    }
    return channels
  }

  private mutating func convolution(
    _ name: String, _ norm: String, outputs: Int, inputs: Int, kernel: Int
  ) {
    weight("\(name).weight", outputs, inputs, kernel, kernel)
    vector("\(norm).weight", outputs, mean: 1)
    vector("\(norm).bias", outputs)
  }

  private mutating func block(_ name: String) {
    switch text("block_fn") {
    case "parallel_scaling", "diff_parallel_scaling": parallelBlock(name)
    case "parallel_things":
      for branch in 0..<2 {
        let (attention, mlp) = ("\(name).attns.\(branch)", "\(name).ffns.\(branch)")
        norm("\(attention).norm", d)
        self.attention("\(attention).attn")
        layerScale("\(attention).ls")
        norm("\(mlp).norm", d)
        self.mlp("\(mlp).mlp")
        layerScale("\(mlp).ls")
      }
    default:
      // A post-norm block has its initial scale in the norms.
      let hasScale = text("block_fn") != "res_post"
      norm("\(name).norm1", d)
      attention("\(name).attn")
      if hasScale { layerScale("\(name).ls1") }
      norm("\(name).norm2", d)
      mlp("\(name).mlp")
      if hasScale { layerScale("\(name).ls2") }
    }
  }

  private mutating func layerScale(_ name: String) {
    if (entry.arguments["init_values"]?.double ?? 0) != 0 { vector("\(name).gamma", d, mean: 0.1) }
  }

  private mutating func attention(_ name: String) {
    linear("\(name).qkv", 3 * d, d, hasBias: flag("qkv_bias"))
    linear("\(name).proj", d, d, hasBias: flag("proj_bias"))
    if flag("scale_attn_norm") { norm("\(name).norm", d) }
    headNorms(name, isDifferential: text("attn_layer") == "diff")
  }

  /// Norms of queries and keys, and what the difference of two attentions needs, whose heads are halved.
  private mutating func headNorms(_ name: String, isDifferential: Bool) {
    let width = isDifferential ? headDim / 2 : headDim
    if flag("qk_norm") { for part in ["q_norm", "k_norm"] { norm("\(name).\(part)", width) } }
    guard isDifferential else { return }
    for lambda in ["q1", "k1", "q2", "k2"] { vector("\(name).lambda_\(lambda)", width) }
    vector("\(name).sub_norm.weight", headDim, mean: 1)
  }

  private mutating func mlp(_ name: String) {
    let hasBias = flag("proj_bias")
    switch text("mlp_layer") {
    case "swiglu":
      for part in ["fc1_g", "fc1_x"] { linear("\(name).\(part)", m, d, hasBias: hasBias) }
    case "swiglu_packed": linear("\(name).fc1", 2 * m, d, hasBias: hasBias)
    default: linear("\(name).fc1", m, d, hasBias: hasBias)
    }
    if flag("scale_mlp_norm") { norm("\(name).norm", m) }
    linear("\(name).fc2", d, m, hasBias: hasBias)
  }

  private mutating func parallelBlock(_ name: String) {
    let isDifferential = text("block_fn") == "diff_parallel_scaling"
    norm("\(name).in_norm", d)
    linear("\(name).in_proj", m + 3 * d, d, hasBias: flag("qkv_bias"))
    if !flag("qkv_bias") { vector("\(name).mlp_bias", m) }
    headNorms(name, isDifferential: isDifferential)
    if isDifferential {
      linear("\(name).out_proj", d, d + m, hasBias: flag("proj_bias"))
    } else {
      linear("\(name).attn_out_proj", d, d, hasBias: flag("proj_bias"))
      linear("\(name).mlp_out_proj", d, m, hasBias: flag("proj_bias"))
    }
    layerScale("\(name).ls")
  }

  private mutating func attentionPool() {
    let name = "attn_pool"
    tokens("\(name).latent", 1)
    linear("\(name).q", d, d)
    linear("\(name).kv", 2 * d, d)
    linear("\(name).proj", d, d)
    norm("\(name).norm", d)
    linear("\(name).mlp.fc1", m, d)
    linear("\(name).mlp.fc2", d, m)
  }
}

extension VisionTransformer {
  /// A model of one of timm's architectures with random weights, for measurements: nothing is read from disk.
  /// - Parameters:
  ///   - architecture: timm's name.
  ///   - seed: the same seed gives the same weights.
  ///   - options: `architecture` is not looked at.
  /// - Throws: `ModelError` where there is no such architecture, or none that Vitrine runs.
  public convenience init(
    randomWeightsOf architecture: String, seed: UInt64 = 223, options: Options = Options()
  ) throws {
    let entry = try TimmArchitectures.table.entry(architecture)
    let tensors = try ArchitectureTensors(entry)
    let container = RandomTensors(tensors.descriptions, seed: seed, name: FilePath(entry.name))
    var options = options
    options.architecture = architecture
    try self.init(Checkpoint(container, path: FilePath(entry.name)), options: options)
  }
}
