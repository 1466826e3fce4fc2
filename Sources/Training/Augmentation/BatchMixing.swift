/// Mixup (Zhang et al., 2018) and CutMix (Yun et al., 2019) over a batch, by timm's rules: an image is mixed with the one at the same
/// place from the batch's other end, and both labels share the target.
public struct BatchMixing: Sendable {
  public let configuration: MixingConfiguration

  /// No mixing: one-hot targets, smoothed.
  public init() { configuration = .none }

  public init(_ configuration: MixingConfiguration) { self.configuration = configuration }

  /// How one image, or the whole batch, is mixed.
  package struct Mix: Sendable, Equatable {
    /// Share of the image itself in the target; of a box, what it leaves.
    package var lambda: Double
    /// What comes from the other image; nil where all pixels are mixed.
    package var box: RandomErasing.Box?

    package init(lambda: Double, box: RandomErasing.Box? = nil) {
      (self.lambda, self.box) = (lambda, box)
    }
  }

  /// Mixes a batch.
  /// - Parameters:
  ///   - pixels: float32 [B, 3, height, width], changed in place.
  ///   - labels: [B], within `0..<numClasses`.
  ///   - labelSmoothing: share of each target that is spread over all classes.
  ///   - seed: of the run.
  ///   - step: of the training.
  /// - Returns: targets, float32 [B, C], each row of sum 1.
  public func apply(
    pixels: UnsafeMutableBufferPointer<Float>, batch: Int, height: Int, width: Int, labels: [Int],
    numClasses: Int,
    labelSmoothing: Float, seed: UInt64, step: Int
  ) -> [Float] {
    let mixes = choose(batch: batch, height: height, width: width, seed: seed, step: step)
    mix(pixels, mixes, batch: batch, height: height, width: width)
    return targets(labels, mixes, numClasses: numClasses, labelSmoothing: Double(labelSmoothing))
  }

  // MARK: Chance

  /// One mix for the batch, or one for each image of it.
  package func choose(batch: Int, height: Int, width: Int, seed: UInt64, step: Int) -> [Mix] {
    func random(_ element: Int) -> CounterRandom {
      CounterRandom(seed: seed, stream: DataStream.mixing, position: UInt64(step), UInt64(element))
    }
    func mix(_ element: Int) -> Mix {
      var random = random(element)
      return choose(height: height, width: width, random: &random)
    }
    switch configuration.mode {
    case .batch: return [mix(0)]
    case .element: return (0..<batch).map { mix($0) }
    case .pair:
      // The middle of an odd batch has no partner.
      let pairs = (0..<batch / 2).map { mix($0) }
      return pairs + Array(repeating: Mix(lambda: 1), count: batch % 2) + pairs.reversed()
    }
  }

  private func choose(height: Int, width: Int, random: inout CounterRandom) -> Mix {
    let (mixup, cutmix) = (configuration.mixup, configuration.effectiveCutmix)
    guard mixup > 0 || cutmix > 0, random.happens(configuration.probability) else { return Mix(lambda: 1) }
    let cuts = mixup > 0 && cutmix > 0 ? random.happens(configuration.switchProbability) : cutmix > 0
    let lambda = random.beta(cuts ? cutmix : mixup)
    // What is left of single precision, as in timm.
    guard cuts, Float(lambda) != 1 else { return Mix(lambda: lambda) }
    let box =
      configuration.cutmixMinMax.map { Self.box(within: $0, height: height, width: width, &random) }
      ?? Self.box(
        lambda: lambda, centerY: random.index(below: height), centerX: random.index(below: width),
        height: height, width: width)
    guard configuration.correctsLambda || configuration.cutmixMinMax != nil else {
      return Mix(lambda: lambda, box: box)
    }
    return Mix(lambda: Self.lambda(leaving: box, height: height, width: width), box: box)
  }

  /// A box of the share 1 - lambda about a centre, cut off at the borders.
  package static func box(lambda: Double, centerY: Int, centerX: Int, height: Int, width: Int)
    -> RandomErasing.Box
  {
    let ratio = (1 - lambda).squareRoot()
    let (boxHeight, boxWidth) = (Int(Double(height) * ratio), Int(Double(width) * ratio))
    func clipped(_ value: Int, _ limit: Int) -> Int { min(max(value, 0), limit) }
    let top = clipped(centerY - boxHeight / 2, height)
    let bottom = clipped(centerY + (boxHeight + 1) / 2, height)
    let left = clipped(centerX - boxWidth / 2, width)
    let right = clipped(centerX + (boxWidth + 1) / 2, width)
    return RandomErasing.Box(top: top, left: left, height: bottom - top, width: right - left)
  }

  /// A box whose sides are shares of the image's between two bounds.
  private static func box(
    within bounds: ClosedRange<Double>, height: Int, width: Int, _ random: inout CounterRandom
  ) -> RandomErasing.Box {
    func side(_ length: Int) -> Int {
      let (least, most) = (Int(Double(length) * bounds.lowerBound), Int(Double(length) * bounds.upperBound))
      return random.integer(in: least...max(most - 1, least))
    }
    let (boxHeight, boxWidth) = (side(height), side(width))
    return RandomErasing.Box(
      top: random.index(below: height - boxHeight + 1), left: random.index(below: width - boxWidth + 1),
      height: boxHeight, width: boxWidth)
  }

  package static func lambda(leaving box: RandomErasing.Box, height: Int, width: Int) -> Double {
    1 - Double(box.height * box.width) / Double(height * width)
  }

  // MARK: Mixing

  package func mix(
    _ pixels: UnsafeMutableBufferPointer<Float>, _ mixes: [Mix], batch: Int, height: Int, width: Int
  ) {
    precondition(pixels.count == batch * 3 * height * width, "pixels are float32 [B, 3, height, width]")
    let size = 3 * height * width
    for first in 0..<(batch + 1) / 2 {
      let second = batch - 1 - first
      let (a, b) = (mixes.count == 1 ? mixes[0] : mixes[first], mixes.count == 1 ? mixes[0] : mixes[second])
      guard a.isMixing || b.isMixing else { continue }
      let (start, other) = (first * size, second * size)
      let (original, partner) = (Array(pixels[start..<start + size]), Array(pixels[other..<other + size]))
      mix(pixels, at: start, with: partner, a, height: height, width: width)
      if second != first { mix(pixels, at: other, with: original, b, height: height, width: width) }
    }
  }

  private func mix(
    _ pixels: UnsafeMutableBufferPointer<Float>, at start: Int, with partner: [Float], _ mix: Mix,
    height: Int,
    width: Int
  ) {
    guard mix.isMixing else { return }
    if let box = mix.box {
      for channel in 0..<3 {
        for y in box.top..<box.top + box.height {
          let row = (channel * height + y) * width
          for x in box.left..<box.left + box.width { pixels[start + row + x] = partner[row + x] }
        }
      }
      return
    }
    let (own, others) = shares(mix)
    for index in partner.indices {
      pixels[start + index] = pixels[start + index] * own + partner[index] * others
    }
  }

  /// The two shares in single precision; timm takes the difference from 1 before or after rounding.
  private func shares(_ mix: Mix) -> (own: Float, others: Float) {
    let own = Float(mix.lambda)
    return (own, configuration.mode == .batch ? Float(1 - mix.lambda) : 1 - own)
  }

  package func targets(_ labels: [Int], _ mixes: [Mix], numClasses: Int, labelSmoothing: Double) -> [Float] {
    let off = labelSmoothing / Double(numClasses)
    let on = Float(1 - labelSmoothing + off)
    var targets = [Float](repeating: 0, count: labels.count * numClasses)
    for (index, label) in labels.enumerated() {
      let partner = labels[labels.count - 1 - index]
      let (own, others) = shares(mixes.count == 1 ? mixes[0] : mixes[index])
      for other in 0..<numClasses {
        let (mine, theirs) = (other == label ? on : Float(off), other == partner ? on : Float(off))
        targets[index * numClasses + other] = mine * own + theirs * others
      }
    }
    return targets
  }
}

extension BatchMixing.Mix {
  fileprivate var isMixing: Bool { box != nil || Float(lambda) != 1 }
}
