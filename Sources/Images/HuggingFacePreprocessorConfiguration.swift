/// transformers' `preprocessor_config.json`, as far as it concerns classification and embedding.
///
/// Every field is optional; ``EvaluationTransform/init(huggingFace:)`` fills the gaps with the defaults of
/// the class that the file names.
public struct HuggingFacePreprocessorConfiguration: Sendable, Equatable, Codable {
  /// `size` and `crop_size`: one number, a list [height, width], or edges by name.
  public enum Size: Sendable, Equatable {
    /// A square or a shortest edge, depending on the class.
    case edge(Int)
    case exactly(ImageSize)
    case shortestEdge(Int)
    case shortestEdgeWithin(shortest: Int, longest: Int)
  }

  /// `image_processor_type`, or `feature_extractor_type` in old files.
  public var processorType: String?
  public var resizes: Bool?
  public var size: Size?
  /// Whether a single number under `size` means a square and not a shortest edge.
  public var defaultsToSquare: Bool?
  /// One of Pillow's numbers.
  public var resample: Int?
  public var cropsCenter: Bool?
  public var cropSize: Size?
  public var rescales: Bool?
  public var rescaleFactor: Double?
  public var normalizes: Bool?
  /// One number a channel.
  public var mean: [Double]?
  /// One number a channel, above zero.
  public var std: [Double]?
  public var pads: Bool?

  enum CodingKeys: String, CodingKey {
    case processorType = "image_processor_type"
    case featureExtractorType = "feature_extractor_type"
    case resizes = "do_resize"
    case size
    case defaultsToSquare = "default_to_square"
    case resample
    case cropsCenter = "do_center_crop"
    case cropSize = "crop_size"
    case rescales = "do_rescale"
    case rescaleFactor = "rescale_factor"
    case normalizes = "do_normalize"
    case mean = "image_mean"
    case std = "image_std"
    case pads = "do_pad"
  }

  public init() {}

  /// Other fields of the file are ignored.
  ///
  /// - Throws: ``TransformConfigurationError`` for a field of the wrong type.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    processorType = try container.text(.processorType) ?? container.text(.featureExtractorType)
    resizes = try container.flag(.resizes)
    size = try Self.size(container, .size)
    defaultsToSquare = try container.flag(.defaultsToSquare)
    resample = try container.integer(.resample)
    cropsCenter = try container.flag(.cropsCenter)
    cropSize = try Self.size(container, .cropSize)
    rescales = try container.flag(.rescales)
    rescaleFactor = try container.number(.rescaleFactor)
    normalizes = try container.flag(.normalizes)
    mean = try container.channels(.mean)
    std = try container.channels(.std)
    pads = try container.flag(.pads)
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encodeIfPresent(processorType, forKey: .processorType)
    try container.encodeIfPresent(resizes, forKey: .resizes)
    try Self.encode(size, .size, into: &container)
    try container.encodeIfPresent(defaultsToSquare, forKey: .defaultsToSquare)
    try container.encodeIfPresent(resample, forKey: .resample)
    try container.encodeIfPresent(cropsCenter, forKey: .cropsCenter)
    try Self.encode(cropSize, .cropSize, into: &container)
    try container.encodeIfPresent(rescales, forKey: .rescales)
    try container.encodeIfPresent(rescaleFactor, forKey: .rescaleFactor)
    try container.encodeIfPresent(normalizes, forKey: .normalizes)
    try container.encodeIfPresent(mean, forKey: .mean)
    try container.encodeIfPresent(std, forKey: .std)
    try container.encodeIfPresent(pads, forKey: .pads)
  }

  // MARK: Sizes

  private enum EdgeKeys: String, CodingKey, CaseIterable {
    case height, width
    case shortest = "shortest_edge"
    case longest = "longest_edge"
    case maxHeight = "max_height"
    case maxWidth = "max_width"
    case minPixels = "min_pixels"
    case maxPixels = "max_pixels"
  }

  private static func size(
    _ container: KeyedDecodingContainer<CodingKeys>, _ key: CodingKeys
  ) throws -> Size? {
    guard container.contains(key), try !container.decodeNil(forKey: key) else { return nil }
    let field = key.stringValue
    if let number = try? container.decode(Double.self, forKey: key) {
      return .edge(try KeyedDecodingContainer<CodingKeys>.integer(number, field: field))
    }
    if let list = try? container.decode([Double].self, forKey: key), list.count == 2 {
      let edges = try list.map { try KeyedDecodingContainer<CodingKeys>.integer($0, field: field) }
      return .exactly(ImageSize(height: edges[0], width: edges[1]))
    }
    if let edges = try? container.nestedContainer(keyedBy: EdgeKeys.self, forKey: key) {
      var values: [EdgeKeys: Int] = [:]
      for key in EdgeKeys.allCases { values[key] = try edges.integer(key) }
      switch (values.count, values[.height], values[.width], values[.shortest], values[.longest]) {
      case (2, let height?, let width?, nil, nil):
        return .exactly(ImageSize(height: height, width: width))
      case (1, nil, nil, let shortest?, nil):
        return .shortestEdge(shortest)
      case (2, nil, nil, let shortest?, let longest?):
        return .shortestEdgeWithin(shortest: shortest, longest: longest)
      default:
        break
      }
    }
    throw TransformConfigurationError(
      field: field, value: nil,
      requirement:
        "a number, [height, width], or height and width, shortest_edge, or shortest_edge and longest_edge")
  }

  private static func encode(
    _ size: Size?, _ key: CodingKeys, into container: inout KeyedEncodingContainer<CodingKeys>
  ) throws {
    switch size {
    case nil:
      break
    case .edge(let edge):
      try container.encode(edge, forKey: key)
    case .exactly(let size):
      var edges = container.nestedContainer(keyedBy: EdgeKeys.self, forKey: key)
      try edges.encode(size.height, forKey: .height)
      try edges.encode(size.width, forKey: .width)
    case .shortestEdge(let edge):
      var edges = container.nestedContainer(keyedBy: EdgeKeys.self, forKey: key)
      try edges.encode(edge, forKey: .shortest)
    case .shortestEdgeWithin(let shortest, let longest):
      var edges = container.nestedContainer(keyedBy: EdgeKeys.self, forKey: key)
      try edges.encode(shortest, forKey: .shortest)
      try edges.encode(longest, forKey: .longest)
    }
  }
}
