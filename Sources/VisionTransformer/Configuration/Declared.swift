import Checkpoints
import Images

/// What the configuration, the architecture's name or the library says about a model; nil where they are silent.
struct Declared {
  var embedDim: Int?
  var depth: Int?
  var numHeads: Int?
  var mlpDim: Int?
  /// Whether the kind of the MLP is declared with its width; timm's configurations leave it out.
  var knowsMLP = true
  var inChannels: Int?
  /// Pixels of a patch, or in a hybrid outputs of the backbone for each token.
  var patchSize: ImageSize?
  /// The size for which the positions were trained.
  var imageSize: ImageSize?
  /// Whether the positions must be of that size; otherwise it is where to look first.
  var requiresImageSize = false
  var numClasses: Int?
  var norm: NormKind?
  var normEpsilon: Float
  var activation: ActivationKind?
  /// Whether the activation is that of this model, and not merely that of the architecture.
  var statesActivation = false
  var block: BlockKind?
  var globalPool: GlobalPool?
  var poolsPrefixTokens = false
  /// Whether a norm follows the last block or the pool.
  var hasFinalNorm = true
  var hasClassToken: Bool?
  var qkvBias: Bool?
  var projectionBias: Bool?
  var queryKeyNorm: Bool?
  var positionResampling: PositionResampling

  init(normEpsilon: Float, positionResampling: PositionResampling) {
    self.normEpsilon = normEpsilon
    self.positionResampling = positionResampling
  }
}

extension NamingScheme.Library {
  /// What a library's code does where no configuration says otherwise.
  func conventions(_ tensors: NamedTensors) -> Declared {
    switch self {
    case .timm:
      // DINO's training checkpoints show by their projection head what their code does with positions.
      return Declared(
        normEpsilon: 1e-6,
        positionResampling: tensors.shows(.trainingOfDINO) ? .bicubicOffset : .bicubicAntialiased)
    case .dinov2:
      // Models with registers were published with antialiasing and without the offset.
      return Declared(
        normEpsilon: 1e-6,
        positionResampling: tensors.contains("reg_token") ? .bicubicAntialiased : .bicubicOffset)
    case .huggingFaceViT:
      return Declared(normEpsilon: 1e-12, positionResampling: .bicubic)
    case .huggingFaceDINOv2:
      return Declared(
        normEpsilon: 1e-6, positionResampling: tensors.contains("reg_token") ? .bicubicAntialiased : .bicubic)
    case .huggingFaceCLIP:
      var declared = Declared(normEpsilon: 1e-5, positionResampling: .bicubic)
      declared.activation = .quickGELU
      return declared
    case .huggingFaceSigLIP:
      var declared = Declared(normEpsilon: 1e-6, positionResampling: .bicubic)
      declared.activation = .geluTanh
      return declared
    case .torchvision:
      return Declared(normEpsilon: 1e-6, positionResampling: .bicubicCorners)
    case .pyTorchPretrainedViT:
      return Declared(normEpsilon: 1e-6, positionResampling: .bilinearCorners)
    case .google, .bigVision:
      return Declared(normEpsilon: 1e-6, positionResampling: .bilinear)
    case .clip:
      var declared = Declared(normEpsilon: 1e-5, positionResampling: .bicubicAntialiased)
      // OpenCLIP's models use the exact GELU, or what timm's table says.
      declared.activation = tensors.shows(.archiveOfOpenAI) ? .quickGELU : nil
      return declared
    }
  }
}

extension NamedTensors {
  /// What the file holds that could mean something else than it is taken for, one sentence each.
  var doubts: [String] {
    var doubts: [String] = []
    if hasCustomHead {
      doubts.append(
        "the classifier \"\(foreignName(of: "head.weight"))\" is not one of the library's own; assumed that it reads what "
          + "theirs do, with no layers but dropout before it")
    }
    if contains("head.weight"), shows(.pooler) {
      doubts.append(
        "a pooler stands beside the classifier \"\(foreignName(of: "head.weight"))\"; assumed that the classifier reads the "
          + "class token, as transformers' own do")
    }
    return doubts
  }
}
