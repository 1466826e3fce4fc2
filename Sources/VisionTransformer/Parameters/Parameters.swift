import Checkpoints
import Images
import Kernels

/// The weights of a Vision Transformer as the forward pass reads them.
struct Parameters: Sendable {
  /// weight [O, K], packed for products, and bias [O], as in torch's `Linear`.
  struct Linear: Sendable {
    /// timm's, such as `blocks.0.attn.qkv`; nil where the weight is only a part of what has a name.
    var name: String?
    let weight: PackedMatrix
    let bias: MatrixView?
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
    let qkv: Linear
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

    /// Whether queries can be computed of other rows than keys and values.
    var hasQueriesApart: Bool { qkv.weight.isCut(at: qkv.weight.outputs / 3) }
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
    let fc1: Linear
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
    let keyValue: Linear
    let projection: Linear
    let norm: Norm
    let fc1: Linear
    let fc2: Linear
  }

  let stem: ResNetParameters?
  /// [D, channels * P * P], in float32 with the sums of each channel behind (see `PatchMeans`); behind a stem [D, P * P * channels],
  /// channels last.
  let patchEmbedding: Linear
  let patchNorm: Norm?
  /// Class, distillation and register tokens with their positions added: [prefix tokens, D] in row-major order.
  let prefixTokens: [Float]
  /// [grid.height * grid.width, D], for the grid for which they were trained; empty where there are none.
  let patchPositions: [Float]
  let preNorm: Norm?
  private(set) var blocks: [Block]
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
  /// The file's tensors that take part, by their names there.
  let tensorNames: Set<String>
  /// Keeps alive what the matrices point into.
  private var storages: [PackedStorage]

  /// Reads every weight once, and packs it.
  /// - Parameters:
  ///   - precision: of the products of the blocks.
  ///   - pool: threads that pack.
  ///   - describesOnly: whether no weight is read; the parameters are then of no use but to be counted.
  ///   - substitutes: what takes the place of some tensors.
  ///   - sharing: whose blocks are taken instead of reading them.
  /// - Throws: `CheckpointError` where a tensor is missing, has another shape or a type that is no weight's, or holds a NaN or an
  ///   infinity.
  init(
    _ tensors: NamedTensors, configuration: ViTConfiguration, precision: Precision, pool: ThreadPool?,
    describesOnly: Bool, substitutes: LayerSubstitutes?, sharing others: Parameters? = nil,
    afterFirstBlock: (() -> Void)? = nil
  ) throws(CheckpointError) {
    var reader = ParameterReader(
      tensors, configuration, precision: precision, pool: pool, describesOnly: describesOnly,
      substitutes: substitutes)
    let (d, c) = (configuration.embedDim, configuration.numClasses)
    stem = try reader.stem()
    patchEmbedding = try reader.patchEmbedding(stem: stem)
    patchNorm = configuration.hasPatchNorm ? try reader.norm("patch_embed.norm", dim: d) : nil
    (prefixTokens, patchPositions) = try reader.tokens()
    preNorm = configuration.hasPreNorm ? try reader.norm("norm_pre", dim: d) : nil
    var blocks = others?.blocks ?? []
    for index in blocks.count..<configuration.depth {
      blocks.append(try reader.block(index))
      if index == 0 { afterFirstBlock?() }
    }
    self.blocks = blocks
    norm = configuration.hasNorm ? try reader.norm("norm", dim: configuration.normDim) : nil
    attentionPool = configuration.globalPool == .attention ? try reader.attentionPool() : nil
    featureNorm = configuration.hasFeatureNorm ? try reader.norm("fc_norm", dim: d) : nil
    if let width = configuration.representationDim {
      representation = try reader.outerLinear("pre_logits.fc", outputs: width, inputs: d, hasBias: true)
    } else {
      representation = nil
    }
    let features = configuration.featureDim
    head = c > 0 ? try reader.outerLinear("head", outputs: c, inputs: features, hasBias: true) : nil
    distillationHead =
      configuration.hasDistillationHead
      ? try reader.outerLinear("head_dist", outputs: c, inputs: d, hasBias: true) : nil
    if let width = configuration.projectionDim {
      projection = try reader.outerLinear(
        "visual_projection", outputs: width, inputs: features, hasBias: false)
    } else {
      projection = nil
    }
    count = others?.count ?? reader.weights.count
    tensorNames = others?.tensorNames ?? reader.weights.names
    storages = (others?.storages ?? []) + [reader.storage]
  }

  /// The same but for one block, which is read anew.
  /// - Throws: as `init`.
  func replacingBlock(
    _ index: Int, _ tensors: NamedTensors, configuration: ViTConfiguration, precision: Precision,
    pool: ThreadPool?, substitutes: LayerSubstitutes
  ) throws(CheckpointError) -> Parameters {
    var reader = ParameterReader(
      tensors, configuration, precision: precision, pool: pool, describesOnly: false, substitutes: substitutes
    )
    var result = self
    result.blocks[index] = try reader.block(index)
    result.storages.append(reader.storage)
    return result
  }
}
