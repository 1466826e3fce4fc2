import Images

/// The architecture of a Vision Transformer: everything that decides the forward pass but the weights.
///
/// One legend of dimensions holds for the whole project:
/// **B** batch, **N** tokens (prefix and patches), **D** `embedDim`, **H** `numHeads`, **Hd** `headDim` = D / H,
/// **M** `mlpDim`, **P** patch, **C** `numClasses`, **F** width of the pooled features (D, or 2D), **E** width of an image
/// embedding, **R** rows, **K** inner and **O** output dimension of a matrix product.
public struct ViTConfiguration: Codable, Sendable, Equatable {
  /// Channels of the input: 3 for red, green and blue, 1 for grey.
  public var inChannels: Int
  /// Pixels of a patch. In a hybrid: pixels of the image for each token.
  public var patchSize: ImageSize
  /// Patches of the image for which the position embeddings were trained.
  public var gridSize: ImageSize
  /// The size of those images: as many whole patches as `gridSize`, perhaps with some pixels beyond them that no patch covers.
  public var imageSize: ImageSize
  /// The convolutional network in front of the patch embedding; nil in a plain Vision Transformer.
  public var stem: ResNetConfiguration?
  public var embedDim: Int
  public var depth: Int
  public var numHeads: Int
  /// Width of the MLP's hidden layer; in a gated MLP that of each half.
  public var mlpDim: Int
  /// 0 where the model has no head.
  public var numClasses: Int
  public var norm: NormKind
  public var normEpsilon: Float
  public var activation: ActivationKind
  public var block: BlockKind
  /// Attentions, and MLPs, of a block of timm's `ParallelThingsBlock` (arXiv 2203.09795); nil elsewhere.
  public var numBranches: Int?
  /// activation(x1) * x2 of two halves instead of activation(x): SwiGLU (arXiv 2002.05202).
  public var gatedMLP: Bool
  /// The difference of two attentions (arXiv 2410.05258).
  public var differentialAttention: Bool
  public var hasClassToken: Bool
  /// DeiT's second token, after the class token.
  public var hasDistillationToken: Bool
  /// Tokens after the class token that take part, but are not read out.
  public var numRegisterTokens: Int
  public var positions: PositionKind
  /// How many of the prefix tokens, from the first, have a position embedding of their own.
  public var numPositionedPrefixTokens: Int
  public var qkvBias: Bool
  public var layerScale: Bool
  /// Norms of each head's queries and keys (arXiv 2302.05442).
  public var queryKeyNorm: Bool
  /// A norm of each patch right after its projection.
  public var hasPatchNorm: Bool
  /// A norm of all tokens before the first block (timm's `norm_pre`).
  public var hasPreNorm: Bool
  public var globalPool: GlobalPool
  /// Whether class and register tokens take part in the pool.
  public var poolsPrefixTokens: Bool
  /// A norm over all tokens after the last block.
  public var hasNorm: Bool
  /// A norm over the pooled features (timm's `fc_norm`).
  public var hasFeatureNorm: Bool
  /// Width of the representation layer between pool and head, a dense layer with tanh (arXiv 2010.11929, section 3.1).
  public var representationDim: Int?
  /// Whether that layer stands before the norm: `pytorch_pretrained_vit`.
  public var representationPrecedesNorm: Bool
  /// A second head on the distillation token; the result is the mean of both (arXiv 2012.12877, section 3).
  public var hasDistillationHead: Bool
  /// E: width of the image embedding that CLIP projects the pooled features to (arXiv 2103.00020).
  public var projectionDim: Int?
  public var positionResampling: PositionResampling
}

/// A ResNet-V2 with weight standardisation and group norm, as BiT (arXiv 1912.11370) and the ViT paper's hybrids have it.
public struct ResNetConfiguration: Codable, Sendable, Equatable {
  /// Units of each stage; none where the stem stands alone.
  public var depths: [Int]
  /// Pixels of the image for each of its outputs.
  public var stride: Int
}

public enum NormKind: String, Codable, Sendable {
  /// Ba, Kiros, Hinton, arXiv 1607.06450
  case layerNorm = "layernorm"
  /// Zhang, Sennrich, arXiv 1910.07467
  case rmsNorm = "rmsnorm"
}

/// The nonlinearity of the MLP, by timm's names.
public enum ActivationKind: String, Codable, Sendable {
  /// x * Phi(x), with the exact normal distribution function
  case gelu
  /// GELU through a tanh
  case geluTanh = "gelu_tanh"
  /// x * sigmoid(1.702 x)
  case quickGELU = "quick_gelu"
  case silu
  case relu
}

/// The order of things in a block, as timm's block classes have it.
public enum BlockKind: String, Codable, Sendable {
  /// x += attention(norm1(x)); x += mlp(norm2(x))
  case preNorm = "pre-norm"
  /// x += norm1(attention(x)); x += norm2(mlp(x)): timm's `ResPostBlock`
  case postNorm = "post-norm"
  /// x += attention(norm(x)) + mlp(norm(x)): timm's `ParallelScalingBlock` (arXiv 2302.05442)
  case parallel
}

/// How the tokens after the last block become one vector, by timm's names.
public enum GlobalPool: String, Codable, Sendable, CaseIterable {
  /// The class token.
  case token
  /// The mean over the patches.
  case average = "avg"
  /// The maximum over the patches.
  case maximum = "max"
  /// (maximum + mean) / 2 over the patches.
  case averageMaximum = "avgmax"
  /// What a learned query attends to (arXiv 2106.04560, appendix; SigLIP).
  case attention = "map"
  /// The class token, or the mean, after an attention without weights (timm's `AttentionPoolPrr`).
  case refinement = "prr"
  /// The class token and the mean over the patches, side by side: the head of Hugging Face's DINOv2 classifiers.
  case tokenAndAverage = "token+avg"
}

/// Where the patches' position embeddings come from.
public enum PositionKind: String, Codable, Sendable {
  case learned
  /// Sines and cosines of row and column, computed for any grid: big_vision's `posemb_sincos_2d`.
  case sinCos2D = "sincos2d"
  case none
}

/// How a family of models resamples position embeddings to another grid; by names of arguments to `F.interpolate` where it is
/// PyTorch's.
public enum PositionResampling: String, Codable, Sendable {
  /// mode bicubic, antialiased: timm, OpenCLIP, DINOv2 with registers.
  case bicubicAntialiased = "bicubic-antialiased"
  /// mode bicubic: Hugging Face.
  case bicubic
  /// mode bicubic with a scale factor of (grid + 0.1) / trained grid: the original DINO and DINOv2.
  case bicubicOffset = "bicubic-offset"
  /// mode bicubic with aligned corners: torchvision.
  case bicubicCorners = "bicubic-corners"
  /// mode bilinear: timm's loader of Google's `.npz`.
  case bilinear
  /// `scipy.ndimage.zoom` of order 1, which aligns corners: `pytorch_pretrained_vit`, Google's own code.
  case bilinearCorners = "bilinear-corners"
}

extension ViTConfiguration {
  public var headDim: Int { embedDim / numHeads }

  /// Class, distillation and register tokens.
  public var numPrefixTokens: Int {
    (hasClassToken ? 1 : 0) + (hasDistillationToken ? 1 : 0) + numRegisterTokens
  }

  /// How many tokens of an image pool and heads read, from the first on; nil for all of them.
  package var numReadTokens: Int? {
    guard globalPool == .token else { return nil }
    return hasDistillationHead ? 2 : 1
  }

  public var hasPositions: Bool { positions != .none }

  /// F: the width of the pooled features, the head's input.
  public var featureDim: Int {
    representationDim ?? (globalPool == .tokenAndAverage ? 2 * embedDim : embedDim)
  }

  /// Width of the tokens after the norm that follows the last block: `pytorch_pretrained_vit` has its representation layer before
  /// that.
  public var normDim: Int { representationPrecedesNorm ? representationDim ?? embedDim : embedDim }

  /// Floats of one patch row: the channels of P x P pixels.
  public var patchDim: Int { inChannels * patchSize.height * patchSize.width }

  /// The whole patches of an image, rows and columns; nil where there is none.
  public func grid(for size: ImageSize) -> ImageSize? {
    let grid = ImageSize(height: size.height / patchSize.height, width: size.width / patchSize.width)
    return grid.height > 0 && grid.width > 0 ? grid : nil
  }

  /// Whether the patches leave no pixel of an image out.
  public func patchesFill(_ size: ImageSize) -> Bool {
    size.height.isMultiple(of: patchSize.height) && size.width.isMultiple(of: patchSize.width)
  }
}
