import Images
import SystemPackage
import TestSupport
import Testing
import Training

/// Data sets as the training sees them.
@Suite struct DatasetSamplesTests {
  private static let size = ImageSize(8)

  private func samples(
    _ preparation: DatasetSamples.Preparation, mixing: MixingConfiguration = .none, limit: Int = 0,
    at path: FilePath = Fixtures.project.appending("samples/cifar10")
  ) throws -> DatasetSamples {
    let dataset = try DatasetSource(path).dataset(.all)
    return DatasetSamples(
      TolerantDataset(dataset, BadImages(limit: limit) { _, _ in }), preparation, mixing: BatchMixing(mixing),
      labelSmoothing: 0.1, seed: 5)
  }

  private func load(_ samples: DatasetSamples, _ index: Int, epoch: Int = 0) throws -> (
    label: Int?, pixels: [Float]
  ) {
    var pixels = [Float](repeating: .nan, count: 3 * Self.size.height * Self.size.width)
    let label = try pixels.withUnsafeMutableBufferPointer { try samples.load(index, epoch: epoch, into: $0) }
    return (label, pixels)
  }

  @Test func augmented() throws {
    let transform = try TrainingTransform(
      [.randomCrop(RandomCrop())], size: Self.size, mean: [0, 0, 0], std: [1, 1, 1])
    let samples = try samples(.augmentation(transform))
    #expect(samples.count == 30 && samples.numClasses == 10)
    let (label, pixels) = try load(samples, 4)
    #expect(label == 1 && pixels.allSatisfy { (0...1).contains($0) })
    #expect(try load(samples, 4).pixels == pixels)
    #expect(try load(samples, 4, epoch: 1).pixels != pixels)
  }

  @Test func forEvaluation() throws {
    let transform = try EvaluationTransform(
      size: Self.size, cropFraction: 1, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5])
    let samples = try samples(.evaluation(transform))
    let image = try Image(contentsOf: Fixtures.project.appending("samples/cifar10/automobile/0500.jpg"))
    #expect(try load(samples, 4).pixels == transform.tensor(image))
  }

  @Test func targets() throws {
    let transform = try TrainingTransform([], size: Self.size, mean: [0, 0, 0], std: [1, 1, 1])
    var pixels = [Float](repeating: 0.5, count: 4 * 192)
    func targets(_ samples: DatasetSamples, step: Int) -> [Float] {
      pixels.withUnsafeMutableBufferPointer { samples.targets([1, 2, 3, 4], pixels: $0, step: step) }
    }
    let plain = try samples(.augmentation(transform))
    #expect(
      Deviation(targets(plain, step: 0), from: plain.plainTargets([1, 2, 3, 4], smoothing: 0.1)).largest
        < 1e-7)
    let mixed = try samples(.augmentation(transform), mixing: MixingConfiguration(mixup: 1))
    #expect(
      targets(mixed, step: 0) != targets(mixed, step: 1) && targets(mixed, step: 3) == targets(mixed, step: 3)
    )
  }

  @Test func fingerprints() throws {
    let photos = Fixtures.project.appending("samples/cifar10")
    func fingerprint(_ names: [String]) throws -> String {
      let folder = try TemporaryFolder()
      for name in names { try folder.copy(photos.appending("cat/0100.jpg"), to: name) }
      return try DatasetSource(folder.path).dataset(.all).fingerprint
    }
    let reference = try fingerprint(["a/1.jpg", "a/2.jpg", "b/1.jpg"])
    #expect(reference.hasPrefix("3 images, 2 classes, "))
    #expect(try fingerprint(["a/3.jpg", "a/4.jpg", "b/2.jpg"]) == reference)
    #expect(try fingerprint(["a/1.jpg", "b/1.jpg", "b/2.jpg"]) != reference)
    #expect(try fingerprint(["a/1.jpg", "a/2.jpg", "c/1.jpg"]) != reference)
  }

  /// What is wrong with an image is said with its name.
  @Test func errorsNameTheImage() throws {
    let folder = try TemporaryFolder()
    try folder.copy(Fixtures.project.appending("samples/cifar10/cat/0100.jpg"), to: "a/small.jpg")
    let bad = try folder.write("x", to: "b/bad.jpg")
    let transform = try TrainingTransform(
      [.randomCrop(RandomCrop())], size: ImageSize(33), mean: [0, 0, 0], std: [1, 1, 1])
    let samples = try samples(.augmentation(transform), at: folder.path)
    var pixels = [Float](repeating: 0, count: 3 * 33 * 33)
    func failure(_ index: Int) -> String {
      let error = #expect(throws: (any Error).self) {
        try pixels.withUnsafeMutableBufferPointer { try samples.load(index, epoch: 0, into: $0) }
      }
      return error.map { "\($0)" } ?? ""
    }
    #expect(failure(0).hasPrefix("\(folder.path)/a/small.jpg: augmentation: random_crop must be smaller"))
    #expect(failure(1).contains("\(bad): not a JPEG or PNG image"))
  }
}
