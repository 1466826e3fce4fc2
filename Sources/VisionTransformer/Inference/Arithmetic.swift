import Kernels

extension VisionTransformer {
  /// Floating-point operations of the matrix products from one image to its features and logits, in billions; a multiply-add counts
  /// as two.
  public var gflops: Double { NetworkOperation.allCases.reduce(0) { $0 + gflops(of: $1) } }

  /// The share of one kind of operation in `gflops`.
  public func gflops(of operation: NetworkOperation) -> Double {
    let tokens = Double(numTokens)
    let blocks = parameters.blocks
    // What pool and heads do not read is left out of the last block.
    let readTokens = configuration.numReadTokens.map { Double($0) } ?? tokens
    func ofRows(_ size: (ArraySlice<Parameters.Block>) -> Double) -> Double {
      tokens * size(blocks.dropLast()) + readTokens * size(blocks.suffix(1))
    }
    let products: Double
    switch operation {
    case .patchEmbedding:
      let patches = tokens - Double(configuration.numPrefixTokens)
      let pixels = Extent(height: transform.size.height, width: transform.size.width)
      products = patches * patchProducts + (parameters.stem?.products(of: pixels) ?? 0)
    case .qkv:
      // Queries of the tokens that are read, keys and values of all.
      func third(_ blocks: ArraySlice<Parameters.Block>) -> Double {
        blocks.sum(\.attentions) { $0.qkv.size / 3 }
      }
      products = ofRows(third) + 2 * tokens * third(blocks[...])
    case .attention:
      let scores = 2 * tokens * Double(configuration.embedDim)
      products = ofRows { $0.sum(\.attentions) { $0.differential == nil ? scores : 1.5 * scores } }
    case .projection: products = ofRows { $0.sum(\.attentions) { $0.projection.size } }
    case .fc1: products = ofRows { $0.sum(\.mlps) { $0.fc1.size } }
    case .fc2: products = ofRows { $0.sum(\.mlps) { $0.fc2.size } }
    case .head: products = headProducts
    case .norm, .conversion, .activation, .other: products = 0
    }
    return 2 * products / 1e9
  }

  /// Multiplications for one patch: the sums of channels that stand behind the weight (`PatchMeans`) do not count.
  private var patchProducts: Double {
    let weight = parameters.patchEmbedding.weight
    return Double(weight.outputs) * Double(parameters.stem == nil ? configuration.patchDim : weight.inner)
  }

  /// Multiplications behind the last block.
  private var headProducts: Double {
    let heads = [
      parameters.representation, parameters.head, parameters.distillationHead, parameters.projection,
    ]
    var products = heads.reduce(0) { $0 + ($1?.size ?? 0) }
    if let pool = parameters.attentionPool {
      let tokens = Double(numTokens)
      products += tokens * pool.keyValue.size + 2 * tokens * Double(configuration.embedDim)
      products += pool.query.size + pool.projection.size + pool.fc1.size + pool.fc2.size
    }
    return products
  }
}

extension ArraySlice<Parameters.Block> {
  /// The sum over all branches of a kind.
  fileprivate func sum<Branch>(_ branches: KeyPath<Element, [Branch]>, _ size: (Branch) -> Double) -> Double {
    joined(branches).reduce(0) { $0 + size($1) }
  }

  private func joined<Branch>(_ branches: KeyPath<Element, [Branch]>) -> [Branch] {
    flatMap { $0[keyPath: branches] }
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
