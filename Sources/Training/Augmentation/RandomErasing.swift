import Images

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Rectangles of normalised pixels replaced (Zhong et al., "Random Erasing Data Augmentation", 2020): timm's `RandomErasing`.
public struct RandomErasing: Codable, Sendable, Equatable {
  public let probability: Double
  /// Share of the image's area, of all rectangles together.
  public let area: ClosedRange<Double>
  /// Height / width.
  public let aspect: ClosedRange<Double>
  public let mode: Mode
  /// Rectangles.
  public let count: ClosedRange<Int>

  /// What the pixels become.
  public enum Mode: String, CaseIterable, Codable, Sendable {
    /// Zero, which is the mean.
    case const
    /// One normally distributed number for each channel of a rectangle.
    case rand
    /// A normally distributed number for each pixel and channel.
    case pixel
  }

  enum CodingKeys: String, CodingKey, CaseIterable { case probability, area, aspect, mode, count }

  public init(
    probability: Double = 0.5, area: ClosedRange<Double> = 0.02...1 / 3,
    aspect: ClosedRange<Double> = 0.3...1 / 0.3,
    mode: Mode = .const, count: ClosedRange<Int> = 1...1
  ) throws(AugmentationError) {
    try StepCheck.probability(probability, "random_erasing.probability")
    guard area.lowerBound >= 0, area.upperBound <= 1 else {
      throw AugmentationError("random_erasing.area", area.asList, "from 0 to 1")
    }
    try StepCheck.aspect(aspect, "random_erasing.aspect")
    guard count.lowerBound >= 1, count.upperBound <= 100 else {
      throw AugmentationError("random_erasing.count", [count.lowerBound, count.upperBound], "from 1 to 100")
    }
    (self.probability, self.area, self.aspect, self.mode, self.count) = (
      probability, area, aspect, mode, count
    )
  }

  public init(from decoder: any Decoder) throws {
    let object = try StrictObject<CodingKeys>(decoder, "random_erasing")
    let area: IntervalValue? = try object.value(.area, "two numbers")
    let aspect: IntervalValue? = try object.value(.aspect, "two numbers")
    let count: IntervalValue? = try object.value(.count, "a whole number, or two")
    let counts = try count?.interval("random_erasing.count", within: 1...100) { $0...$0 } ?? 1...1
    guard let least = Int(exactly: counts.lowerBound), let most = Int(exactly: counts.upperBound) else {
      throw AugmentationError("random_erasing.count", counts.asList, "whole numbers")
    }
    try self.init(
      probability: object.value(.probability, "a number") ?? 0.5,
      area: area?.interval("random_erasing.area", within: 0...1) ?? 0.02...1 / 3,
      aspect: aspect?.interval("random_erasing.aspect", within: StepCheck.aspects) ?? 0.3...1 / 0.3,
      mode: object.value(.mode, Mode.names) ?? .const, count: least...most)
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(probability, forKey: .probability)
    try container.encode(area.asList, forKey: .area)
    try container.encode(aspect.asList, forKey: .aspect)
    try container.encode(mode, forKey: .mode)
    try container.encode([count.lowerBound, count.upperBound], forKey: .count)
  }

  /// A rectangle in pixels.
  package struct Box: Sendable, Equatable {
    package var top, left, height, width: Int

    package init(top: Int, left: Int, height: Int, width: Int) {
      (self.top, self.left, self.height, self.width) = (top, left, height, width)
    }
  }

  /// Height and width of a rectangle, as timm rounds them.
  package static func size(share: Double, aspect: Double, of size: ImageSize) -> ImageSize {
    let area = share * Double(size.height * size.width)
    return ImageSize(
      height: Int((area * aspect).squareRoot().rounded(.toNearestOrEven)),
      width: Int((area / aspect).squareRoot().rounded(.toNearestOrEven)))
  }

  /// The rectangles to replace. One that does not fit ten times is left out.
  package func choose(in size: ImageSize, random: inout CounterRandom) -> [Box] {
    guard random.happens(probability) else { return [] }
    let count = random.integer(in: self.count)
    return (0..<count).compactMap { _ in
      for _ in 0..<10 {
        let share = random.value(in: area) / Double(count)
        let ratio = exp(random.value(in: log(aspect.lowerBound)...log(aspect.upperBound)))
        let box = Self.size(share: share, aspect: ratio, of: size)
        guard box.height < size.height, box.width < size.width else { continue }
        return Box(
          top: random.index(below: size.height - box.height + 1),
          left: random.index(below: size.width - box.width + 1), height: box.height, width: box.width)
      }
      return nil
    }
  }

  /// - Parameter pixels: float32 [3, height, width], normalised.
  package func apply(
    to pixels: UnsafeMutableBufferPointer<Float>, of size: ImageSize, random: inout CounterRandom
  ) {
    for box in choose(in: size, random: &random) {
      for channel in 0..<3 {
        let color = mode == .rand ? Float(random.normal()) : 0
        for y in box.top..<box.top + box.height {
          let row = (channel * size.height + y) * size.width
          for x in box.left..<box.left + box.width {
            pixels[row + x] = mode == .pixel ? Float(random.normal()) : color
          }
        }
      }
    }
  }
}
