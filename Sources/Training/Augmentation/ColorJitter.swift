import Images

/// Brightness, contrast, saturation and hue changed by chance, in any order: torchvision's `ColorJitter`.
public struct ColorJitter: ByteStep {
  /// Factors; nil leaves the quality alone. One number x in a configuration stands for 1 - x (not below 0) to 1 + x.
  public let brightness: ClosedRange<Double>?
  public let contrast: ClosedRange<Double>?
  public let saturation: ClosedRange<Double>?
  /// Share of the circle of hues, -0.5 to 0.5; one number stands for as much to either side.
  public let hue: ClosedRange<Double>?

  enum CodingKeys: String, CodingKey, CaseIterable { case brightness, contrast, saturation, hue }

  public init(
    brightness: ClosedRange<Double>? = nil, contrast: ClosedRange<Double>? = nil,
    saturation: ClosedRange<Double>? = nil, hue: ClosedRange<Double>? = nil
  ) throws(AugmentationError) {
    for (name, interval) in [("brightness", brightness), ("contrast", contrast), ("saturation", saturation)] {
      if let interval, !(interval.lowerBound >= 0 && interval.upperBound <= Self.largestFactor) {
        throw AugmentationError("color_jitter.\(name)", interval.asList, "from 0 to \(Self.largestFactor)")
      }
    }
    if let hue, !(hue.lowerBound >= -0.5 && hue.upperBound <= 0.5) {
      throw AugmentationError("color_jitter.hue", hue.asList, "from -0.5 to 0.5")
    }
    (self.brightness, self.contrast, self.saturation, self.hue) = (brightness, contrast, saturation, hue)
  }

  private static let largestFactor = 100.0

  public init(from decoder: any Decoder) throws {
    let object = try StrictObject<CodingKeys>(decoder, "color_jitter")
    func interval(_ key: CodingKeys) throws -> ClosedRange<Double>? {
      guard let value: IntervalValue = try object.value(key, "a number, or two") else { return nil }
      let field = "color_jitter.\(key.rawValue)"
      return key == .hue
        ? try value.interval(field, within: -0.5...0.5) { -$0...$0 }
        : try value.interval(field, within: 0...Self.largestFactor) { max(1 - $0, 0)...1 + $0 }
    }
    try self.init(
      brightness: interval(.brightness), contrast: interval(.contrast), saturation: interval(.saturation),
      hue: interval(.hue))
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encodeIfPresent(brightness?.asList, forKey: .brightness)
    try container.encodeIfPresent(contrast?.asList, forKey: .contrast)
    try container.encodeIfPresent(saturation?.asList, forKey: .saturation)
    try container.encodeIfPresent(hue?.asList, forKey: .hue)
  }

  /// One of the four changes, with its factor settled.
  package enum Change: Equatable {
    case brightness(Double)
    case contrast(Double)
    case saturation(Double)
    case hue(Double)
  }

  package func choose(random: inout CounterRandom) -> [Change] {
    let changes = [
      brightness.map { Change.brightness(random.value(in: $0)) },
      contrast.map { .contrast(random.value(in: $0)) }, saturation.map { .saturation(random.value(in: $0)) },
      hue.map { .hue(random.value(in: $0)) },
    ]
    return random.shuffled(changes).compactMap(\.self)
  }

  package static func apply(_ changes: [Change], to image: Image) -> Image {
    changes.reduce(image) { image, change in
      switch change {
      case .brightness(let factor): image.withBrightness(factor)
      case .contrast(let factor): image.withContrast(factor)
      case .saturation(let factor): image.withSaturation(factor)
      case .hue(let share): image.withHue(turnedBy: share)
      }
    }
  }

  func apply(_ image: Image, target: ImageSize, random: inout CounterRandom) -> Image {
    Self.apply(choose(random: &random), to: image)
  }
}
