import Images

/// The images of a data set as samples for a training: read, prepared, and mixed batch by batch.
public struct DatasetSamples: SampleSource {
  /// What becomes of an image.
  public enum Preparation: Sendable {
    case augmentation(TrainingTransform)
    /// As the trained model will see images.
    case evaluation(EvaluationTransform)
  }

  public let dataset: TolerantDataset
  private let preparation: Preparation
  private let mixing: BatchMixing
  private let labelSmoothing: Float
  private let seed: UInt64
  public let fingerprint: String

  /// - Parameters:
  ///   - seed: of augmentation and mixing.
  ///   - labelSmoothing: share of each target that is spread over all classes.
  public init(
    _ dataset: TolerantDataset, _ preparation: Preparation, mixing: BatchMixing = BatchMixing(),
    labelSmoothing: Float = 0, seed: UInt64
  ) {
    self.dataset = dataset
    self.preparation = preparation
    self.mixing = mixing
    self.labelSmoothing = labelSmoothing
    self.seed = seed
    fingerprint = dataset.base.fingerprint
  }

  public var count: Int { dataset.base.count }
  public var numClasses: Int { dataset.base.classNames.count }
  /// Of all the data sets that its unreadable images are counted with.
  public var hasLeftOut: Bool { dataset.badImages.count > 0 }

  /// An image that cannot be read is left out of an evaluation; in a training the next one takes its place.
  public func load(_ index: Int, epoch: Int, into pixels: UnsafeMutableBufferPointer<Float>) throws -> Int? {
    switch preparation {
    case .augmentation(let transform):
      let sample = try dataset.sampleOrNext(index)
      try naming(sample) {
        try transform.apply($0, seed: seed, epoch: epoch, sample: index, into: pixels)
      }
      return sample.label
    case .evaluation(let transform):
      guard let sample = try dataset.sample(index) else { return nil }
      let tensor = try naming(sample) { try transform.tensor($0) }
      precondition(tensor.count == pixels.count, "a sample is float32 [channels, height, width]")
      _ = pixels.update(fromContentsOf: tensor)
      return sample.label
    }
  }

  /// Prepares an image; an error tells which it was.
  private func naming<Result>(
    _ sample: TolerantDataset.Sample, _ prepare: (Image) throws -> Result
  ) throws(TrainingError) -> Result {
    do {
      return try prepare(sample.image)
    } catch {
      throw .data(reason: "\(dataset.base.name(sample.index)): \(error)")
    }
  }

  public func targets(_ labels: [Int], pixels: UnsafeMutableBufferPointer<Float>, step: Int) -> [Float] {
    let size: ImageSize =
      switch preparation {
      case .augmentation(let transform): transform.size
      case .evaluation(let transform): transform.size
      }
    return mixing.apply(
      pixels: pixels, batch: labels.count, height: size.height, width: size.width, labels: labels,
      numClasses: numClasses, labelSmoothing: labelSmoothing, seed: seed, step: step)
  }
}

extension ImageDataset {
  /// Tells whether it is the same data set: the number of images, and a hash (FNV-1a) of the classes' names and the labels.
  public var fingerprint: String {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    func add(_ bytes: some Sequence<UInt8>) {
      for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    }
    for name in classNames { add(Array(name.utf8) + [0]) }
    for index in 0..<count { withUnsafeBytes(of: UInt32(label(index)).littleEndian) { add($0) } }
    let digits = String(hash, radix: 16)
    return "\(count) images, \(classNames.count) classes, " + String(repeating: "0", count: 16 - digits.count)
      + digits
  }
}
