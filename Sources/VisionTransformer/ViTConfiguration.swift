import Images

/// The architecture of a Vision Transformer: everything that decides the forward pass but the weights.
///
/// One legend of dimensions holds for the whole project:
/// **B** batch, **N** tokens (prefix and patches), **D** `embedDim`, **H** `numHeads`, **Hd** `headDim` = D / H,
/// **M** `mlpDim`, **P** patch, **C** `numClasses`, **F** width of the pooled features (D, or 2D), **R** rows, **K** inner and
/// **O** output dimension of a matrix product.
public struct ViTConfiguration: Codable, Sendable, Equatable {
  /// Pixels of a patch.
  public var patchSize: ImageSize
  /// Patches of the image for which the position embeddings were trained.
  public var gridSize: ImageSize
  public var embedDim: Int
  public var depth: Int
  public var numHeads: Int
  public var mlpDim: Int
  /// 0 where the model has no head.
  public var numClasses: Int
  public var layerNormEpsilon: Float
  public var hasClassToken: Bool
  /// DeiT's second token, after the class token.
  public var hasDistillationToken: Bool
  /// Tokens after the class token that take part, but are not read out.
  public var numRegisterTokens: Int
  /// How many of the prefix tokens, from the first, have a position embedding of their own.
  public var numPositionedPrefixTokens: Int
  public var qkvBias: Bool
  public var layerScale: Bool
  public var globalPool: GlobalPool
  /// A norm over all tokens after the last block.
  public var hasNorm: Bool
  /// A norm over the pooled features (timm's `fc_norm`).
  public var hasFeatureNorm: Bool
  /// A second head on the distillation token; the result is the mean of both (arXiv 2012.12877, section 3).
  public var hasDistillationHead: Bool
  public var positionResampling: PositionResampling
}

/// How the tokens after the last block become one vector, by timm's names.
public enum GlobalPool: String, Codable, Sendable, CaseIterable {
  /// The class token.
  case token
  /// The mean over the patches, without prefix tokens.
  case average = "avg"
  /// The maximum over the patches.
  case maximum = "max"
  /// (maximum + mean) / 2 over the patches.
  case averageMaximum = "avgmax"
  /// The class token and the mean over the patches, side by side: the head of Hugging Face's DINOv2 classifiers.
  case tokenAndAverage = "token+avg"
}

/// How a family of models resamples position embeddings to another grid.
public enum PositionResampling: String, Codable, Sendable {
  /// `F.interpolate(mode="bicubic", antialias=True)`: timm, and Hugging Face's DINOv2 with registers.
  case bicubicAntialiased
  /// `F.interpolate(mode="bicubic", align_corners=False)`: Hugging Face's ViT, DeiT and DINOv2.
  case bicubic
}

extension ViTConfiguration {
  public var headDim: Int { embedDim / numHeads }

  /// Class, distillation and register tokens.
  public var numPrefixTokens: Int {
    (hasClassToken ? 1 : 0) + (hasDistillationToken ? 1 : 0) + numRegisterTokens
  }

  /// F: the width of the pooled features, the head's input.
  public var featureDim: Int { globalPool == .tokenAndAverage ? 2 * embedDim : embedDim }

  /// Floats of one patch row: 3 channels of P x P pixels.
  public var patchDim: Int { 3 * patchSize.height * patchSize.width }

  /// The size of the images for which the position embeddings were trained.
  public var imageSize: ImageSize {
    ImageSize(height: gridSize.height * patchSize.height, width: gridSize.width * patchSize.width)
  }

  /// The patches of an image, rows and columns; nil where its size is no multiple of the patch.
  public func grid(for size: ImageSize) -> ImageSize? {
    guard size.height >= patchSize.height, size.width >= patchSize.width,
      size.height.isMultiple(of: patchSize.height), size.width.isMultiple(of: patchSize.width)
    else { return nil }
    return ImageSize(height: size.height / patchSize.height, width: size.width / patchSize.width)
  }

  /// Floating-point operations of one image's matrix products, in billions; a multiply-add counts as two.
  public func gflops(grid: ImageSize) -> Double {
    let (patches, d, m) = (Double(grid.height * grid.width), Double(embedDim), Double(mlpDim))
    let tokens = patches + Double(numPrefixTokens)
    let block = tokens * (4 * d * d + 2 * d * m) + 2 * tokens * tokens * d
    let heads = Double(numClasses * featureDim * (hasDistillationHead ? 2 : 1))
    return 2 * (patches * Double(patchDim) * d + Double(depth) * block + heads) / 1e9
  }
}
