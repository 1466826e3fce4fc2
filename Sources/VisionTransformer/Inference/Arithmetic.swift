import Kernels

extension VisionTransformer {
  /// Floating-point operations of one image's matrix products, in billions; a multiply-add counts as two.
  public var gflops: Double {
    let tokens = Double(numTokens)
    let patches = tokens - Double(configuration.numPrefixTokens)
    var products = patches * parameters.patchEmbedding.size
    if let stem = parameters.stem {
      products += stem.products(of: Extent(height: transform.size.height, width: transform.size.width))
    }
    let scores = 2 * tokens * tokens * Double(configuration.embedDim)
    for block in parameters.blocks {
      for branch in block.attentions {
        products += tokens * (branch.qkv.size + branch.projection.size)
        products += branch.differential == nil ? scores : 1.5 * scores
      }
      for branch in block.mlps { products += tokens * (branch.fc1.size + branch.fc2.size) }
    }
    if let pool = parameters.attentionPool {
      products += tokens * pool.keyValue.size + 2 * tokens * Double(configuration.embedDim)
      products += pool.query.size + pool.projection.size + pool.fc1.size + pool.fc2.size
    }
    let heads = [
      parameters.representation, parameters.head, parameters.distillationHead, parameters.projection,
    ]
    for layer in heads { products += layer?.size ?? 0 }
    return 2 * products / 1e9
  }
}

extension Parameters.Linear {
  /// Elements of the weight: multiplications for each row of the input.
  fileprivate var size: Double { Double(weight.outputs * weight.inner) }
}

extension ResNetParameters {
  /// Multiplications of all convolutions for one image.
  fileprivate func products(of image: Extent) -> Double {
    func products(_ layer: Convolution, _ size: Extent) -> Double {
      Double(layer.outputSize(of: size).count * layer.weight.outputs * layer.weight.inner)
    }
    var total = products(stem, image)
    let root = stem.outputSize(of: image)
    // The pool halves once more.
    var size = Extent(height: (root.height + 1) / 2, width: (root.width + 1) / 2)
    for unit in units {
      if let downsample = unit.downsample { total += products(downsample, size) }
      for layer in unit.convolutions {
        total += products(layer, size)
        size = layer.outputSize(of: size)
      }
    }
    return total
  }
}
