import Images
import TestSupport
import Testing
import Training

/// Mixup, CutMix and random erasing against timm's.
@Suite struct MixingTests {
  private struct Mix: Decodable {
    let lambda: Double
    let box: [Int]?

    var value: BatchMixing.Mix {
      .init(lambda: lambda, box: box.map { .init(top: $0[0], left: $0[1], height: $0[2], width: $0[3]) })
    }
  }

  private struct Case: Decodable {
    let result, pixels, targets, mode: String
    let smoothing: Double
    let labels: [Int]
    let mixes: [Mix]
  }

  private struct Box: Decodable {
    let size, box: [Int]
    let center: [Int]?
    let lambda, share, aspect: Double?
  }

  @Test func batchesOfGivenMixes() throws {
    let fixture = try AugmentationFixture("mixing")
    let cases = try fixture.cases(Case.self)
    #expect(cases.count == 18)
    for test in cases {
      let configuration = try MixingConfiguration(mode: #require(.init(rawValue: test.mode)))
      let mixing = BatchMixing(configuration)
      var (shape, pixels) = try fixture.floats(test.pixels)
      let mixes = test.mixes.map(\.value)
      pixels.withUnsafeMutableBufferPointer {
        mixing.mix($0, mixes, batch: shape[0], height: shape[2], width: shape[3])
      }
      #expect(pixels == (try fixture.floats(test.result).values), "\(test.mode) \(test.mixes)")
      let targets = mixing.targets(test.labels, mixes, numClasses: 5, labelSmoothing: test.smoothing)
      #expect(targets == (try fixture.floats(test.targets).values), "\(test.mode) \(test.mixes)")
    }
    for test in try fixture.metadata("boxes", as: [Box].self) {
      let (lambda, center) = (try #require(test.lambda), try #require(test.center))
      let box = BatchMixing.box(
        lambda: lambda, centerY: center[0], centerX: center[1], height: test.size[0], width: test.size[1])
      #expect([box.top, box.left, box.height, box.width] == test.box)
    }
    for test in try fixture.metadata("erasures", as: [Box].self) {
      let size = ImageSize(height: test.size[0], width: test.size[1])
      let box = RandomErasing.size(
        share: try #require(test.share), aspect: try #require(test.aspect), of: size)
      #expect([box.height, box.width] == Array(test.box[2...]))
    }
  }

  /// `apply` as the training calls it.
  private func apply(_ configuration: MixingConfiguration, step: Int, batch: Int = 5) -> ([Float], [Float]) {
    let (height, width) = (4, 6)
    // Each image has one number, so that shares can be read off its pixels.
    var pixels = (0..<batch).flatMap { image in
      [Float](repeating: Float(image * image), count: 3 * height * width)
    }
    let targets = pixels.withUnsafeMutableBufferPointer {
      BatchMixing(configuration).apply(
        pixels: $0, batch: batch, height: height, width: width, labels: Array(0..<batch), numClasses: batch,
        labelSmoothing: 0.1, seed: 9, step: step)
    }
    return (pixels, targets)
  }

  @Test func withoutMixing() {
    let (pixels, targets) = apply(.none, step: 0)
    #expect(pixels[72 * 3] == 9)
    for index in targets.indices {
      #expect(abs(targets[index] - (index / 5 == index % 5 ? 0.92 : 0.02)) < 1e-6)
    }
  }

  @Test(arguments: MixingConfiguration.Mode.allCases)
  func targetsGoByPixels(_ mode: MixingConfiguration.Mode) throws {
    let configuration = try MixingConfiguration(mixup: 0.8, cutmix: 1, mode: mode)
    var mixed = 0
    for step in 0..<200 {
      let (pixels, targets) = apply(configuration, step: step)
      #expect(apply(configuration, step: step) == (pixels, targets))
      for image in 0..<5 {
        let row = targets[image * 5..<image * 5 + 5]
        #expect(abs(row.reduce(0, +) - 1) < 1e-5)
        let partner = 4 - image
        let mean = pixels[image * 72..<image * 72 + 72].reduce(0, +) / 72
        // The share of the image itself, from its pixels and from its target.
        guard partner != image else { continue }
        let own = (mean - Float(partner * partner)) / Float(image * image - partner * partner)
        #expect(abs(own - (row[image * 5 + image] - 0.02) / 0.9) < 1e-4, "\(mode) \(step) \(image)")
        if own < 0.99 { mixed += 1 }
      }
    }
    #expect(mixed > 500)
  }

  @Test func choicesFollowTheirProbabilities() throws {
    func choices(_ configuration: MixingConfiguration) -> [BatchMixing.Mix] {
      (0..<4000).map {
        BatchMixing(configuration).choose(batch: 2, height: 32, width: 32, seed: 3, step: $0)[0]
      }
    }
    let both = choices(
      try MixingConfiguration(mixup: 0.3, cutmix: 1, probability: 0.8, switchProbability: 0.25))
    let cuts = both.count { $0.box != nil }
    let untouched = both.count { $0.box == nil && $0.lambda == 1 }
    #expect(abs(cuts - 800) < 120 && abs(untouched - 800) < 120)
    // Beta(0.3, 0.3): mean 1/2, variance 1 / (4 (2 alpha + 1)).
    let mixup = choices(try MixingConfiguration(mixup: 0.3)).map(\.lambda)
    #expect(mixup.allSatisfy { (0...1).contains($0) })
    let mean = mixup.reduce(0, +) / 4000
    let variance = mixup.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 4000
    #expect(abs(mean - 0.5) < 0.025 && abs(variance - 0.15625) < 0.008)
    for mix in choices(try MixingConfiguration(cutmix: 1)) {
      guard let box = mix.box else { continue }
      #expect(box.top >= 0 && box.left >= 0 && box.top + box.height <= 32 && box.left + box.width <= 32)
      #expect(mix.lambda == 1 - Double(box.height * box.width) / 1024)
    }
    let bounded = choices(try MixingConfiguration(cutmixMinMax: 0.25...0.75)).compactMap(\.box)
    #expect(
      bounded.count == 4000
        && bounded.allSatisfy { (8..<24).contains($0.height) && (8..<24).contains($0.width) })
    #expect(Set(bounded.map(\.height)).count == 16)
  }

  @Test func erasing() throws {
    let size = ImageSize(height: 24, width: 20)
    func erased(_ erasing: RandomErasing, seed: UInt64) -> [Float] {
      var pixels = [Float](repeating: 7, count: 3 * 24 * 20)
      var random = CounterRandom(seed: seed, stream: 4)
      pixels.withUnsafeMutableBufferPointer { erasing.apply(to: $0, of: size, random: &random) }
      return pixels
    }
    let shares = try (0..<2000).map { seed in
      let pixels = erased(try RandomErasing(probability: 0.25), seed: UInt64(seed))
      #expect(Set(pixels).isSubset(of: [0, 7]))
      return Double(pixels.count { $0 == 0 }) / Double(pixels.count)
    }
    #expect(abs(shares.count { $0 > 0 } - 500) < 90 && shares.allSatisfy { $0 < 0.36 })
    let colors = erased(try RandomErasing(probability: 1, mode: .rand), seed: 1)
    for channel in 0..<3 { #expect(Set(colors[channel * 480..<channel * 480 + 480]).count == 2) }
    let pixelwise = try RandomErasing(probability: 1, area: 0.2...0.3, mode: .pixel)
    let noise = (0..<50).flatMap { erased(pixelwise, seed: $0).filter { $0 != 7 } }
    let mean = noise.reduce(0, +) / Float(noise.count)
    let variance = noise.reduce(0) { $0 + $1 * $1 } / Float(noise.count)
    #expect(noise.count > 10_000 && abs(mean) < 0.03 && abs(variance - 1) < 0.05)
    var random = CounterRandom(seed: 2, stream: 4)
    let several = try RandomErasing(probability: 1, count: 2...4)
    let counts = (0..<500).map { _ in several.choose(in: size, random: &random).count }
    #expect(Set(counts) == [2, 3, 4])
  }
}
