import Checkpoints

/// A layer whose weight can be stored as integers.
package struct QuantizableLayer: Sendable {
  /// timm's, such as `blocks.0.attn.qkv`.
  package let name: String
  /// Of the weight: [O, ...].
  package let shape: [Int]
  /// Whether it is of a block, so that its products can be of integers.
  package let isInBlock: Bool
  /// Whether its input can be looked at and divided beforehand: not where a weight is cut into several layers.
  package let readsAlone: Bool
}

extension VisionTransformer {
  /// The layers whose weights can be stored as integers, in the order of the network.
  package var quantizableLayers: [QuantizableLayer] {
    var layers: [QuantizableLayer] = []
    func add(_ name: String, isInBlock: Bool, readsAlone: Bool) {
      guard let shape = tensors.shape(of: "\(name).weight"), shape.count >= 2 else { return }
      layers.append(
        QuantizableLayer(name: name, shape: shape, isInBlock: isInBlock, readsAlone: readsAlone))
    }
    if parameters.stem == nil { add("patch_embed.proj", isInBlock: false, readsAlone: false) }
    for (index, block) in parameters.blocks.enumerated() {
      let named =
        block.attentions.flatMap { [$0.qkv, $0.projection] } + block.mlps.flatMap { [$0.fc1, $0.fc2] }
      for layer in named { layer.name.map { add($0, isInBlock: true, readsAlone: true) } }
      for part in ["in_proj", "out_proj"] {
        add("blocks.\(index).\(part)", isInBlock: true, readsAlone: false)
      }
    }
    if parameters.attentionPool != nil {
      for part in ["q", "kv", "proj", "mlp.fc1", "mlp.fc2"] {
        add("attn_pool.\(part)", isInBlock: false, readsAlone: false)
      }
    }
    if parameters.representation != nil { add("pre_logits.fc", isInBlock: false, readsAlone: false) }
    if parameters.head != nil { add("head", isInBlock: false, readsAlone: false) }
    if parameters.distillationHead != nil { add("head_dist", isInBlock: false, readsAlone: false) }
    if parameters.projection != nil { add("visual_projection", isInBlock: false, readsAlone: false) }
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
