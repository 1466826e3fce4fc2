import Checkpoints
import Images
import SystemPackage

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Finds the preprocessing that belongs to a checkpoint.
struct Preprocessing {
  let transform: EvaluationTransform
  /// What had to be assumed; nil where the checkpoint says everything.
  let warning: String?

  /// timm's `pretrained_cfg` in `config.json`, or transformers' `preprocessor_config.json`; without either, the usual one of the
  /// family, with a warning.
  /// - Throws: `ModelError.preprocessing` where a file asks for something that cannot be done, `CheckpointError` where it
  ///   cannot be read.
  init(
    _ checkpoint: Checkpoint, library: NamingScheme.Library, configuration: ViTConfiguration,
    architecture: String?
  ) throws {
    if let file = checkpoint.preprocessorConfiguration {
      let path = checkpoint.preprocessorConfigurationPath
      transform = try Self.reading(path) {
        try EvaluationTransform(
          huggingFace: JSONDecoder().decode(HuggingFacePreprocessorConfiguration.self, from: file))
      }
      warning = nil
    } else if let file = checkpoint.configurationData, Self.holdsTimmConfiguration(checkpoint) {
      transform = try Self.reading(checkpoint.configurationPath) {
        try EvaluationTransform(timm: JSONDecoder().decode(TimmFile.self, from: file).configuration)
      }
      warning = nil
    } else {
      let name = architecture ?? checkpoint.configuration?["architecture"]?.string
      let family = Family(architecture: name, library: library)
      transform = try Self.reading(checkpoint.path) { try family.transform(size: configuration.imageSize) }
      warning =
        "\(checkpoint.path): the preprocessing is not in the checkpoint; assumed \(family.summary) at "
        + "\(transform.size.height)x\(transform.size.width) (see --size, --crop-fraction, --mean, --std, --interpolation)"
    }
  }

  /// timm's `config.json`: the configuration under `pretrained_cfg`, in old files at the top.
  private struct TimmFile: Decodable {
    let configuration: TimmPretrainedConfiguration

    private enum CodingKeys: String, CodingKey {
      case nested = "pretrained_cfg"
    }

    init(from decoder: any Decoder) throws {
      let nested = try decoder.container(keyedBy: CodingKeys.self)
      configuration =
        try nested.decodeIfPresent(TimmPretrainedConfiguration.self, forKey: .nested)
        ?? TimmPretrainedConfiguration(from: decoder)
    }
  }

  private static func holdsTimmConfiguration(_ checkpoint: Checkpoint) -> Bool {
    guard let configuration = checkpoint.configuration, configuration["architecture"]?.string != nil else {
      return false
    }
    return configuration["pretrained_cfg"]?.object != nil || configuration["input_size"] != nil
  }

  private static func reading(_ path: FilePath, _ body: () throws -> EvaluationTransform) throws
    -> EvaluationTransform
  {
    do {
      return try body()
    } catch let error as TransformConfigurationError {
      throw ModelError.preprocessing(path: path, error)
    } catch let error as DecodingError {
      throw CheckpointError.malformedJSON(path: path, reason: "not as expected: \(error)")
    }
  }
}

/// The usual preprocessing of a family of models, for checkpoints that do not bring their own.
private enum Family {
  /// timm's ViT: bicubic, crop 0.9 (1 from 384 pixels on), mean and deviation 0.5.
  case augReg
  /// timm's DeiT, DINO, MAE and DINOv2: bicubic, crop 0.9 (1 from 384 pixels on), mean and deviation of ImageNet.
  case imageNet
  /// transformers' ViT and DeiT: their image processors' defaults at the model's size.
  case huggingFaceViT
  /// transformers' DINOv2: shortest edge 256, crop 224, bicubic, mean and deviation of ImageNet.
  case huggingFaceDINOv2
  /// timm's default where nothing is known: bicubic, crop 0.875, mean and deviation of ImageNet.
  case unknown

  init(architecture: String?, library: NamingScheme.Library) {
    if let architecture, library == .timm {
      let words = Set(architecture.split { $0 == "_" || $0 == "." })
      let isImageNet = !words.isDisjoint(with: ["deit", "deit3", "dino", "dinov2", "mae"])
      self = isImageNet ? .imageNet : .augReg
    } else {
      switch library {
      case .huggingFaceViT: self = .huggingFaceViT
      case .huggingFaceDINOv2: self = .huggingFaceDINOv2
      case .timm: self = .unknown
      }
    }
  }

  var summary: String {
    switch self {
    case .augReg: "timm's for ViT"
    case .imageNet: "timm's for DeiT and DINO"
    case .huggingFaceViT: "transformers' for ViT"
    case .huggingFaceDINOv2: "transformers' for DINOv2"
    case .unknown: "timm's default"
    }
  }

  func transform(size: ImageSize) throws(TransformConfigurationError) -> EvaluationTransform {
    let half = [0.5, 0.5, 0.5]
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    let fraction = min(size.height, size.width) >= 384 ? 1 : 0.9
    switch self {
    case .augReg:
      return try EvaluationTransform(
        size: size, cropFraction: fraction, cropMode: .center, interpolation: .bicubic, mean: half, std: half)
    case .imageNet:
      return try EvaluationTransform(
        size: size, cropFraction: fraction, cropMode: .center, interpolation: .bicubic, mean: mean, std: std)
    case .huggingFaceViT:
      return try EvaluationTransform(
        size: size, cropFraction: 1, cropMode: .squash, interpolation: .bilinear, mean: half, std: half)
    case .huggingFaceDINOv2:
      return try EvaluationTransform(
        size: ImageSize(224), cropFraction: 0.875, cropMode: .center, interpolation: .bicubic, mean: mean,
        std: std)
    case .unknown:
      return try EvaluationTransform(
        size: size, cropFraction: 0.875, cropMode: .center, interpolation: .bicubic, mean: mean, std: std)
    }
  }
}
