import SystemPackage

/// What was read from an image file: all of its pixels or, where that was allowed, a smaller picture of the same that is large enough
/// for what it will be resized to.
public struct DecodedImage: Sendable, Equatable {
  /// The pixels that were decoded.
  public let image: Image
  /// Size of the file's image in pixels, upright.
  public let size: ImageSize
  /// Which part of `image` shows the file's image; nil for all of it.
  let box: SourceBox?

  /// An image with all its pixels.
  public init(_ image: Image) {
    self.image = image
    size = image.size
    box = nil
  }

  /// - Parameters:
  ///   - size: of the file's image, as it is stored.
  ///   - eighths: of its sides that `image` has, each rounded up.
  init(_ image: Image, of size: ImageSize, eighths: Int) {
    self.image = image
    self.size = size
    let scale = Double(eighths) / 8
    box =
      eighths == 8
      ? nil
      : SourceBox(
        rows: .init(start: 0, end: Double(size.height) * scale),
        columns: .init(start: 0, end: Double(size.width) * scale))
  }

  private init(image: Image, size: ImageSize, box: SourceBox?) {
    (self.image, self.size, self.box) = (image, size, box)
  }

  /// Reads and decodes an image file, perhaps one that `transform` will prepare for a network.
  ///
  /// With a transform and ``DecodingOptions/mayReduce``, a JPEG image is decoded to a half, a quarter or an eighth of its sides where both are then
  /// still at least as long as the transform resizes them to. This takes a fraction of the time and memory; the average of each
  /// block of pixels comes from the frequencies that it is stored as, and results differ slightly.
  ///
  /// - Throws: what ``Image/init(contentsOf:options:)`` throws.
  public init(
    contentsOf path: FilePath, options: DecodingOptions, for transform: EvaluationTransform?
  ) throws(ImageError) {
    try self.init(
      decoding: ImageFile.read(path, maxBytes: options.maxBytes), options: options, for: transform)
  }

  /// Decodes an image as ``init(contentsOf:options:for:)`` does.
  /// - Throws: what ``Image/init(decoding:options:)`` throws.
  public init(
    decoding bytes: [UInt8], options: DecodingOptions, for transform: EvaluationTransform?
  ) throws(ImageError) {
    // Nearest pixels of a smaller picture are other pixels.
    let isPossible = options.mayReduce && transform?.interpolation != .nearest
    try self.init(decoding: bytes, options: options, reducingTo: isPossible ? transform?.resizing : nil)
  }

  /// The same turned so that what was stored with `orientation` stands upright.
  func applying(_ orientation: Orientation) -> DecodedImage {
    guard orientation != .upright else { return self }
    return DecodedImage(
      image: image.applying(orientation), size: orientation.applied(to: size),
      box: box.map { orientation.applied(to: $0, in: image.size) })
  }
}

/// A part of an image whose edges may lie within pixels.
struct SourceBox: Sendable, Equatable {
  /// In pixels, from the first row or column on.
  struct Span: Sendable, Equatable {
    let start: Double
    let end: Double

    /// The same seen from the other end of an edge of `length` pixels.
    func reversed(in length: Int) -> Span { Span(start: Double(length) - end, end: Double(length) - start) }
  }

  let rows: Span
  let columns: Span
}
