import Checkpoints

/// A layer whose weight can be stored as integers.
package struct QuantizableLayer: Sendable {
  /// timm's, such as `blocks.0.attn.qkv`.
  package let name: String
  /// Of the weight: [O, ...].
  package let shape: [Int]
  package let place: Place
  /// Whether its input can be looked at and divided beforehand: not where a weight is cut into several layers.
  package let readsAlone: Bool

  package enum Place: Sendable, Hashable {
    case patchEmbedding
    /// Of a block, so that its products can be of integers.
    case block(Int)
    /// What follows the blocks.
    case head
  }

  package var isInBlock: Bool {
    if case .block = place { true } else { false }
  }
}

extension VisionTransformer {
  /// The layers whose weights can be stored as integers, in the order of the network.
  package var quantizableLayers: [QuantizableLayer] {
    var layers: [QuantizableLayer] = []
    func add(_ name: String, _ place: QuantizableLayer.Place, readsAlone: Bool = false) {
      guard let shape = tensors.shape(of: "\(name).weight"), shape.count >= 2 else { return }
      layers.append(QuantizableLayer(name: name, shape: shape, place: place, readsAlone: readsAlone))
    }
    if parameters.stem == nil { add("patch_embed.proj", .patchEmbedding) }
    for (index, block) in parameters.blocks.enumerated() {
      let named =
        block.attentions.flatMap { [$0.qkv, $0.projection] } + block.mlps.flatMap { [$0.fc1, $0.fc2] }
      for layer in named { layer.name.map { add($0, .block(index), readsAlone: true) } }
      for part in ["in_proj", "out_proj"] { add("blocks.\(index).\(part)", .block(index)) }
    }
    if parameters.attentionPool != nil {
      for part in ["q", "kv", "proj", "mlp.fc1", "mlp.fc2"] {
        add("attn_pool.\(part)", .head)
      }
    }
    if parameters.representation != nil { add("pre_logits.fc", .head) }
    if parameters.head != nil { add("head", .head) }
    if parameters.distillationHead != nil { add("head_dist", .head) }
    if parameters.projection != nil { add("visual_projection", .head) }
    return layers
  }

  /// Parts of the network with weights that stay floats; nil where there are none.
  package var unquantizablePart: String? {
    parameters.stem == nil ? nil : "the convolutions in front of the patches (patch_embed.backbone)"
  }

  /// The elements of a tensor in PyTorch's order; nil where there is none of the name.
  /// - Parameter name: timm's.
  /// - Throws: `CheckpointError`, `nonFinite` where an element is NaN or infinite.
  package func floats(_ name: String) throws(CheckpointError) -> [Float]? {
    guard let shape = tensors.shape(of: name) else { return nil }
    var reader = WeightReader(tensors)
    let columns = shape.count <= 1 ? shape.reduce(1, *) : shape.dropFirst().reduce(1, *)
    let matrices = try reader.matrices(name, shape: shape, columns: max(1, columns))
    try reader.weights.checkFinite()
    let floats = matrices.flatMap { matrix in (0..<matrix.rows).flatMap { Array(matrix.row($0)) } }
    reader.letGo()
    return floats
  }
}
