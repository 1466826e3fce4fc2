import VisionTransformer

/// The layers of the network, each by the places of its parameters.
struct ModelSlots: Sendable {
  /// weight [O, K], bias [O]
  struct Linear: Sendable {
    let weight: Slot
    let bias: Slot?
  }

  /// gamma [D]; beta [D] in a layer norm.
  struct Norm: Sendable {
    let kind: NormKind
    let gamma: Slot
    let beta: Slot?
    let epsilon: Float
  }

  struct Attention: Sendable {
    let norm: Norm
    /// [3D, D]: rows for queries, keys and values.
    let qkv: Linear
    /// [Hd]
    let queryNorm: Norm?
    let keyNorm: Norm?
    /// A norm [D] of the heads' outputs.
    let outputNorm: Norm?
    /// [D, D]
    let projection: Linear
    /// [D]
    let layerScale: Slot?
  }

  struct MLP: Sendable {
    let norm: Norm
    /// [M, D]; gated [2M, D].
    let fc1: Linear
    /// A norm [M] between the layers.
    let innerNorm: Norm?
    /// [D, M]
    let fc2: Linear
    /// [D]
    let layerScale: Slot?
  }

  struct Block: Sendable {
    let attention: Attention
    let mlp: MLP
  }

  /// [D, channels · P · P]
  let patchEmbedding: Linear
  let patchNorm: Norm?
  /// Class, distillation and register tokens, [tokens, D] each, in the order of the sequence.
  let prefixTokens: [Slot]
  /// [positioned prefix tokens + patches, D]
  let positions: Slot?
  let preNorm: Norm?
  let blocks: [Block]
  let norm: Norm?
  let featureNorm: Norm?
  /// [C, D]
  let head: Linear
  /// [C, D]
  let distillationHead: Linear?
}
