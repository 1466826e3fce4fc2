import VisionTransformer

/// Every parameter of a network and its place in the flat buffers.
public struct ParameterLayout: Sendable {
  public let architecture: TrainableArchitecture
  /// In the order of the buffers.
  public let parameters: [Parameter]
  /// Floats of a buffer; parameters begin on multiples of a cache line, and what lies between them stays 0.
  public let bufferCount: Int
  let slots: ModelSlots

  public init(_ architecture: TrainableArchitecture) {
    var builder = LayoutBuilder(architecture)
    slots = builder.model()
    self.architecture = architecture
    parameters = builder.parameters
    bufferCount = builder.end
  }

  /// Number of trainable values.
  public var count: Int { parameters.reduce(0) { $0 + $1.count } }

  /// The number of the last layer, the head's; see `Parameter.layer`.
  public var lastLayer: Int { architecture.configuration.depth + 1 }
}

/// Hands out places one after the other.
private struct LayoutBuilder {
  private let architecture: TrainableArchitecture
  private let configuration: ViTConfiguration
  private(set) var parameters: [Parameter] = []
  private(set) var end = 0

  init(_ architecture: TrainableArchitecture) {
    self.architecture = architecture
    configuration = architecture.configuration
  }

  private mutating func add(
    _ name: String, _ shape: [Int], rows: Int, columns: Int, _ role: Parameter.Role, layer: Int
  ) -> Slot {
    let slot = Slot(offset: end, rows: rows, columns: columns)
    parameters.append(Parameter(name: name, shape: shape, role: role, layer: layer, slot: slot))
    let line = 16
    end += (slot.count + line - 1) / line * line
    return slot
  }

  private mutating func vector(_ name: String, _ count: Int, _ role: Parameter.Role, layer: Int) -> Slot {
    add(name, [count], rows: 1, columns: count, role, layer: layer)
  }

  private mutating func linear(
    _ name: String, outputs: Int, inputs: Int, hasBias: Bool, layer: Int
  ) -> ModelSlots.Linear {
    let weight = add(
      "\(name).weight", [outputs, inputs], rows: outputs, columns: inputs, .weight, layer: layer)
    return ModelSlots.Linear(
      weight: weight, bias: hasBias ? vector("\(name).bias", outputs, .bias, layer: layer) : nil)
  }

  private mutating func norm(_ name: String, _ dim: Int, layer: Int) -> ModelSlots.Norm {
    let gamma = vector("\(name).weight", dim, .normScale, layer: layer)
    let hasShift = configuration.norm == .layerNorm
    return ModelSlots.Norm(
      kind: configuration.norm, gamma: gamma,
      beta: hasShift ? vector("\(name).bias", dim, .normShift, layer: layer) : nil,
      epsilon: configuration.normEpsilon)
  }

  mutating func model() -> ModelSlots {
    let c = configuration
    let d = c.embedDim
    var prefix: [Slot] = []
    func tokens(_ name: String, _ count: Int, _ role: Parameter.Role, _ builder: inout LayoutBuilder) {
      guard count > 0 else { return }
      prefix.append(builder.add(name, [1, count, d], rows: count, columns: d, role, layer: 0))
    }
    tokens("cls_token", c.hasClassToken ? 1 : 0, .classToken, &self)
    tokens("dist_token", c.hasDistillationToken ? 1 : 0, .otherToken, &self)
    tokens("reg_token", c.numRegisterTokens, .otherToken, &self)
    var positions: Slot?
    if c.hasPositions {
      let rows = c.numPositionedPrefixTokens + c.gridSize.height * c.gridSize.width
      positions = add("pos_embed", [1, rows, d], rows: rows, columns: d, .positions, layer: 0)
    }
    let (p, k) = (c.patchSize, c.patchDim)
    let patchWeight = add(
      "patch_embed.proj.weight", [d, c.inChannels, p.height, p.width], rows: d, columns: k, .patchWeight,
      layer: 0)
    let patchBias =
      architecture.hasPatchBias ? vector("patch_embed.proj.bias", d, .patchBias, layer: 0) : nil
    let patchNorm = c.hasPatchNorm ? norm("patch_embed.norm", d, layer: 0) : nil
    let preNorm = c.hasPreNorm ? norm("norm_pre", d, layer: 0) : nil
    let blocks = (0..<c.depth).map { block($0) }
    let finalNorm = c.hasNorm ? norm("norm", d, layer: c.depth) : nil
    let headLayer = c.depth + 1
    let featureNorm = c.hasFeatureNorm ? norm("fc_norm", d, layer: headLayer) : nil
    let head = linear("head", outputs: c.numClasses, inputs: d, hasBias: true, layer: headLayer)
    let distillationHead =
      c.hasDistillationHead
      ? linear("head_dist", outputs: c.numClasses, inputs: d, hasBias: true, layer: headLayer) : nil
    return ModelSlots(
      patchEmbedding: ModelSlots.Linear(weight: patchWeight, bias: patchBias), patchNorm: patchNorm,
      prefixTokens: prefix, positions: positions, preNorm: preNorm, blocks: blocks, norm: finalNorm,
      featureNorm: featureNorm, head: head, distillationHead: distillationHead)
  }

  private mutating func block(_ index: Int) -> ModelSlots.Block {
    let c = configuration
    let (d, m) = (c.embedDim, c.mlpDim)
    let (name, layer) = ("blocks.\(index)", index + 1)
    let hasBias = architecture.hasProjectionBias
    let norm1 = norm("\(name).norm1", d, layer: layer)
    let qkv = linear("\(name).attn.qkv", outputs: 3 * d, inputs: d, hasBias: c.qkvBias, layer: layer)
    let queryNorm = c.queryKeyNorm ? norm("\(name).attn.q_norm", c.headDim, layer: layer) : nil
    let keyNorm = c.queryKeyNorm ? norm("\(name).attn.k_norm", c.headDim, layer: layer) : nil
    let outputNorm = architecture.hasAttentionNorm ? norm("\(name).attn.norm", d, layer: layer) : nil
    let projection = linear("\(name).attn.proj", outputs: d, inputs: d, hasBias: hasBias, layer: layer)
    let scale1 = c.layerScale ? vector("\(name).ls1.gamma", d, .layerScale, layer: layer) : nil
    let norm2 = norm("\(name).norm2", d, layer: layer)
    let fc1 = linear(
      "\(name).mlp.fc1", outputs: c.gatedMLP ? 2 * m : m, inputs: d, hasBias: hasBias, layer: layer)
    let innerNorm = architecture.hasMLPNorm ? norm("\(name).mlp.norm", m, layer: layer) : nil
    let fc2 = linear("\(name).mlp.fc2", outputs: d, inputs: m, hasBias: hasBias, layer: layer)
    let scale2 = c.layerScale ? vector("\(name).ls2.gamma", d, .layerScale, layer: layer) : nil
    return ModelSlots.Block(
      attention: ModelSlots.Attention(
        norm: norm1, qkv: qkv, queryNorm: queryNorm, keyNorm: keyNorm, outputNorm: outputNorm,
        projection: projection, layerScale: scale1),
      mlp: ModelSlots.MLP(norm: norm2, fc1: fc1, innerNorm: innerNorm, fc2: fc2, layerScale: scale2))
  }
}
