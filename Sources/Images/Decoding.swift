import CCodecs

/// How images are decoded.
public struct DecodingOptions: Sendable, Equatable {
  /// Whether an image is turned as its EXIF orientation asks, as viewers do.
  public var appliesExifOrientation: Bool
  /// Images of more pixels are refused before memory is taken for them. 512 Mi by default: 1.5 GiB.
  public var maxPixels: Int
  /// Files of more bytes are refused before they are read. 4 GiB by default: far above what an image within the limit of pixels takes.
  public var maxBytes: Int
  /// Whether a ``DecodedImage`` may have fewer pixels than its file.
  public var mayReduce: Bool

  public init(
    appliesExifOrientation: Bool = true, maxPixels: Int = 512 * 1024 * 1024,
    maxBytes: Int = 4 * 1024 * 1024 * 1024, mayReduce: Bool = false
  ) {
    self.appliesExifOrientation = appliesExifOrientation
    self.maxPixels = maxPixels
    self.maxBytes = maxBytes
    self.mayReduce = mayReduce
  }
}

extension Image {
  /// Decodes a JPEG or PNG image.
  ///
  /// The pixels are those of Pillow 13's `Image.open(file).convert("RGB")`, behind `ImageOps.exif_transpose`
  /// where orientation applies. Alpha is dropped, not composited; colour profiles and gamma are ignored.
  ///
  /// - Parameters:
  ///   - bytes: the whole file.
  ///   - options: orientation and the limit of pixels.
  /// - Throws: ``ImageError`` for other formats, for truncated or corrupt data, for kinds that are not
  ///   decoded (12-bit or lossless JPEG) and above the limit of pixels.
  public init(decoding bytes: [UInt8], options: DecodingOptions = DecodingOptions()) throws(ImageError) {
    self = try DecodedImage(decoding: bytes, options: options, reducingTo: nil).image
  }
}

extension DecodedImage {
  /// As ``Image/init(decoding:options:)``, with fewer pixels where `rule` wants them.
  /// - Parameter rule: nil to keep all pixels.
  init(
    decoding bytes: [UInt8], options: DecodingOptions, reducingTo rule: ResizeRule?
  ) throws(ImageError) {
    guard !bytes.isEmpty else { throw .empty }
    switch ImageFormat(of: bytes) {
    case .jpeg:
      let orientation = options.appliesExifOrientation ? ImageMetadata(jpeg: bytes).orientation : .upright
      self = try Codec.jpeg.decode(bytes, maxPixels: options.maxPixels) { stored in
        guard let rule else { return 8 }
        let size = orientation.applied(to: stored)
        return Self.eighths(of: size, target: rule.target(for: size))
      }.applying(orientation)
    case .png:
      let orientation = options.appliesExifOrientation ? ImageMetadata(png: bytes).orientation : .upright
      self = try Codec.png.decode(bytes, maxPixels: options.maxPixels) { _ in 8 }.applying(orientation)
    case .other(let name):
      throw .unknownFormat(format: name)
    }
  }

  /// To how many eighths of its sides an image may be decoded that is then resized: so few that both sides are at least as long as
  /// they will be. Other numbers of eighths take longer to decode than all.
  static func eighths(of size: ImageSize, target: ImageSize) -> Int {
    [1, 2, 4].first { size.height * $0 >= 8 * target.height && size.width * $0 >= 8 * target.width } ?? 8
  }
}

/// One of the two C decoders: header first, then pixels straight into the array that becomes the image.
private struct Codec: Sendable {
  typealias Open =
    @convention(c) @Sendable (
      UnsafePointer<UInt8>?, Int, UnsafeMutablePointer<ccodecs_header>?,
      UnsafeMutablePointer<ccodecs_failure>?
    ) -> OpaquePointer?
  typealias Reduce =
    @convention(c) @Sendable (
      OpaquePointer?, CUnsignedInt, UnsafeMutablePointer<ccodecs_header>?,
      UnsafeMutablePointer<ccodecs_failure>?
    ) -> ccodecs_status
  typealias Decode =
    @convention(c) @Sendable (
      OpaquePointer?, UnsafeMutablePointer<UInt8>?, UnsafeMutablePointer<ccodecs_failure>?
    ) -> ccodecs_status

  let name: String
  let open: Open
  /// nil where the format has no such thing.
  let reduce: Reduce?
  let decode: Decode
  let rows: @convention(c) @Sendable (OpaquePointer?) -> UInt32
  let close: @convention(c) @Sendable (OpaquePointer?) -> Void

  static let jpeg = Codec(
    name: "JPEG", open: ccodecs_jpeg_open, reduce: ccodecs_jpeg_reduce, decode: ccodecs_jpeg_decode,
    rows: ccodecs_jpeg_rows,
    close: ccodecs_jpeg_close)
  static let png = Codec(
    name: "PNG", open: ccodecs_png_open, reduce: nil, decode: ccodecs_png_decode, rows: ccodecs_png_rows,
    close: ccodecs_png_close)

  /// - Parameter eighths: to how many eighths of its sides the image of that size is to be decoded.
  func decode(
    _ bytes: [UInt8], maxPixels: Int, eighths: (ImageSize) -> Int
  ) throws(ImageError) -> DecodedImage {
    let result: Result<DecodedImage, ImageError> = bytes.withUnsafeBufferPointer { buffer in
      var header = ccodecs_header()
      var failure = ccodecs_failure()
      guard let decoder = open(buffer.baseAddress, buffer.count, &header, &failure) else {
        return .failure(error(failure, memory: 0, rows: 0, height: nil))
      }
      defer { close(decoder) }
      let (width, height) = (Int(header.width), Int(header.height))
      // Each side has at most 31 bits, so that this product cannot overflow.
      guard width * height <= maxPixels else {
        return .failure(.tooManyPixels(width: width, height: height, limit: maxPixels))
      }
      var target = header
      let eighths = eighths(ImageSize(height: height, width: width))
      if let reduce, eighths < 8, reduce(decoder, CUnsignedInt(eighths), &target, &failure) != CCODECS_OK {
        return .failure(error(failure, memory: 0, rows: 0, height: height))
      }
      let (targetWidth, targetHeight) = (Int(target.width), Int(target.height))
      let (count, isTooLarge) = (targetWidth * targetHeight).multipliedReportingOverflow(by: 3)
      guard !isTooLarge, Memory.canProvide(bytes: count) else {
        return .failure(.outOfMemory(bytes: isTooLarge ? .max : count))
      }
      var status = CCODECS_OK
      let pixels = [UInt8](unsafeUninitializedCapacity: count) { target, initializedCount in
        status = decode(decoder, target.baseAddress, &failure)
        // After a failure the array is thrown away: its rows may never have been written.
        initializedCount = status == CCODECS_OK ? count : 0
      }
      guard status == CCODECS_OK else {
        return .failure(error(failure, memory: count, rows: Int(rows(decoder)), height: targetHeight))
      }
      return .success(
        DecodedImage(
          Image(width: targetWidth, height: targetHeight, pixels: pixels),
          of: ImageSize(height: height, width: width), eighths: eighths))
    }
    return try result.get()
  }

  private func error(_ failure: ccodecs_failure, memory: Int, rows: Int, height: Int?) -> ImageError {
    let reason = withUnsafeBytes(of: failure.message) {
      String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
    }
    switch failure.status {
    case CCODECS_TRUNCATED:
      return .truncated(format: name, bytes: failure.offset, rows: rows, height: height)
    case CCODECS_UNSUPPORTED:
      return .unsupported(format: name, reason: reason)
    case CCODECS_OUT_OF_MEMORY:
      return .outOfMemory(bytes: memory)
    default:
      return .corrupt(format: name, reason: reason, offset: failure.offset)
    }
  }
}
