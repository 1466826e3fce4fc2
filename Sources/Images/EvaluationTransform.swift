/// What happens to an image before a network sees it: resized, cropped or padded, scaled, normalised.
///
/// Equal to timm's `create_transform(is_training=False)` and to transformers' image processors with the PIL
/// backend, bit for bit, both on Pillow 13.
public struct EvaluationTransform: Sendable, Equatable {
  /// What the network is fed.
  public let size: ImageSize
  /// The size to which images are resized.
  public let resizing: ResizeRule
  /// Where the crop of ``size`` is taken from the resized image.
  public let centerRounding: CenterRounding
  /// Red, green and blue where the resized image does not fill the crop.
  public let fill: [UInt8]
  /// The filter of resizing.
  public let interpolation: Interpolation
  /// Scale, mean and deviation.
  public let normalization: Normalization
  /// What the network is fed: 3 for red, green and blue, or 1 for grey.
  public let channels: Int

  let geometry: Geometry

  /// The rule that ``size`` and ``resizing`` come from; kept so that another size can be asked for.
  enum Geometry: Sendable, Equatable {
    case timm(cropFraction: Double, cropMode: CropMode)
    case huggingFace(ResizeRule)
  }

  /// timm's rules.
  ///
  /// - Parameters:
  ///   - size: what the network is fed, up to 16,384 pixels a side.
  ///   - cropFraction: size / resized size; above 1 the crop is larger than the resized image and padded.
  ///   - cropMode: how the aspect is dealt with.
  ///   - interpolation: the filter of resizing.
  ///   - mean: three finite numbers, in units of bytes / 255.
  ///   - std: three finite numbers above zero, likewise.
  /// - Throws: ``TransformConfigurationError``, which names the field as timm does.
  public init(
    size: ImageSize, cropFraction: Double, cropMode: CropMode = .center,
    interpolation: Interpolation = .bicubic, mean: [Double], std: [Double]
  ) throws(TransformConfigurationError) {
    try self.init(
      size: size, geometry: .timm(cropFraction: cropFraction, cropMode: cropMode),
      interpolation: interpolation,
      scaling: .dividedBy255, mean: mean, std: std)
  }

  init(
    size: ImageSize, geometry: Geometry, interpolation: Interpolation, scaling: Normalization.Scaling,
    mean: [Double], std: [Double], channels: Int = 3
  ) throws(TransformConfigurationError) {
    try TransformCheck.size(size, field: "input_size")
    try TransformCheck.mean(mean, field: "mean")
    try TransformCheck.std(std, field: "std")
    self.size = size
    self.geometry = geometry
    self.interpolation = interpolation
    self.channels = channels
    normalization = Normalization(scaling: scaling, mean: mean, std: std)
    switch geometry {
    case .timm(let fraction, let mode):
      let scaled = try Self.scaled(size, by: fraction)
      resizing =
        switch mode {
        case .squash: .exactly(scaled)
        case .border: .fitting(scaled)
        case .center where scaled.height == scaled.width: .shortestEdge(scaled.height)
        case .center: .covering(scaled)
        }
      centerRounding = .halfToEven
      fill = mode == .border ? normalization.fill : [0, 0, 0]
    case .huggingFace(let rule):
      resizing = rule
      centerRounding = .down
      fill = [0, 0, 0]
    }
  }

  /// floor(size / fraction).
  private static func scaled(
    _ size: ImageSize, by fraction: Double
  ) throws(TransformConfigurationError) -> ImageSize {
    let height = (Double(size.height) / fraction).rounded(.down)
    let width = (Double(size.width) / fraction).rounded(.down)
    let edges =
      Double(TransformCheck.resizedEdges.lowerBound)...Double(TransformCheck.resizedEdges.upperBound)
    guard fraction > 0, edges.contains(height), edges.contains(width) else {
      throw TransformConfigurationError(
        field: "crop_pct", value: "\(fraction)",
        requirement: "above zero and such that \(size) / crop_pct is between 1 and 65,536 pixels")
    }
    return ImageSize(height: Int(height), width: Int(width))
  }

  /// The same for a network of 1 or 3 channels. A mean and a deviation for three colours become their average for grey.
  public func with(channels: Int) throws(TransformConfigurationError) -> EvaluationTransform {
    precondition(channels == 1 || channels == 3, "a network of \(channels) channels")
    func values(_ colors: [Double]) -> [Double] {
      channels == 3 || Set(colors).count == 1 ? colors : Array(repeating: colors.reduce(0, +) / 3, count: 3)
    }
    return try EvaluationTransform(
      size: size, geometry: geometry, interpolation: interpolation, scaling: normalization.scaling,
      mean: values(normalization.mean), std: values(normalization.std), channels: channels)
  }

  // MARK: Applying

  /// Resizes, crops and pads: 8 bits, of size ``size``.
  ///
  /// Of the resized image only the crop is computed, so that a shape of extreme aspect costs no more than
  /// others.
  ///
  /// - Throws: ``ImageError/resizeTooExtreme(from:to:)`` for images with edges of millions of pixels.
  public func prepare(_ image: Image) throws(ImageError) -> Image {
    try prepare(DecodedImage(image))
  }

  /// The same of an image that may have fewer pixels than its file: it is resized to what all of them would be resized to.
  ///
  /// - Throws: as above.
  public func prepare(_ decoded: DecodedImage) throws(ImageError) -> Image {
    let image = decoded.image
    let target = resizing.target(for: decoded.size)
    let top = centerRounding.start(ofWindow: size.height, in: target.height)
    let left = centerRounding.start(ofWindow: size.width, in: target.width)
    // Grey before it is resized, as Pillow's users do.
    return try (channels == 1 ? image.grey : image).resized(
      box: decoded.box, to: target, rows: top..<top + size.height, columns: left..<left + size.width,
      interpolation: interpolation,
      fill: fill)
  }

  /// Which part of an image the network sees, in pixels of the image; where the input is padded, it reaches beyond the edges.
  /// - Parameters:
  ///   - window: the part of the input that is meant, from its top left corner on; nil for all of it.
  ///   - source: the image's size, upright.
  public func seenPart(
    _ window: ImageSize? = nil, of source: ImageSize
  ) -> (rows: Range<Double>, columns: Range<Double>) {
    let (window, target) = (window ?? size, resizing.target(for: source))
    func part(_ length: Int, of size: Int, in target: Int, source: Int) -> Range<Double> {
      let scale = Double(source) / Double(target)
      let start = centerRounding.start(ofWindow: size, in: target)
      return Double(start) * scale..<Double(start + length) * scale
    }
    return (
      part(window.height, of: size.height, in: target.height, source: source.height),
      part(window.width, of: size.width, in: target.width, source: source.width)
    )
  }

  /// The network's input, float32 [``channels``, height, width] of ``size``.
  ///
  /// - Throws: what ``prepare(_:)`` throws.
  public func tensor(_ image: Image) throws(ImageError) -> [Float] {
    try tensor(DecodedImage(image))
  }

  /// The same of an image that may have fewer pixels than its file.
  ///
  /// - Throws: what ``prepare(_:)`` throws.
  public func tensor(_ decoded: DecodedImage) throws(ImageError) -> [Float] {
    tensor(ofPrepared: try prepare(decoded))
  }

  /// The network's input from what ``prepare(_:)`` made.
  public func tensor(ofPrepared image: Image) -> [Float] {
    precondition(image.size == size, "an image of \(image.size) is not prepared for \(size)")
    let area = size.height * size.width
    return [Float](unsafeUninitializedCapacity: channels * area) { output, count in
      image.pixels.withUnsafeBufferPointer {
        normalization.write($0, to: output.baseAddress, planeStride: area, channels: channels)
      }
      count = channels * area
    }
  }

  /// The network's input cut into patches: one row a patch, as the first matrix product takes them.
  ///
  /// Rows and columns beyond the last whole patch are left out, as a convolution with that stride leaves
  /// them.
  ///
  /// - Parameters:
  ///   - image: what ``prepare(_:)`` made.
  ///   - patchSize: height and width of a patch, at least 1.
  ///   - output: float32 [gridHeight × gridWidth, channels × patchHeight × patchWidth]. Patches in the order of
  ///     reading; within a row channel, then row, then column, as a flattened convolution weight
  ///     [D, channels, Ph, Pw] has them.
  /// - Precondition: `image` is of ``size``, and `output` holds exactly that many numbers.
  public func writePatches(
    ofPrepared image: Image, patchSize: ImageSize, into output: UnsafeMutableBufferPointer<Float>
  ) {
    precondition(image.size == size, "an image of \(image.size) is not prepared for \(size)")
    precondition(patchSize.height > 0 && patchSize.width > 0, "a patch has at least one pixel")
    let (gridHeight, gridWidth) = (size.height / patchSize.height, size.width / patchSize.width)
    let patchArea = patchSize.height * patchSize.width
    precondition(
      output.count == gridHeight * gridWidth * channels * patchArea,
      "patches of \(size) are float32 [\(gridHeight * gridWidth), \(channels * patchArea)]")
    image.pixels.withUnsafeBufferPointer { pixels in
      for y in 0..<gridHeight * patchSize.height {
        let (gridRow, patchRow) = y.quotientAndRemainder(dividingBy: patchSize.height)
        for gridColumn in 0..<gridWidth {
          let first = (y * size.width + gridColumn * patchSize.width) * 3
          let patch = (gridRow * gridWidth + gridColumn) * channels * patchArea + patchRow * patchSize.width
          normalization.write(
            UnsafeBufferPointer(rebasing: pixels[first..<first + patchSize.width * 3]),
            to: output.baseAddress.map { $0 + patch }, planeStride: patchArea, channels: channels)
        }
      }
    }
  }
}
