/// What a user may change about a checkpoint's own preprocessing. Nil leaves a value as it is.
public struct TransformOverrides: Sendable, Equatable {
  /// What the network is fed; the size to which images are resized changes in proportion.
  public var size: ImageSize?
  /// size / resized size.
  public var cropFraction: Double?
  public var cropMode: CropMode?
  public var interpolation: Interpolation?
  /// Three numbers, in units of bytes / 255.
  public var mean: [Double]?
  /// Three numbers above zero, likewise.
  public var std: [Double]?

  public init(
    size: ImageSize? = nil, cropFraction: Double? = nil, cropMode: CropMode? = nil,
    interpolation: Interpolation? = nil, mean: [Double]? = nil, std: [Double]? = nil
  ) {
    self.size = size
    self.cropFraction = cropFraction
    self.cropMode = cropMode
    self.interpolation = interpolation
    self.mean = mean
    self.std = std
  }
}

extension EvaluationTransform {
  /// This transform with some values changed.
  ///
  /// A transform that follows transformers' rules and is given a crop fraction or mode follows timm's from
  /// there on, with the arithmetic of its normalisation kept.
  ///
  /// - Throws: ``TransformConfigurationError`` for values out of range.
  public func applying(
    _ overrides: TransformOverrides
  ) throws(TransformConfigurationError) -> EvaluationTransform {
    let newSize = overrides.size ?? size
    try TransformCheck.size(newSize, field: "size")
    var newGeometry: Geometry
    switch geometry {
    case .timm(let fraction, let mode):
      newGeometry = .timm(
        cropFraction: overrides.cropFraction ?? fraction, cropMode: overrides.cropMode ?? mode)
    case .huggingFace(let rule):
      if overrides.cropFraction != nil || overrides.cropMode != nil {
        newGeometry = .timm(
          cropFraction: overrides.cropFraction ?? rule.cropFraction(of: size),
          cropMode: overrides.cropMode ?? rule.cropMode)
      } else {
        newGeometry = .huggingFace(try rule.following(from: size, to: newSize))
      }
    }
    return try EvaluationTransform(
      size: newSize, geometry: newGeometry, interpolation: overrides.interpolation ?? interpolation,
      scaling: normalization.scaling, mean: overrides.mean ?? normalization.mean,
      std: overrides.std ?? normalization.std, channels: channels)
  }
}

extension ResizeRule {
  /// The rule for a network fed `new` instead of `old`: every edge in proportion, rounded down.
  fileprivate func following(
    from old: ImageSize, to new: ImageSize
  ) throws(TransformConfigurationError) -> ResizeRule {
    func shortest(_ edge: Int) throws(TransformConfigurationError) -> Int {
      let scaled = edge * min(new.height, new.width) / min(old.height, old.width)
      try TransformCheck.edge(scaled, field: "size")
      return scaled
    }
    func both(_ size: ImageSize) throws(TransformConfigurationError) -> ImageSize {
      let scaled = ImageSize(
        height: size.height * new.height / old.height, width: size.width * new.width / old.width)
      try TransformCheck.size(scaled, field: "size", within: TransformCheck.resizedEdges)
      return scaled
    }
    return switch self {
    case .none: .none
    case .exactly(let size): .exactly(try both(size))
    case .shortestEdge(let edge): .shortestEdge(try shortest(edge))
    case .shortestEdgeWithin(let edge, let longest):
      .shortestEdgeWithin(shortest: try shortest(edge), longest: try shortest(longest))
    case .covering(let size): .covering(try both(size))
    case .fitting(let size): .fitting(try both(size))
    }
  }

  /// The fraction by which timm's floor(size / fraction) comes to this rule's edge.
  func cropFraction(of size: ImageSize) -> Double {
    let (edge, resized) =
      switch self {
      case .none: (1, 1)
      case .exactly(let resized), .covering(let resized), .fitting(let resized): (size.height, resized.height)
      case .shortestEdge(let edge), .shortestEdgeWithin(let edge, _): (min(size.height, size.width), edge)
      }
    let fraction = Double(edge) / Double(resized)
    // The division may round to where the floor would lose a pixel.
    return (Double(edge) / fraction).rounded(.down) < Double(resized) ? fraction.nextDown : fraction
  }

  /// timm's mode that comes nearest.
  var cropMode: CropMode {
    switch self {
    case .exactly: .squash
    case .none, .shortestEdge, .shortestEdgeWithin, .covering: .center
    case .fitting: .border
    }
  }
}
