/// The defaults of transformers' image processors, as transformers 5.23 has them.
private enum ImageProcessor: String, CaseIterable {
  case vit = "ViT"
  case deit = "DeiT"
  case beit = "Beit"
  case siglip = "Siglip"
  case bit = "Bit"
  case clip = "CLIP"

  /// Finds the class that a file names, in any of the spellings that transformers has used. Files without a
  /// name are as old as the only class there was.
  init(named name: String?) throws(TransformConfigurationError) {
    guard let name else {
      self = .vit
      return
    }
    let suffixes = ["ImageProcessor", "ImageProcessorFast", "ImageProcessorPil", "FeatureExtractor"]
    for processor in Self.allCases where suffixes.contains(where: { processor.rawValue + $0 == name }) {
      self = processor
      return
    }
    let names = Self.allCases.map { $0.rawValue + "ImageProcessor" }.joined(separator: ", ")
    throw TransformConfigurationError(
      field: "image_processor_type", value: "\"\(name.prefix(60))\"", requirement: "one of \(names)")
  }

  var size: HuggingFacePreprocessorConfiguration.Size {
    switch self {
    case .vit, .beit, .siglip: .exactly(ImageSize(224))
    case .deit: .exactly(ImageSize(256))
    case .bit, .clip: .shortestEdge(224)
    }
  }

  var defaultsToSquare: Bool {
    switch self {
    case .vit, .deit, .beit: true
    case .siglip, .bit, .clip: false
    }
  }

  var interpolation: Interpolation { self == .vit ? .bilinear : .bicubic }

  var cropsCenter: Bool {
    switch self {
    case .vit, .beit, .siglip: false
    case .deit, .bit, .clip: true
    }
  }

  var mean: [Double] {
    switch self {
    case .vit, .deit, .beit, .siglip: [0.5, 0.5, 0.5]
    case .bit, .clip: [0.48145466, 0.4578275, 0.40821073]
    }
  }

  var std: [Double] {
    switch self {
    case .vit, .deit, .beit, .siglip: [0.5, 0.5, 0.5]
    case .bit, .clip: [0.26862954, 0.26130258, 0.27577711]
    }
  }
}

extension EvaluationTransform {
  /// What transformers' image processors do with images, by the PIL backend.
  ///
  /// - Throws: ``TransformConfigurationError`` for values out of range, for a class of processors whose rules
  ///   are others, and for configurations under which images keep their own shape, which a network cannot be
  ///   fed.
  public init(
    huggingFace configuration: HuggingFacePreprocessorConfiguration
  ) throws(TransformConfigurationError) {
    let processor = try ImageProcessor(named: configuration.processorType)
    guard configuration.pads != true else {
      throw TransformConfigurationError(field: "do_pad", value: "true", requirement: "false")
    }
    let resizes = configuration.resizes ?? true
    let cropsCenter = configuration.cropsCenter ?? processor.cropsCenter
    let rule =
      resizes
      ? try Self.rule(
        configuration.size ?? processor.size,
        defaultsToSquare: configuration.defaultsToSquare ?? processor.defaultsToSquare)
      : ResizeRule.none

    let size: ImageSize
    if cropsCenter {
      size = try Self.cropSize(configuration.cropSize ?? .edge(224))
    } else if case .exactly(let resized) = rule {
      try TransformCheck.size(resized, field: "size")
      size = resized
    } else {
      throw TransformConfigurationError(
        field: "do_center_crop", value: "false",
        requirement: "true, or size must give height and width, because the network is fed one shape")
    }

    let code = configuration.resample
    guard let interpolation = code.map(Interpolation.init(pillowCode:)) ?? processor.interpolation else {
      throw TransformConfigurationError(
        field: "resample", value: code.map { "\($0)" },
        requirement: "0 (nearest), 1 (lanczos), 2 (bilinear), 3 (bicubic), 4 (box) or 5 (hamming)")
    }
    let factor = configuration.rescales ?? true ? configuration.rescaleFactor ?? 1.0 / 255 : 1
    guard Float(255 * factor).isFinite, factor != 0 else {
      throw TransformConfigurationError(
        field: "rescale_factor", value: "\(factor)", requirement: "a finite number other than zero")
    }
    let normalizes = configuration.normalizes ?? true
    let mean = Self.channels(configuration.mean) ?? processor.mean
    let std = Self.channels(configuration.std) ?? processor.std
    try TransformCheck.mean(mean, field: "image_mean")
    try TransformCheck.std(std, field: "image_std")
    try self.init(
      size: size, geometry: .huggingFace(rule), interpolation: interpolation,
      scaling: .multiplied(by: factor),
      mean: normalizes ? mean : [0, 0, 0], std: normalizes ? std : [1, 1, 1])
  }

  private static func rule(
    _ size: HuggingFacePreprocessorConfiguration.Size, defaultsToSquare: Bool
  ) throws(TransformConfigurationError) -> ResizeRule {
    switch size {
    case .edge(let edge) where defaultsToSquare:
      try TransformCheck.edge(edge, field: "size")
      return .exactly(ImageSize(edge))
    case .edge(let edge), .shortestEdge(let edge):
      try TransformCheck.edge(edge, field: "size")
      return .shortestEdge(edge)
    case .exactly(let size):
      try TransformCheck.size(size, field: "size", within: TransformCheck.resizedEdges)
      return .exactly(size)
    case .shortestEdgeWithin(let shortest, let longest):
      try TransformCheck.edge(shortest, field: "size")
      try TransformCheck.edge(longest, field: "size")
      return .shortestEdgeWithin(shortest: shortest, longest: longest)
    }
  }

  private static func cropSize(
    _ size: HuggingFacePreprocessorConfiguration.Size
  ) throws(TransformConfigurationError) -> ImageSize {
    let crop: ImageSize
    switch size {
    case .edge(let edge):
      crop = ImageSize(edge)
    case .exactly(let size):
      crop = size
    case .shortestEdge, .shortestEdgeWithin:
      throw TransformConfigurationError(
        field: "crop_size", value: nil, requirement: "a number or height and width")
    }
    try TransformCheck.size(crop, field: "crop_size")
    return crop
  }
}
