/// What other libraries' configuration files say for a transform. Not every rule has a counterpart everywhere: `differences` tells what
/// a library would do otherwise.
extension EvaluationTransform {
  /// timm's fields for this transform, or the nearest that timm has.
  public var timmConfiguration: TimmPretrainedConfiguration {
    let (fraction, mode) =
      switch geometry {
      case .timm(let fraction, let mode): (fraction, mode)
      case .huggingFace(let rule): (rule.cropFraction(of: size), rule.cropMode)
      }
    // timm's unit is a byte / 255.
    let (mean, std) = normalization.statistics(forFactor: 1.0 / 255)
    return TimmPretrainedConfiguration(
      inputSize: [channels, size.height, size.width], interpolation: interpolation.rawValue,
      cropFraction: fraction, cropMode: mode.rawValue, mean: Array(mean.prefix(channels)),
      std: Array(std.prefix(channels)))
  }

  /// transformers' fields for this transform, or the nearest that transformers has.
  /// - Parameter processor: the class of image processors, such as `CLIPImageProcessor`; nil for the one whose steps are these.
  public func huggingFaceConfiguration(processor: String? = nil) -> HuggingFacePreprocessorConfiguration {
    var configuration = HuggingFacePreprocessorConfiguration()
    configuration.resizes = resizing != .none
    configuration.cropsCenter = true
    configuration.cropSize = .exactly(size)
    switch resizing {
    case .none:
      // Whatever it says, nothing is resized.
      configuration.size = .shortestEdge(min(size.height, size.width))
    case .exactly(let resized):
      configuration.size = .exactly(resized)
      if resized == size {
        configuration.cropsCenter = false
        configuration.cropSize = nil
      }
    case .shortestEdge(let edge):
      configuration.size = .shortestEdge(edge)
    case .shortestEdgeWithin(let shortest, let longest):
      configuration.size = .shortestEdgeWithin(shortest: shortest, longest: longest)
    case .covering(let covered), .fitting(let covered):
      configuration.size = .shortestEdge(min(covered.height, covered.width))
    }
    let usual =
      switch configuration.size {
      case .exactly: configuration.cropsCenter == true ? "DeiTImageProcessor" : "ViTImageProcessor"
      default: "BitImageProcessor"
      }
    configuration.processorType = processor ?? usual
    configuration.resample = interpolation.pillowCode
    let factor: Double =
      switch normalization.scaling {
      case .dividedBy255: 1.0 / 255
      case .multiplied(let factor): factor
      }
    configuration.rescales = true
    configuration.rescaleFactor = factor
    configuration.normalizes = true
    configuration.mean = normalization.mean
    configuration.std = normalization.std
    return configuration
  }

  /// What `other` does otherwise than this transform, a phrase each; empty where the two are the same but for the last bits of the
  /// scaling.
  public func differences(from other: EvaluationTransform) -> [String] {
    var differences: [String] = []
    if size != other.size { differences.append("the size is \(other.size), not \(size)") }
    if !resizing.isEquivalent(to: other.resizing) {
      differences.append("images are resized by another rule")
    } else if centerRounding != other.centerRounding, resizing != .exactly(size) {
      differences.append("the crop may begin a pixel further along")
    }
    if fill != other.fill { differences.append("images are padded with another colour") }
    if interpolation != other.interpolation {
      differences.append("the filter is \(other.interpolation.rawValue), not \(interpolation.rawValue)")
    }
    let (a, b) = (normalization.statistics(forFactor: 1), other.normalization.statistics(forFactor: 1))
    func isClose(_ a: [Double], _ b: [Double]) -> Bool {
      zip(a.prefix(channels), b.prefix(channels)).allSatisfy { abs($0 - $1) <= 1e-7 * max(abs($0), abs($1)) }
    }
    if !isClose(a.mean, b.mean) || !isClose(a.std, b.std) {
      differences.append("mean and deviation are others")
    }
    return differences
  }
}

extension Normalization {
  /// Mean and deviation for bytes that are scaled by `factor`.
  func statistics(forFactor factor: Double) -> (mean: [Double], std: [Double]) {
    switch scaling {
    // As they are: no rounding for the usual case.
    case .dividedBy255 where factor == 1.0 / 255: return (mean, std)
    case .multiplied(let own) where own == factor: return (mean, std)
    case .dividedBy255: return (mean.map { $0 * 255 * factor }, std.map { $0 * 255 * factor })
    case .multiplied(let own): return (mean.map { $0 / own * factor }, std.map { $0 / own * factor })
    }
  }
}

extension Interpolation {
  /// Pillow's number of the filter.
  public var pillowCode: Int {
    switch self {
    case .nearest: 0
    case .lanczos: 1
    case .bilinear: 2
    case .bicubic: 3
    case .box: 4
    case .hamming: 5
    }
  }
}

extension ResizeRule {
  /// Whether the two resize every image alike, but for a pixel of the edge that is cropped.
  fileprivate func isEquivalent(to other: ResizeRule) -> Bool {
    switch (self, other) {
    case (.covering(let size), .shortestEdge(let edge)), (.shortestEdge(let edge), .covering(let size)):
      size == ImageSize(edge)
    default: self == other
    }
  }
}
