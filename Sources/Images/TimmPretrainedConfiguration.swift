/// The preprocessing part of a timm checkpoint's `pretrained_cfg`.
///
/// Every field is optional; ``EvaluationTransform/init(timm:)`` fills the gaps as timm's
/// `resolve_data_config`.
public struct TimmPretrainedConfiguration: Sendable, Equatable, Codable {
  /// Channels, height, width.
  public var inputSize: [Int]?
  /// Name of a filter.
  public var interpolation: String?
  /// size / resized size.
  public var cropFraction: Double?
  /// Name of a ``CropMode``.
  public var cropMode: String?
  /// One number a channel, in units of bytes / 255.
  public var mean: [Double]?
  /// One number a channel, above zero.
  public var std: [Double]?

  enum CodingKeys: String, CodingKey {
    case inputSize = "input_size"
    case interpolation
    case cropFraction = "crop_pct"
    case cropMode = "crop_mode"
    case mean
    case std
  }

  public init(
    inputSize: [Int]? = nil, interpolation: String? = nil, cropFraction: Double? = nil,
    cropMode: String? = nil,
    mean: [Double]? = nil, std: [Double]? = nil
  ) {
    self.inputSize = inputSize
    self.interpolation = interpolation
    self.cropFraction = cropFraction
    self.cropMode = cropMode
    self.mean = mean
    self.std = std
  }

  /// Other fields of the file are ignored.
  ///
  /// - Throws: ``TransformConfigurationError`` for a field of the wrong type.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    self.init(
      inputSize: try container.integers(.inputSize),
      interpolation: try container.text(.interpolation),
      cropFraction: try container.number(.cropFraction),
      cropMode: try container.text(.cropMode),
      mean: try container.numbers(.mean),
      std: try container.numbers(.std))
  }
}

extension EvaluationTransform {
  /// What timm does with images of a checkpoint's configuration.
  ///
  /// Missing, null and empty fields, and a crop fraction of 0, take timm's defaults: 224 pixels, bicubic,
  /// crop 0.875 of the centre, mean and deviation of ImageNet.
  ///
  /// - Throws: ``TransformConfigurationError`` for values that timm would refuse or misunderstand.
  public init(timm configuration: TimmPretrainedConfiguration) throws(TransformConfigurationError) {
    let inputSize = configuration.inputSize ?? [3, 224, 224]
    guard inputSize.count == 3, inputSize[0] == 3 || inputSize[0] == 1 else {
      throw TransformConfigurationError(
        field: "input_size", value: "\(inputSize)",
        requirement: "[3, height, width], or [1, height, width] for grey")
    }
    func given<Value: Collection>(_ value: Value?) -> Value? { value.flatMap { $0.isEmpty ? nil : $0 } }
    let fraction = configuration.cropFraction ?? 0
    try self.init(
      size: ImageSize(height: inputSize[1], width: inputSize[2]),
      cropFraction: fraction == 0 ? 0.875 : fraction,
      cropMode: TransformCheck.oneOf(given(configuration.cropMode) ?? "center", field: "crop_mode"),
      interpolation: TransformCheck.oneOf(
        given(configuration.interpolation) ?? "bicubic", field: "interpolation"),
      mean: Self.channels(given(configuration.mean)) ?? [0.485, 0.456, 0.406],
      std: Self.channels(given(configuration.std)) ?? [0.229, 0.224, 0.225])
  }

  /// One number for each of three channels; a single one, as files for grey images have it, stands for all.
  static func channels(_ values: [Double]?) -> [Double]? {
    values.map { $0.count == 1 ? Array(repeating: $0[0], count: 3) : $0 }
  }
}
