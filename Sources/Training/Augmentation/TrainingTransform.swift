import Images

/// One training sample after augmentation: normalised float32 pixels. Deterministic in seed, epoch and sample, whatever the threads.
public struct TrainingTransform: Sendable {
  /// What happens to each image, in this order.
  public let steps: [AugmentationStep]
  /// What the network is fed.
  public let size: ImageSize
  public let normalization: Normalization

  private let pictureSteps: [any PictureStep]
  private let erasures: [RandomErasing]

  /// - Parameters:
  ///   - steps: in order; where there is no `to_tensor`, it comes behind all of them.
  ///   - size: of the network's input, to which the steps must bring every image.
  ///   - mean: three finite numbers, in units of bytes / 255.
  ///   - std: three finite numbers above zero, likewise.
  /// - Throws: `AugmentationError` where steps contradict each other.
  public init(
    _ steps: [AugmentationStep], size: ImageSize, mean: [Double], std: [Double]
  ) throws(AugmentationError) {
    guard (1...16_384).contains(size.height), (1...16_384).contains(size.width) else {
      throw AugmentationError("the size", size, "from 1 to 16384 pixels a side")
    }
    guard mean.count == 3, mean.allSatisfy(\.isFinite) else {
      throw AugmentationError("mean", mean, "three finite numbers")
    }
    guard std.count == 3, std.allSatisfy({ $0.isFinite && Float($0) > 0 }) else {
      throw AugmentationError("std", std, "three finite numbers above 0")
    }
    var areFloats = false
    var erasures: [RandomErasing] = []
    for step in steps {
      if case .randomErasing(let erasing) = step {
        erasures.append(erasing)
        continue
      }
      guard erasures.isEmpty else {
        throw AugmentationError(
          step.name.rawValue, String?.none, "in front of random_erasing, which is for normalised pixels")
      }
      if areFloats, let objection = step.pictureStep?.objectionToFloats {
        throw AugmentationError(step.name.rawValue, String?.none, objection)
      }
      if case .toTensor = step { areFloats = true }
    }
    self.steps = steps
    self.size = size
    self.erasures = erasures
    pictureSteps = steps.compactMap(\.pictureStep)
    normalization = Normalization(scaling: .dividedBy255, mean: mean, std: std)
  }

  /// Augments one image.
  /// - Parameters:
  ///   - seed: of the run.
  ///   - sample: the image's place in the data set.
  ///   - pixels: float32 [3, height, width] of ``size``, all of which is written.
  /// - Throws: `AugmentationError` where the image does not come out at ``size``, or is smaller than a crop; `ImageError` for shapes of
  ///   which no photograph is.
  public func apply(
    _ image: Image, seed: UInt64, epoch: Int, sample: Int, into pixels: UnsafeMutableBufferPointer<Float>
  ) throws {
    let area = size.height * size.width
    precondition(pixels.count == 3 * area, "a sample is float32 [3, \(size.height), \(size.width)]")
    func random(_ step: Int) -> CounterRandom {
      CounterRandom(
        seed: seed, stream: DataStream.augmentation, position: UInt64(epoch), UInt64(sample), UInt64(step))
    }
    var picture = Picture.bytes(image)
    for (index, step) in pictureSteps.enumerated() {
      var random = random(index)
      picture = try step.apply(picture, target: size, random: &random)
    }
    guard picture.size == size else {
      throw AugmentationError(
        "the size behind all steps", picture.size,
        "\(size); resize, random_crop and random_resized_crop bring images to it")
    }
    switch picture {
    case .bytes(let image):
      image.pixels.withUnsafeBufferPointer {
        normalization.write($0, to: pixels.baseAddress, planeStride: area, channels: 3)
      }
    case .floats(let image):
      for channel in 0..<3 {
        let (mean, std) = (Float(normalization.mean[channel]), Float(normalization.std[channel]))
        for index in channel * area..<(channel + 1) * area {
          pixels[index] = (image.planes[index] - mean) / std
        }
      }
    }
    for (index, erasing) in erasures.enumerated() {
      var random = random(pictureSteps.count + index)
      erasing.apply(to: pixels, of: size, random: &random)
    }
  }
}
