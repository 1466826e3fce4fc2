import Images

/// How a policy moves pixels.
public struct PolicyMovement: Sendable, Equatable {
  public var interpolation: AffineInterpolation
  /// Red, green and blue of what comes from outside.
  public var fill: [UInt8]

  public init(interpolation: AffineInterpolation = .nearest, fill: [UInt8] = [0, 0, 0]) {
    (self.interpolation, self.fill) = (interpolation, fill)
  }

  fileprivate func apply(_ operations: [PixelOperation], to image: Image) -> Image {
    operations.reduce(image) { $0.applying($1, interpolation: interpolation, fill: fill) }
  }

  fileprivate init(_ interpolation: AffineInterpolation?, _ fill: [Int]?, _ owner: String) throws {
    self.init(
      interpolation: interpolation ?? .nearest, fill: try StepCheck.fill(fill ?? [0, 0, 0], "\(owner).fill"))
  }
}

private enum PolicyCheck {
  static func bins(_ bins: Int, _ field: String) throws(AugmentationError) {
    guard (2...1000).contains(bins) else { throw AugmentationError(field, bins, "from 2 to 1000") }
  }
}

/// One of the policies that were searched for on a data set (Cubuk et al., "AutoAugment: Learning Augmentation Policies from Data", 2019):
/// torchvision's `AutoAugment`.
public struct AutoAugment: ByteStep {
  public let policy: AutoAugmentPolicy
  public let movement: PolicyMovement

  enum CodingKeys: String, CodingKey, CaseIterable { case policy, interpolation, fill }

  public init(policy: AutoAugmentPolicy, movement: PolicyMovement = PolicyMovement()) {
    (self.policy, self.movement) = (policy, movement)
  }

  public init(from decoder: any Decoder) throws {
    let object = try StrictObject<CodingKeys>(decoder, "auto_augment")
    guard let policy: AutoAugmentPolicy = try object.value(.policy, AutoAugmentPolicy.names) else {
      throw AugmentationError("auto_augment.policy", String?.none, AutoAugmentPolicy.names)
    }
    self.init(
      policy: policy,
      movement: try PolicyMovement(
        object.value(.interpolation, AffineInterpolation.names), object.value(.fill, "three whole numbers"),
        "auto_augment"))
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(policy, forKey: .policy)
    try container.encode(movement.interpolation, forKey: .interpolation)
    try container.encode(movement.fill, forKey: .fill)
  }

  /// Magnitudes that the policies count in.
  package static let bins = 10

  /// The operations of a sub-policy.
  /// - Parameters:
  ///   - chances: in 0..<1, one an operation; it is applied where its own probability is not smaller.
  ///   - areNegative: the signs, likewise.
  package func operations(
    _ subPolicy: Int, chances: [Double], areNegative: [Bool], size: ImageSize
  ) -> [PixelOperation] {
    policy.subPolicies[subPolicy].enumerated().compactMap { index, choice in
      guard chances[index] <= choice.probability else { return nil }
      let magnitudes = MagnitudeTable.usual(size).magnitudes(of: choice.operation, bins: Self.bins)
      let magnitude = choice.magnitude.flatMap { magnitudes?[$0] }
      return choice.operation.settled(magnitude, isNegative: areNegative[index])
    }
  }

  package func choose(size: ImageSize, random: inout CounterRandom) -> [PixelOperation] {
    let subPolicy = random.index(below: policy.subPolicies.count)
    let chances = [random.unit(), random.unit()]
    let signs = [random.happens(0.5), random.happens(0.5)]
    return operations(subPolicy, chances: chances, areNegative: signs, size: size)
  }

  package func apply(_ operations: [PixelOperation], to image: Image) -> Image {
    movement.apply(operations, to: image)
  }

  func apply(_ image: Image, target: ImageSize, random: inout CounterRandom) -> Image {
    apply(choose(size: image.size, random: &random), to: image)
  }
}

/// Operations drawn by lot, all at one magnitude (Cubuk et al., "RandAugment", 2020): torchvision's `RandAugment`.
public struct RandAugment: ByteStep {
  /// Operations for each image.
  public let operations: Int
  /// Which of the magnitudes, from 0.
  public let magnitude: Int
  /// Magnitudes to choose from.
  public let bins: Int
  public let movement: PolicyMovement

  enum CodingKeys: String, CodingKey, CaseIterable { case operations, magnitude, bins, interpolation, fill }

  public init(
    operations: Int = 2, magnitude: Int = 9, bins: Int = 31, movement: PolicyMovement = PolicyMovement()
  ) throws(AugmentationError) {
    guard (0...64).contains(operations) else {
      throw AugmentationError("rand_augment.operations", operations, "from 0 to 64")
    }
    try PolicyCheck.bins(bins, "rand_augment.bins")
    guard (0..<bins).contains(magnitude) else {
      throw AugmentationError(
        "rand_augment.magnitude", magnitude, "from 0 to \(bins - 1), one of the \(bins) bins")
    }
    (self.operations, self.magnitude, self.bins, self.movement) = (operations, magnitude, bins, movement)
  }

  public init(from decoder: any Decoder) throws {
    let object = try StrictObject<CodingKeys>(decoder, "rand_augment")
    try self.init(
      operations: object.value(.operations, "a whole number") ?? 2,
      magnitude: object.value(.magnitude, "a whole number") ?? 9,
      bins: object.value(.bins, "a whole number") ?? 31,
      movement: PolicyMovement(
        object.value(.interpolation, AffineInterpolation.names), object.value(.fill, "three whole numbers"),
        "rand_augment"))
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(operations, forKey: .operations)
    try container.encode(magnitude, forKey: .magnitude)
    try container.encode(bins, forKey: .bins)
    try container.encode(movement.interpolation, forKey: .interpolation)
    try container.encode(movement.fill, forKey: .fill)
  }

  package func choose(size: ImageSize, random: inout CounterRandom) -> [PixelOperation] {
    (0..<operations).map { _ in
      let operation = PolicyOperation.drawn[random.index(below: PolicyOperation.drawn.count)]
      let isNegative = random.happens(0.5)
      return settled(operation, isNegative: isNegative, size: size)
    }
  }

  package func settled(_ operation: PolicyOperation, isNegative: Bool, size: ImageSize) -> PixelOperation {
    let magnitudes = MagnitudeTable.usual(size).magnitudes(of: operation, bins: bins)
    return operation.settled(magnitudes?[magnitude], isNegative: isNegative)
  }

  func apply(_ image: Image, target: ImageSize, random: inout CounterRandom) -> Image {
    movement.apply(choose(size: image.size, random: &random), to: image)
  }
}

/// One operation drawn by lot, at a magnitude drawn by lot (Müller and Hutter, "TrivialAugment", 2021): torchvision's
/// `TrivialAugmentWide`.
public struct TrivialAugment: ByteStep {
  /// Magnitudes to choose from.
  public let bins: Int
  public let movement: PolicyMovement

  enum CodingKeys: String, CodingKey, CaseIterable { case bins, interpolation, fill }

  public init(bins: Int = 31, movement: PolicyMovement = PolicyMovement()) throws(AugmentationError) {
    try PolicyCheck.bins(bins, "trivial_augment.bins")
    (self.bins, self.movement) = (bins, movement)
  }

  public init(from decoder: any Decoder) throws {
    let object = try StrictObject<CodingKeys>(decoder, "trivial_augment")
    try self.init(
      bins: object.value(.bins, "a whole number") ?? 31,
      movement: PolicyMovement(
        object.value(.interpolation, AffineInterpolation.names), object.value(.fill, "three whole numbers"),
        "trivial_augment"))
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(bins, forKey: .bins)
    try container.encode(movement.interpolation, forKey: .interpolation)
    try container.encode(movement.fill, forKey: .fill)
  }

  package func choose(random: inout CounterRandom) -> PixelOperation {
    let operation = PolicyOperation.drawn[random.index(below: PolicyOperation.drawn.count)]
    let magnitude = random.index(below: bins)
    let isNegative = random.happens(0.5)
    let magnitudes = MagnitudeTable.wide.magnitudes(of: operation, bins: bins)
    return operation.settled(magnitudes?[magnitude], isNegative: isNegative)
  }

  func apply(_ image: Image, target: ImageSize, random: inout CounterRandom) -> Image {
    movement.apply([choose(random: &random)], to: image)
  }
}
