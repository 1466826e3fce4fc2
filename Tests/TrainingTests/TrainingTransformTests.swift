import Foundation
import Images
import Synchronization
import TestSupport
import Testing
import Training

@Suite struct TrainingTransformTests {
  private static let mean = [0.5, 0.4, 0.3]
  private static let std = [0.2, 0.25, 0.3]
  private static let image = Image(
    width: 40, height: 32, pixels: (0..<3840).map { UInt8(truncatingIfNeeded: $0 &* $0 / 7) })

  private static func transform(_ steps: [AugmentationStep], size: Int = 24) throws -> TrainingTransform {
    try TrainingTransform(steps, size: ImageSize(size), mean: mean, std: std)
  }

  private static func apply(
    _ transform: TrainingTransform, _ image: Image = image, seed: UInt64 = 1, epoch: Int = 0, sample: Int = 0
  ) throws -> [Float] {
    var pixels = [Float](repeating: .nan, count: 3 * transform.size.height * transform.size.width)
    try pixels.withUnsafeMutableBufferPointer {
      try transform.apply(image, seed: seed, epoch: epoch, sample: sample, into: $0)
    }
    return pixels
  }

  private static func decoded(_ json: String) throws -> [AugmentationStep] {
    try JSONDecoder().decode([AugmentationStep].self, from: Data(json.utf8))
  }

  private static let everything = """
    [{"resize": {"shortest_edge": 30, "interpolation": "bicubic"}},
     {"random_crop": {"padding": 2, "padding_mode": "reflect"}}, {"random_resized_crop": {}},
     {"horizontal_flip": {}}, {"vertical_flip": {"probability": 0.25}},
     {"rotation": {"degrees": 15, "interpolation": "bilinear", "fill": [1, 2, 3]}},
     {"color_jitter": {"brightness": 0.4, "contrast": [0.5, 1.5], "saturation": 0.4, "hue": 0.1}},
     {"auto_augment": {"policy": "cifar10"}}, {"rand_augment": {"magnitude": 12}}, {"trivial_augment": {}},
     {"to_tensor": {}}, {"horizontal_flip": {}}, {"rotation": {"degrees": [-5, 10]}}, {"resize": {}},
     {"random_erasing": {"mode": "pixel", "probability": 0.9, "count": [1, 2]}}]
    """

  @Test func withoutStepsPixelsAreNormalised() throws {
    let image = Image(width: 1, height: 1, pixels: [0, 102, 255])
    for steps in [[], [AugmentationStep.toTensor(ToTensor())]] {
      let pixels = try Self.apply(Self.transform(steps, size: 1), image)
      let expected = zip([0, 102, 255] as [Float], zip(Self.mean, Self.std)).map {
        ($0 / 255 - Float($1.0)) / Float($1.1)
      }
      #expect(pixels == expected)
    }
  }

  /// The same numbers from any thread, in any order; others for another seed, epoch and sample.
  @Test func deterministic() async throws {
    let transform = try Self.transform(Self.decoded(Self.everything))
    let reference = try (0..<16).map { try Self.apply(transform, epoch: 3, sample: $0) }
    #expect(reference.allSatisfy { $0.allSatisfy(\.isFinite) })
    #expect(Set(reference.map { $0.map(\.bitPattern) }).count == 16)
    await withTaskGroup { group in
      for thread in 0..<8 {
        group.addTask {
          for step in 0..<16 {
            let sample = (step * 5 + thread) % 16
            #expect((try? Self.apply(transform, epoch: 3, sample: sample)) == reference[sample])
          }
        }
      }
    }
    #expect(try Self.apply(transform, seed: 2, epoch: 3) != reference[0])
    #expect(try Self.apply(transform, epoch: 4) != reference[0])
  }

  /// The study's recipe is made of the parts that `CropTests` hold against torchvision's.
  @Test func recipe() throws {
    let steps = try Self.decoded(
      """
      [{"to_tensor": {}}, {"resize": {}}, {"horizontal_flip": {}}, {"rotation": {"degrees": 0.02}},
       {"random_resized_crop": {"scale": [0.8, 1], "ratio": [1, 1]}}]
      """)
    let transform = try Self.transform(steps)
    guard case .randomResizedCrop(let crop) = steps[4] else {
      Issue.record("no crop")
      return
    }
    #expect(crop.scale == 0.8...1 && crop.ratio == 1...1)
    let resized = FloatImage(Self.image).resized(to: ImageSize(24), interpolation: .bilinear)
    var (mirrored, windows) = (0, Set<Range<Int>>())
    for sample in 0..<200 {
      let pixels = try Self.apply(transform, sample: sample)
      // The window of the last step, found again by trying all: one of them must give these very pixels.
      let found = (21...24).flatMap { edge in (0...24 - edge).map { ($0, edge) } }.flatMap { top, edge in
        (0...24 - edge).flatMap { left in
          [false, true].map { flips in (top..<top + edge, left..<left + edge, flips) }
        }
      }.first { rows, columns, flips in
        let image = (flips ? resized.mirrored() : resized).cropped(rows: rows, columns: columns).resized(
          to: ImageSize(24), interpolation: .bilinear)
        return image.planes.indices.allSatisfy { index in
          pixels[index] == (image.planes[index] - Float(Self.mean[index / 576]))
            / Float(Self.std[index / 576])
        }
      }
      let (rows, _, flips) = try #require(found)
      windows.insert(rows)
      if flips { mirrored += 1 }
    }
    #expect(abs(mirrored - 100) < 30)
    #expect(windows.count > 6)
  }

  @Test func flipsByProbability() throws {
    let transform = try Self.transform([.horizontalFlip(HorizontalFlip(probability: 0.3))], size: 2)
    let image = Image(width: 2, height: 2, pixels: [0, 0, 0, 255, 255, 255, 0, 0, 0, 255, 255, 255])
    let count = try (0..<2000).count { try Self.apply(transform, image, sample: $0)[0] > 0 }
    #expect(abs(count - 600) < 85)
  }

  @Test func randomCropsReachEverywhere() throws {
    let transform = try Self.transform([.randomCrop(RandomCrop(padding: 1))], size: 2)
    let image = Image(width: 2, height: 2, pixels: (1...4).flatMap { [UInt8($0), 0, 0] })
    let crops = try (0..<500).map { try Self.apply(transform, image, sample: $0)[..<4].map(\.bitPattern) }
    #expect(Set(crops).count == 9)
  }

  // MARK: - Configurations

  @Test func configurationsSurviveCoding() throws {
    let steps = try Self.decoded(Self.everything)
    #expect(steps.count == 15)
    let encoded = try JSONEncoder().encode(steps)
    #expect(try JSONDecoder().decode([AugmentationStep].self, from: encoded) == steps)
    let mixing = try JSONDecoder().decode(
      MixingConfiguration.self,
      from: Data(
        #"{"mixup": 0.8, "cutmix": 1, "mode": "elem", "cutmix_minmax": [0.2, 0.9], "switch_probability": 0.3}"#
          .utf8))
    #expect(mixing.mode == .element && mixing.cutmixMinMax == 0.2...0.9 && mixing.correctsLambda)
    #expect(try JSONDecoder().decode(MixingConfiguration.self, from: JSONEncoder().encode(mixing)) == mixing)
    #expect(try JSONDecoder().decode(MixingConfiguration.self, from: Data("{}".utf8)) == .none)
  }

  @Test(arguments: [
    (#"[{"resise": {}}]"#, "a step must be an object with one of the keys resize, random_crop"),
    (#"[{}]"#, "a step must be an object"), (#"["resize"]"#, "a step must be an object"),
    (#"[{"resize": {}, "to_tensor": {}}]"#, "not resize, to_tensor"),
    (
      #"[{"resize": {"edge": 3}}]"#,
      "resize must be made of the keys shortest_edge, interpolation, not \"edge\""
    ),
    (#"[{"resize": {"shortest_edge": 0}}]"#, "resize.shortest_edge must be from 1 to 16384, not 0"),
    (#"[{"resize": {"shortest_edge": 1.5}}]"#, "resize.shortest_edge must be a whole number"),
    (#"[{"resize": 3}]"#, "resize must be an object"),
    (#"[{"resize": {"interpolation": "cubic"}}]"#, "resize.interpolation must be nearest, box, bilinear"),
    (#"[{"random_crop": {"padding": -1}}]"#, "random_crop.padding must be from 0 to 4096, not -1"),
    (
      #"[{"random_crop": {"fill": [0, 0, 256]}}]"#,
      "random_crop.fill must be red, green and blue from 0 to 255"
    ),
    (#"[{"random_resized_crop": {"scale": [0.9, 0.8]}}]"#, "random_resized_crop.scale must be two numbers"),
    (#"[{"random_resized_crop": {"scale": [0, 1]}}]"#, "random_resized_crop.scale must be above 0"),
    (#"[{"random_resized_crop": {"ratio": 1}}]"#, "random_resized_crop.ratio must be two numbers"),
    (
      #"[{"horizontal_flip": {"probability": 2}}]"#,
      "horizontal_flip.probability must be a number from 0 to 1, not 2.0"
    ),
    (#"[{"rotation": {}}]"#, "rotation.degrees must be there"),
    (#"[{"rotation": {"degrees": -5}}]"#, "rotation.degrees must be two numbers from -360.0 to 360.0"),
    (#"[{"color_jitter": {"hue": 0.6}}]"#, "color_jitter.hue must be"),
    (#"[{"color_jitter": {"brightness": [-1, 1]}}]"#, "color_jitter.brightness must be"),
    (#"[{"auto_augment": {}}]"#, "auto_augment.policy must be imagenet, cifar10 or svhn"),
    (
      #"[{"rand_augment": {"magnitude": 31}}]"#,
      "rand_augment.magnitude must be from 0 to 30, one of the 31 bins, not 31"
    ),
    (#"[{"trivial_augment": {"bins": 1}}]"#, "trivial_augment.bins must be from 2 to 1000, not 1"),
    (#"[{"to_tensor": {"x": 1}}]"#, "to_tensor must be without keys, not x"),
    (#"[{"random_erasing": {"mode": "noise"}}]"#, "random_erasing.mode must be const, rand or pixel"),
    (#"[{"random_erasing": {"count": [1, 1.5]}}]"#, "random_erasing.count must be whole numbers"),
  ]) func wrongConfigurations(json: String, message: String) {
    let error = #expect(throws: AugmentationError.self) { try Self.decoded(json) }
    #expect("\(String(describing: error))".contains("augmentation: "))
    #expect(error.map { "\($0)" }?.contains(message) == true, "\(error.map { "\($0)" } ?? "")")
  }

  @Test(arguments: [
    (#"{"mixup": -1}"#, "mixing.mixup must be from 0 to 1000"),
    (#"{"alpha": 1}"#, "mixing must be made of the keys mixup, cutmix"),
    (#"{"mode": "half"}"#, "mixing.mode must be batch, pair or elem"),
    (#"{"probability": 1.1}"#, "mixing.probability"),
    (#"{"cutmix_minmax": [0.5, 2]}"#, "mixing.cutmix_minmax must be two numbers"),
  ]) func wrongMixing(json: String, message: String) {
    let error = #expect(throws: AugmentationError.self) {
      try JSONDecoder().decode(MixingConfiguration.self, from: Data(json.utf8))
    }
    #expect(error.map { "\($0)" }?.contains(message) == true)
  }

  @Test(arguments: [
    (#"[{"to_tensor": {}}, {"color_jitter": {}}]"#, "color_jitter must be in front of to_tensor"),
    (
      #"[{"to_tensor": {}}, {"rotation": {"degrees": 3, "interpolation": "bilinear"}}]"#,
      "nearest and black behind to_tensor"
    ),
    (
      #"[{"to_tensor": {}}, {"resize": {"interpolation": "lanczos"}}]"#,
      "bilinear or bicubic behind to_tensor"
    ),
    (#"[{"to_tensor": {}}, {"to_tensor": {}}]"#, "there only once"),
    (#"[{"random_erasing": {}}, {"resize": {}}]"#, "in front of random_erasing"),
  ]) func contradictions(json: String, message: String) throws {
    let steps = try Self.decoded(json)
    let error = #expect(throws: AugmentationError.self) { try Self.transform(steps) }
    #expect(error.map { "\($0)" }?.contains(message) == true)
  }

  @Test func imagesOfWrongSizes() throws {
    #expect(throws: AugmentationError.self) { try Self.apply(Self.transform([])) }
    let crop = try Self.transform([.randomCrop(RandomCrop())], size: 33)
    let error = #expect(throws: AugmentationError.self) { try Self.apply(crop) }
    #expect(error.map { "\($0)" }?.contains("33x33 of an image of 32x40") == true)
    #expect(throws: AugmentationError.self) {
      try TrainingTransform([], size: ImageSize(8), mean: [0, 0], std: Self.std)
    }
    #expect(throws: AugmentationError.self) {
      try TrainingTransform([], size: ImageSize(8), mean: Self.mean, std: [1, 1, 0])
    }
  }
}
