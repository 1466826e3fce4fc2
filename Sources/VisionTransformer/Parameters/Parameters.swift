import Checkpoints
import Images
import Kernels

/// The weights of a Vision Transformer as the forward pass reads them.
struct Parameters: Sendable {
  /// weight [O, K] and bias [O], as in torch's `Linear`.
  struct Linear: Sendable {
    let weight: MatrixView
    let bias: MatrixView?
  }

  /// Several layers that share their input and whose outputs stand side by side: query, key and value where the file keeps them
  /// apart.
  struct StackedLinear: Sendable {
    let parts: [Linear]
  }

  /// A layer norm with gamma [D] and beta [D], or an RMS norm with gamma [D] alone.
  struct Norm: Sendable {
    let kind: NormKind
    let gamma: MatrixView
    let beta: MatrixView?
    let epsilon: Float
  }

  /// The attention branch of a block.
  struct Attention: Sendable {
    /// In front of the branch, or behind it where the block is `postNorm`.
    let norm: Norm
    /// [3D, D]: rows for queries, keys and values.
    let qkv: StackedLinear
    /// Norms [Hd] of each head's queries and keys.
    let queryNorm: Norm?
    let keyNorm: Norm?
    let differential: Differential?
    /// A norm [D] of the heads' outputs, before the projection.
    let outputNorm: Norm?
    /// [D, D]
    let projection: Linear
    /// [D]
    let layerScale: MatrixView?
  }

  /// What the difference of two attentions needs (arXiv 2410.05258, equations 2 and 3).
  struct Differential: Sendable {
    /// lambda: the weight of the second attention.
    let lambda: Float
    /// The norm [Hd] of each head, with gamma scaled by 1 - lambda_init.
    let norm: Norm
  }

  /// The MLP branch of a block.
  struct MLP: Sendable {
    let norm: Norm
    /// [M, D]; gated [2M, D].
    let fc1: StackedLinear
    /// A norm [M] between the layers.
    let innerNorm: Norm?
    /// [D, M]
    let fc2: Linear
    /// [D]
    let layerScale: MatrixView?
  }

  /// One of each, but in `ParallelThingsBlock`.
  struct Block: Sendable {
    let attentions: [Attention]
    let mlps: [MLP]
  }

  /// A learned query that attends to all tokens, and an MLP (timm's `AttentionPoolLatent`).
  struct AttentionPool: Sendable {
    /// [L, D]
    let latent: MatrixView
    /// [D, D]
    let query: Linear
    /// [2D, D]: rows for keys and values.
    let keyValue: StackedLinear
    let projection: Linear
    let norm: Norm
    let fc1: Linear
    let fc2: Linear
  }

  let stem: ResNetParameters?
  /// [D, channels * P * P]; behind a stem [D, P * P * channels], channels last.
  let patchEmbedding: Linear
  let patchNorm: Norm?
  /// Class, distillation and register tokens with their positions added: [prefix tokens, D] in row-major order.
  let prefixTokens: [Float]
  /// [grid.height * grid.width, D], for the grid for which they were trained; empty where there are none.
  let patchPositions: [Float]
  let preNorm: Norm?
  let blocks: [Block]
  let norm: Norm?
  let attentionPool: AttentionPool?
  let featureNorm: Norm?
  /// [representation, D], followed by tanh.
  let representation: Linear?
  /// [C, F]
  let head: Linear?
  /// [C, D]
  let distillationHead: Linear?
  /// [E, F]
  let projection: Linear?
  /// Number of parameters in the file that take part in the forward pass.
  let count: Int
  private let weights: [Weight]
  private let storage: WeightStorage

  /// Describes every weight, without reading those that need no conversion.
  /// - Parameter describesOnly: whether those that need a conversion are left alone too; the parameters are then of no use but to be
  ///   counted.
  /// - Throws: `CheckpointError` where a tensor is missing, has another shape or a type that is no weight's.
  init(
    _ tensors: NamedTensors, configuration: ViTConfiguration, describesOnly: Bool
  ) throws(CheckpointError) {
    var reader = ParameterReader(tensors, configuration, describesOnly: describesOnly)
    let (d, c) = (configuration.embedDim, configuration.numClasses)
    let normDim = reader.normDim
    stem = try reader.stem()
    patchEmbedding = try reader.patchEmbedding(stem: stem)
    patchNorm = configuration.hasPatchNorm ? try reader.norm("patch_embed.norm", dim: d) : nil
    (prefixTokens, patchPositions) = try reader.tokens()
    preNorm = configuration.hasPreNorm ? try reader.norm("norm_pre", dim: d) : nil
    var blocks: [Block] = []
    for index in 0..<configuration.depth { blocks.append(try reader.block(index)) }
    self.blocks = blocks
    norm = configuration.hasNorm ? try reader.norm("norm", dim: normDim) : nil
    attentionPool = configuration.globalPool == .attention ? try reader.attentionPool() : nil
    featureNorm = configuration.hasFeatureNorm ? try reader.norm("fc_norm", dim: d) : nil
    if let width = configuration.representationDim {
      representation = try reader.linear("pre_logits.fc", outputs: width, inputs: d, hasBias: true)
    } else {
      representation = nil
    }
    let features = configuration.featureDim
    head = c > 0 ? try reader.linear("head", outputs: c, inputs: features, hasBias: true) : nil
    distillationHead =
      configuration.hasDistillationHead
      ? try reader.linear("head_dist", outputs: c, inputs: d, hasBias: true) : nil
    if let width = configuration.projectionDim {
      projection = try reader.linear("visual_projection", outputs: width, inputs: features, hasBias: false)
    } else {
      projection = nil
    }
    count = reader.weights.count
    weights = reader.weights.weights
    storage = reader.weights.storage
  }

  /// The file's tensors that take part, by their names there.
  var tensorNames: Set<String> { Set(weights.map(\.name)) }

  /// Reads every weight once.
  /// - Throws: `CheckpointError.nonFinite` where one is NaN or infinite.
  func checkFinite() throws(CheckpointError) { try weights.checkFinite() }
}
