import Images

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Why a filter cannot resize numbers that are no bytes.
private func objection(to interpolation: Interpolation) -> String? {
  interpolation == .bilinear || interpolation == .bicubic ? nil : "bilinear or bicubic behind to_tensor"
}

/// Resizes: to the network's input whatever the aspect, or the shorter edge to a length.
public struct Resize: PictureStep {
  /// Length of the shorter edge in pixels; nil to fill the network's input.
  public let shortestEdge: Int?
  public let interpolation: Interpolation

  enum CodingKeys: String, CodingKey, CaseIterable {
    case shortestEdge = "shortest_edge"
    case interpolation
  }

  public init(shortestEdge: Int? = nil, interpolation: Interpolation = .bilinear) throws(AugmentationError) {
    if let shortestEdge, !(1...16_384).contains(shortestEdge) {
      throw AugmentationError("resize.shortest_edge", shortestEdge, "from 1 to 16384")
    }
    (self.shortestEdge, self.interpolation) = (shortestEdge, interpolation)
  }

  public init(from decoder: any Decoder) throws {
    let object = try StrictObject<CodingKeys>(decoder, "resize")
    try self.init(
      shortestEdge: object.value(.shortestEdge, "a whole number"),
      interpolation: object.value(.interpolation, Interpolation.names) ?? .bilinear)
  }

  var objectionToFloats: String? { objection(to: interpolation) }

  func apply(_ picture: Picture, target: ImageSize, random: inout CounterRandom) throws -> Picture {
    var target = target
    if let edge = shortestEdge {
      // torchvision: the longer edge in proportion, rounded down.
      let (height, width) = (picture.size.height, picture.size.width)
      let long = Int(Double(edge * max(height, width)) / Double(min(height, width)))
      target = height < width ? ImageSize(height: edge, width: long) : ImageSize(height: long, width: edge)
    }
    return try picture.resized(to: target, interpolation)
  }
}

extension Picture {
  fileprivate func resized(to target: ImageSize, _ interpolation: Interpolation) throws -> Picture {
    switch self {
    case .bytes(let image):
      .bytes(try image.resized(width: target.width, height: target.height, interpolation: interpolation))
    case .floats(let image): .floats(image.resized(to: target, interpolation: interpolation))
    }
  }
}

/// A window of the network's size anywhere in the image, which may be padded before: torchvision's `RandomCrop`.
public struct RandomCrop: ByteStep {
  /// Pixels on each side.
  public let padding: Int
  public let paddingMode: PaddingMode
  /// Red, green and blue of constant padding.
  public let fill: [UInt8]

  enum CodingKeys: String, CodingKey, CaseIterable {
    case padding
    case paddingMode = "padding_mode"
    case fill
  }

  public init(
    padding: Int = 0, paddingMode: PaddingMode = .constant, fill: [UInt8] = [0, 0, 0]
  ) throws(AugmentationError) {
    guard (0...4096).contains(padding) else {
      throw AugmentationError("random_crop.padding", padding, "from 0 to 4096")
    }
    _ = try StepCheck.fill(fill.map(Int.init), "random_crop.fill")
    (self.padding, self.paddingMode, self.fill) = (padding, paddingMode, fill)
  }

  public init(from decoder: any Decoder) throws {
    let object = try StrictObject<CodingKeys>(decoder, "random_crop")
    try self.init(
      padding: object.value(.padding, "a whole number") ?? 0,
      paddingMode: object.value(.paddingMode, "constant, edge, reflect or symmetric") ?? .constant,
      fill: StepCheck.fill(object.value(.fill, "three whole numbers") ?? [0, 0, 0], "random_crop.fill"))
  }

  func apply(_ image: Image, target: ImageSize, random: inout CounterRandom) throws -> Image {
    let (spareRows, spareColumns) = (
      image.height + 2 * padding - target.height, image.width + 2 * padding - target.width
    )
    guard spareRows >= 0, spareColumns >= 0 else {
      throw AugmentationError(
        "random_crop", "\(target) of an image of \(image.size)",
        "smaller than the padded image; put resize in front of it, or raise its padding")
    }
    let (top, left) = (random.index(below: spareRows + 1), random.index(below: spareColumns + 1))
    return try crop(image, top: top, left: left, target)
  }

  /// - Parameters:
  ///   - top: first row of the window in the padded image.
  ///   - left: first column likewise.
  package func crop(_ image: Image, top: Int, left: Int, _ size: ImageSize) throws -> Image {
    try image.cropped(
      rows: top - padding..<top - padding + size.height,
      columns: left - padding..<left - padding + size.width,
      padding: paddingMode, fill: fill)
  }
}

/// A window of any area and aspect within bounds, resized to the network's input: torchvision's `RandomResizedCrop`, timm's
/// `RandomResizedCropAndInterpolation`.
public struct RandomResizedCrop: PictureStep {
  /// Share of the image's area.
  public let scale: ClosedRange<Double>
  /// Width / height.
  public let ratio: ClosedRange<Double>
  public let interpolation: Interpolation

  enum CodingKeys: String, CodingKey, CaseIterable { case scale, ratio, interpolation }

  public init(
    scale: ClosedRange<Double> = 0.08...1, ratio: ClosedRange<Double> = 3 / 4...4 / 3,
    interpolation: Interpolation = .bilinear
  ) throws(AugmentationError) {
    guard scale.lowerBound > 0, scale.upperBound <= 1 else {
      throw AugmentationError("random_resized_crop.scale", scale.asList, "above 0 and at most 1")
    }
    try StepCheck.aspect(ratio, "random_resized_crop.ratio")
    (self.scale, self.ratio, self.interpolation) = (scale, ratio, interpolation)
  }

  public init(from decoder: any Decoder) throws {
    let object = try StrictObject<CodingKeys>(decoder, "random_resized_crop")
    let scale: IntervalValue? = try object.value(.scale, "two numbers")
    let ratio: IntervalValue? = try object.value(.ratio, "two numbers")
    try self.init(
      scale: scale?.interval("random_resized_crop.scale", within: 0...1) ?? 0.08...1,
      ratio: ratio?.interval("random_resized_crop.ratio", within: StepCheck.aspects) ?? 3 / 4...4 / 3,
      interpolation: object.value(.interpolation, Interpolation.names) ?? .bilinear)
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(scale.asList, forKey: .scale)
    try container.encode(ratio.asList, forKey: .ratio)
    try container.encode(interpolation, forKey: .interpolation)
  }

  var objectionToFloats: String? { objection(to: interpolation) }

  /// Height and width of a window of this area and aspect, as both libraries round them.
  /// - Parameter share: of the area of an image of `size`.
  package static func size(share: Double, aspect: Double, of size: ImageSize) -> ImageSize {
    let area = share * Double(size.height * size.width)
    return ImageSize(
      height: Int((area / aspect).squareRoot().rounded(.toNearestOrEven)),
      width: Int((area * aspect).squareRoot().rounded(.toNearestOrEven)))
  }

  /// Rows and columns of a window. After ten that do not fit: the largest one about the centre whose aspect is within the bounds.
  package func window(
    in size: ImageSize, random: inout CounterRandom
  ) -> (rows: Range<Int>, columns: Range<Int>) {
    for _ in 0..<10 {
      let share = random.value(in: scale)
      let aspect = exp(random.value(in: log(ratio.lowerBound)...log(ratio.upperBound)))
      let window = Self.size(share: share, aspect: aspect, of: size)
      guard (1...size.height).contains(window.height), (1...size.width).contains(window.width) else {
        continue
      }
      let top = random.index(below: size.height - window.height + 1)
      let left = random.index(below: size.width - window.width + 1)
      return (top..<top + window.height, left..<left + window.width)
    }
    return central(in: size)
  }

  package func central(in size: ImageSize) -> (rows: Range<Int>, columns: Range<Int>) {
    let aspect = Double(size.width) / Double(size.height)
    var window = size
    if aspect < ratio.lowerBound {
      window.height = Int((Double(size.width) / ratio.lowerBound).rounded(.toNearestOrEven))
    } else if aspect > ratio.upperBound {
      window.width = Int((Double(size.height) * ratio.upperBound).rounded(.toNearestOrEven))
    }
    window = ImageSize(height: max(window.height, 1), width: max(window.width, 1))
    let (top, left) = ((size.height - window.height) / 2, (size.width - window.width) / 2)
    return (top..<top + window.height, left..<left + window.width)
  }

  func apply(_ picture: Picture, target: ImageSize, random: inout CounterRandom) throws -> Picture {
    let (rows, columns) = window(in: picture.size, random: &random)
    let window: Picture =
      switch picture {
      case .bytes(let image): .bytes(try image.cropped(rows: rows, columns: columns))
      case .floats(let image): .floats(image.cropped(rows: rows, columns: columns))
      }
    return try window.resized(to: target, interpolation)
  }
}

/// Left and right exchanged, with some probability.
public struct HorizontalFlip: PictureStep {
  public let probability: Double

  enum CodingKeys: String, CodingKey, CaseIterable { case probability }

  public init(probability: Double = 0.5) throws(AugmentationError) {
    try StepCheck.probability(probability, "horizontal_flip.probability")
    self.probability = probability
  }

  public init(from decoder: any Decoder) throws {
    let object = try StrictObject<CodingKeys>(decoder, "horizontal_flip")
    try self.init(probability: object.value(.probability, "a number") ?? 0.5)
  }

  var objectionToFloats: String? { nil }

  func apply(_ picture: Picture, target: ImageSize, random: inout CounterRandom) -> Picture {
    guard random.happens(probability) else { return picture }
    return switch picture {
    case .bytes(let image): .bytes(image.mirrored())
    case .floats(let image): .floats(image.mirrored())
    }
  }
}

/// Top and bottom exchanged, with some probability.
public struct VerticalFlip: PictureStep {
  public let probability: Double

  enum CodingKeys: String, CodingKey, CaseIterable { case probability }

  public init(probability: Double = 0.5) throws(AugmentationError) {
    try StepCheck.probability(probability, "vertical_flip.probability")
    self.probability = probability
  }

  public init(from decoder: any Decoder) throws {
    let object = try StrictObject<CodingKeys>(decoder, "vertical_flip")
    try self.init(probability: object.value(.probability, "a number") ?? 0.5)
  }

  var objectionToFloats: String? { nil }

  func apply(_ picture: Picture, target: ImageSize, random: inout CounterRandom) -> Picture {
    guard random.happens(probability) else { return picture }
    return switch picture {
    case .bytes(let image): .bytes(image.flipped())
    case .floats(let image): .floats(image.flipped())
    }
  }
}

/// A turn about the centre by any angle within bounds: torchvision's `RandomRotation`.
public struct Rotation: PictureStep {
  /// Counterclockwise; one number in a configuration stands for as much to either side.
  public let degrees: ClosedRange<Double>
  public let interpolation: AffineInterpolation
  /// Red, green and blue of the corners.
  public let fill: [UInt8]

  enum CodingKeys: String, CodingKey, CaseIterable { case degrees, interpolation, fill }

  public init(
    degrees: ClosedRange<Double>, interpolation: AffineInterpolation = .nearest, fill: [UInt8] = [0, 0, 0]
  ) throws(AugmentationError) {
    guard degrees.lowerBound >= -360, degrees.upperBound <= 360 else {
      throw AugmentationError("rotation.degrees", degrees.asList, "from -360 to 360")
    }
    _ = try StepCheck.fill(fill.map(Int.init), "rotation.fill")
    (self.degrees, self.interpolation, self.fill) = (degrees, interpolation, fill)
  }

  public init(from decoder: any Decoder) throws {
    let object = try StrictObject<CodingKeys>(decoder, "rotation")
    guard let degrees: IntervalValue = try object.value(.degrees, "a number, or two") else {
      throw AugmentationError("rotation.degrees", String?.none, "there")
    }
    try self.init(
      degrees: degrees.interval("rotation.degrees", within: -360...360) { -$0...$0 },
      interpolation: object.value(.interpolation, AffineInterpolation.names) ?? .nearest,
      fill: StepCheck.fill(object.value(.fill, "three whole numbers") ?? [0, 0, 0], "rotation.fill"))
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(degrees.asList, forKey: .degrees)
    try container.encode(interpolation, forKey: .interpolation)
    try container.encode(fill, forKey: .fill)
  }

  var objectionToFloats: String? {
    interpolation == .nearest && fill == [0, 0, 0] ? nil : "nearest and black behind to_tensor"
  }

  func apply(_ picture: Picture, target: ImageSize, random: inout CounterRandom) -> Picture {
    let angle = random.value(in: degrees)
    return switch picture {
    case .bytes(let image): .bytes(image.rotated(by: angle, interpolation: interpolation, fill: fill))
    case .floats(let image): .floats(image.rotated(by: angle))
    }
  }
}

extension CaseIterable where Self: RawRepresentable<String> {
  /// The values for a message: "a, b or c".
  static var names: String {
    let names = allCases.map(\.rawValue)
    return names.count > 1
      ? names.dropLast().joined(separator: ", ") + " or " + names[names.count - 1] : names.joined()
  }
}
