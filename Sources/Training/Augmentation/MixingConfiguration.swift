/// When and how batches are mixed: the settings of timm's `Mixup`.
public struct MixingConfiguration: Codable, Sendable, Equatable {
  /// Mixup's alpha; 0 for no Mixup.
  public let mixup: Double
  /// CutMix's alpha; 0 for no CutMix.
  public let cutmix: Double
  /// Bounds of a box's sides as shares of the image's, instead of CutMix's own rule; nil for that.
  public let cutmixMinMax: ClosedRange<Double>?
  /// Probability that a batch, pair or image is mixed at all.
  public let probability: Double
  /// Probability of CutMix where there are both.
  public let switchProbability: Double
  public let mode: Mode
  /// Whether targets go by what is left of a box at the image's border.
  public let correctsLambda: Bool

  /// What is mixed alike.
  public enum Mode: String, CaseIterable, Codable, Sendable {
    case batch
    /// The two images that are mixed with each other.
    case pair
    case element = "elem"
  }

  enum CodingKeys: String, CodingKey, CaseIterable {
    case mixup, cutmix
    case cutmixMinMax = "cutmix_minmax"
    case probability
    case switchProbability = "switch_probability"
    case mode
    case correctsLambda = "correct_lambda"
  }

  /// No mixing.
  public static let none = MixingConfiguration()

  private init() {
    (mixup, cutmix, cutmixMinMax, probability, switchProbability) = (0, 0, nil, 1, 0.5)
    (mode, correctsLambda) = (.batch, true)
  }

  public init(
    mixup: Double = 0, cutmix: Double = 0, cutmixMinMax: ClosedRange<Double>? = nil, probability: Double = 1,
    switchProbability: Double = 0.5, mode: Mode = .batch, correctsLambda: Bool = true
  ) throws(AugmentationError) {
    for (alpha, field) in [(mixup, "mixing.mixup"), (cutmix, "mixing.cutmix")] {
      guard (0...1000).contains(alpha) else { throw AugmentationError(field, alpha, "from 0 to 1000") }
    }
    if let bounds = cutmixMinMax, !(bounds.lowerBound >= 0 && bounds.upperBound <= 1) {
      throw AugmentationError("mixing.cutmix_minmax", bounds.asList, "from 0 to 1")
    }
    try StepCheck.probability(probability, "mixing.probability")
    try StepCheck.probability(switchProbability, "mixing.switch_probability")
    (self.mixup, self.cutmix, self.cutmixMinMax) = (mixup, cutmix, cutmixMinMax)
    (self.probability, self.switchProbability) = (probability, switchProbability)
    (self.mode, self.correctsLambda) = (mode, correctsLambda)
  }

  public init(from decoder: any Decoder) throws {
    let object = try StrictObject<CodingKeys>(decoder, "mixing")
    let bounds: IntervalValue? = try object.value(.cutmixMinMax, "two numbers")
    try self.init(
      mixup: object.value(.mixup, "a number") ?? 0, cutmix: object.value(.cutmix, "a number") ?? 0,
      cutmixMinMax: bounds?.interval("mixing.cutmix_minmax", within: 0...1),
      probability: object.value(.probability, "a number") ?? 1,
      switchProbability: object.value(.switchProbability, "a number") ?? 0.5,
      mode: object.value(.mode, Mode.names) ?? .batch,
      correctsLambda: object.value(.correctsLambda, "true or false") ?? true)
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(mixup, forKey: .mixup)
    try container.encode(cutmix, forKey: .cutmix)
    try container.encodeIfPresent(cutmixMinMax?.asList, forKey: .cutmixMinMax)
    try container.encode(probability, forKey: .probability)
    try container.encode(switchProbability, forKey: .switchProbability)
    try container.encode(mode, forKey: .mode)
    try container.encode(correctsLambda, forKey: .correctsLambda)
  }

  /// timm's rule: bounds ask for CutMix with an alpha of 1.
  var effectiveCutmix: Double { cutmixMinMax == nil ? cutmix : 1 }
}
