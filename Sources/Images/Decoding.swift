import CCodecs

/// How images are decoded.
public struct DecodingOptions: Sendable, Equatable {
  /// Whether an image is turned as its EXIF orientation asks, as viewers do.
  public var appliesExifOrientation: Bool
  /// Images of more pixels are refused before memory is taken for them. 512 Mi by default: 1.5 GiB.
  public var maxPixels: Int

  public init(appliesExifOrientation: Bool = true, maxPixels: Int = 512 * 1024 * 1024) {
    self.appliesExifOrientation = appliesExifOrientation
    self.maxPixels = maxPixels
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
    guard !bytes.isEmpty else { throw .empty }
    let decoded: Image
    var orientation = Orientation.upright
    switch ImageFormat(of: bytes) {
    case .jpeg:
      decoded = try Codec.jpeg.decode(bytes, maxPixels: options.maxPixels)
      if options.appliesExifOrientation { orientation = ImageMetadata(jpeg: bytes).orientation }
    case .png:
      decoded = try Codec.png.decode(bytes, maxPixels: options.maxPixels)
      if options.appliesExifOrientation { orientation = ImageMetadata(png: bytes).orientation }
    case .other(let name):
      throw .unknownFormat(format: name)
    }
    self = orientation == .upright ? decoded : decoded.applying(orientation)
  }
}

/// One of the two C decoders: header first, then pixels straight into the array that becomes the image.
private struct Codec: Sendable {
  typealias Open =
    @convention(c) @Sendable (
      UnsafePointer<UInt8>?, Int, UnsafeMutablePointer<ccodecs_header>?,
      UnsafeMutablePointer<ccodecs_failure>?
    ) -> OpaquePointer?
  typealias Decode =
    @convention(c) @Sendable (
      OpaquePointer?, UnsafeMutablePointer<UInt8>?, UnsafeMutablePointer<ccodecs_failure>?
    ) -> ccodecs_status

  let name: String
  let open: Open
  let decode: Decode
  let rows: @convention(c) @Sendable (OpaquePointer?) -> UInt32
  let close: @convention(c) @Sendable (OpaquePointer?) -> Void

  static let jpeg = Codec(
    name: "JPEG", open: ccodecs_jpeg_open, decode: ccodecs_jpeg_decode, rows: ccodecs_jpeg_rows,
    close: ccodecs_jpeg_close)
  static let png = Codec(
    name: "PNG", open: ccodecs_png_open, decode: ccodecs_png_decode, rows: ccodecs_png_rows,
    close: ccodecs_png_close)

  func decode(_ bytes: [UInt8], maxPixels: Int) throws(ImageError) -> Image {
    let result: Result<Image, ImageError> = bytes.withUnsafeBufferPointer { buffer in
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
      let (count, isTooLarge) = (width * height).multipliedReportingOverflow(by: 3)
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
        return .failure(error(failure, memory: count, rows: Int(rows(decoder)), height: height))
      }
      return .success(Image(width: width, height: height, pixels: pixels))
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
