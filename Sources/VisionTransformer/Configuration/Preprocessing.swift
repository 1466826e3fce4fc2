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
  /// What had to be assumed; nil where the checkpoint, or the architecture's name, says everything.
  let warning: String?

  /// transformers' configuration of the image processor, or timm's `pretrained_cfg` in `config.json`; without either what timm's table has for the
  /// architecture, or else what is usual with the library.
  /// - Parameters:
  ///   - architecture: the name that the user gave.
  ///   - likeness: the architecture that the tensors were found to be like.
  /// - Throws: `ModelError.preprocessing` where a file asks for something that cannot be done, `CheckpointError` where it
  ///   cannot be read.
  init(
    _ checkpoint: Checkpoint, library: NamingScheme.Library, configuration: ViTConfiguration,
    architecture: String?, likeness: TimmArchitectures.Entry?
  ) throws {
    let found: EvaluationTransform
    if let values = checkpoint.preprocessorConfiguration {
      found = try Self.reading(checkpoint.preprocessorConfigurationPath) {
        try EvaluationTransform(huggingFace: Self.decode(values))
      }
      warning = nil
    } else if let values = Self.timmConfiguration(checkpoint) {
      found = try Self.reading(checkpoint.configurationPath) { try Self.transform(values) }
      warning = nil
    } else {
      // Who names the architecture means its preprocessing as well, unless the library has one of its own, as CLIP does.
      let isTimm = [.timm, .dinov2, .google, .bigVision].contains(library)
      let name = architecture ?? checkpoint.configuration?["architecture"]?.string
      let entry = isTimm ? name.flatMap(TimmArchitectures.table.find) ?? likeness : nil
      let summary: String
      if let entry {
        summary = "timm's for \(entry.name)"
        found = try Self.reading(checkpoint.path) {
          try Self.transform(entry.pretrained, size: configuration.imageSize)
        }
      } else {
        let convention = Convention(library, configuration)
        summary = convention.summary
        found = try Self.reading(checkpoint.path) { try convention.transform(configuration.imageSize) }
      }
      let isNamed = entry != nil && architecture != nil
      warning =
        isNamed
        ? nil
        : "\(checkpoint.path): the preprocessing is not in the checkpoint; assumed \(summary) at \(found.size) "
          + "(see --size, --crop-fraction, --crop-mode, --mean, --std, --interpolation)"
    }
    transform = try Self.reading(checkpoint.path) { try found.with(channels: configuration.inChannels) }
  }

  /// timm's `config.json` has the preprocessing under `pretrained_cfg`, in old files at the top.
  private static func timmConfiguration(_ checkpoint: Checkpoint) -> JSONValue? {
    guard let configuration = checkpoint.configuration, configuration["architecture"]?.string != nil else {
      return nil
    }
    if let nested = configuration["pretrained_cfg"], nested.object != nil { return nested }
    return configuration["input_size"] == nil ? nil : configuration
  }

  private static func transform(_ values: JSONValue, size: ImageSize? = nil) throws -> EvaluationTransform {
    var configuration: TimmPretrainedConfiguration = try decode(values)
    if let size { configuration.inputSize = [3, size.height, size.width] }
    return try EvaluationTransform(timm: configuration)
  }

  private static func decode<T: Decodable>(_ values: JSONValue) throws -> T {
    try JSONDecoder().decode(T.self, from: JSONEncoder().encode(values))
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
    } catch EncodingError.invalidValue(_, let context) {
      let field = context.codingPath.map(\.stringValue).joined(separator: ".")
      throw CheckpointError.malformedJSON(path: path, reason: "\"\(field)\" is no finite number")
    }
  }
}

/// The usual preprocessing of a library's models, for checkpoints that do not bring their own.
private enum Convention {
  /// timm's default where nothing is known: bicubic, crop 0.875, mean and deviation of ImageNet.
  case timm
  /// The original ViT and big_vision, as timm runs them: bicubic, crop 0.9 (1 from 384 pixels on), mean and deviation 0.5.
  case google
  /// Shortest edge 256, crop 224, bicubic, mean and deviation of ImageNet: DINOv2's evaluation, and transformers', although the
  /// positions are for 518 pixels.
  case dinov2
  /// transformers' ViT, DeiT and SigLIP: squashed, bilinear (SigLIP: bicubic), mean and deviation 0.5.
  case huggingFace(Interpolation)
  /// torchvision's presets: bilinear at a share of the resized edge that depends on the weights, bicubic and uncropped for SWAG.
  case torchvision(cropFraction: Double, Interpolation)
  /// `pytorch_pretrained_vit`: squashed, bilinear, mean and deviation 0.5.
  case pyTorchPretrainedViT
  /// CLIP: shortest edge, bicubic, no margin, mean and deviation of its own.
  case clip
  /// CLIPA: squashed, bilinear, mean and deviation of ImageNet.
  case clipa

  init(_ library: NamingScheme.Library, _ configuration: ViTConfiguration) {
    switch library {
    case .timm: self = .timm
    case .google, .bigVision: self = .google
    case .dinov2, .huggingFaceDINOv2: self = .dinov2
    case .huggingFaceViT: self = .huggingFace(.bilinear)
    case .huggingFaceSigLIP: self = .huggingFace(.bicubic)
    case .clip where configuration.hasFeatureNorm: self = .clipa
    case .huggingFaceCLIP, .clip: self = .clip
    case .pyTorchPretrainedViT: self = .pyTorchPretrainedViT
    case .torchvision:
      let edge = configuration.imageSize.height
      // SWAG's weights are of 384 pixels and more, or of the huge model; vit_l_16 has a narrower margin than the others.
      let isSWAG = edge >= 384 || configuration.embedDim == 1280
      let isLarge = configuration.embedDim == 1024 && configuration.patchSize.height == 16
      let resized = isLarge ? 242.0 : 256.0
      self = .torchvision(cropFraction: isSWAG ? 1 : 224 / resized, isSWAG ? .bicubic : .bilinear)
    }
  }

  var summary: String {
    switch self {
    case .timm: "timm's default"
    case .google: "timm's for Google's ViT"
    case .dinov2: "transformers' for DINOv2"
    case .huggingFace: "transformers'"
    case .torchvision: "torchvision's"
    case .pyTorchPretrainedViT: "that of pytorch_pretrained_vit"
    case .clip: "CLIP's"
    case .clipa: "CLIPA's"
    }
  }

  func transform(_ size: ImageSize) throws(TransformConfigurationError) -> EvaluationTransform {
    let half = [0.5, 0.5, 0.5]
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    switch self {
    case .timm:
      return try EvaluationTransform(size: size, cropFraction: 0.875, mean: mean, std: std)
    case .google:
      let fraction = min(size.height, size.width) >= 384 ? 1 : 0.9
      return try EvaluationTransform(size: size, cropFraction: fraction, mean: half, std: half)
    case .dinov2:
      let size = size == ImageSize(518) ? ImageSize(224) : size
      return try EvaluationTransform(size: size, cropFraction: 0.875, mean: mean, std: std)
    case .huggingFace(let interpolation):
      return try EvaluationTransform(
        size: size, cropFraction: 1, cropMode: .squash, interpolation: interpolation, mean: half, std: half)
    case .torchvision(let fraction, let interpolation):
      return try EvaluationTransform(
        size: size, cropFraction: fraction, interpolation: interpolation, mean: mean, std: std)
    case .pyTorchPretrainedViT:
      return try EvaluationTransform(
        size: size, cropFraction: 1, cropMode: .squash, interpolation: .bilinear, mean: half, std: half)
    case .clipa:
      return try EvaluationTransform(
        size: size, cropFraction: 1, cropMode: .squash, interpolation: .bilinear, mean: mean, std: std)
    case .clip:
      return try EvaluationTransform(
        size: size, cropFraction: 1, mean: [0.48145466, 0.4578275, 0.40821073],
        std: [0.26862954, 0.26130258, 0.27577711])
    }
  }
}
