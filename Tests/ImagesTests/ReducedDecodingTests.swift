import Foundation
import Images
import Testing

/// JPEG images that are decoded smaller than they are.
@Suite struct ReducedDecodingTests {
  private static let reducing = DecodingOptions(mayReduce: true)

  /// 451x300 pixels, 4:2:0.
  private static func photo(_ name: String = "cat") throws -> [UInt8] {
    let project = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    return [UInt8](try Data(contentsOf: project.appending(path: "samples/photos/\(name).jpg")))
  }

  private static func transform(
    _ size: Int, cropFraction: Double = 1, interpolation: Interpolation = .bicubic
  ) throws -> EvaluationTransform {
    try EvaluationTransform(
      size: ImageSize(size), cropFraction: cropFraction, interpolation: interpolation, mean: [0, 0, 0],
      std: [1, 1, 1])
  }

  /// A JPEG file with an EXIF orientation put in front of what it has.
  private static func oriented(_ bytes: [UInt8], _ orientation: Int) -> [UInt8] {
    let tiff: [UInt8] =
      [0x49, 0x49, 0x2A, 0, 8, 0, 0, 0, 1, 0, 0x12, 0x01, 3, 0, 1, 0, 0, 0, UInt8(orientation), 0, 0, 0] + [
        0, 0, 0, 0,
      ]
    return bytes.insertingJPEGSegment(0xE1, Array("Exif\0\0".utf8) + tiff)
  }

  /// Mean absolute difference of two prepared images, in steps of 8 bits.
  private static func difference(_ a: Image, _ b: Image) -> Double {
    guard a.size == b.size else { return .infinity }
    let sum = zip(a.pixels, b.pixels).reduce(0) { $0 + abs(Int($1.0) - Int($1.1)) }
    return Double(sum) / Double(a.pixels.count)
  }

  // MARK: Sizes

  /// The least eighth whose sides are still as long as what they are resized to; odd sides are rounded up.
  @Test(arguments: [
    (32, ImageSize(height: 38, width: 57)), (37, ImageSize(height: 38, width: 57)),
    (38, ImageSize(height: 75, width: 113)), (75, ImageSize(height: 75, width: 113)),
    (76, ImageSize(height: 150, width: 226)), (150, ImageSize(height: 150, width: 226)),
    (151, ImageSize(height: 300, width: 451)), (448, ImageSize(height: 300, width: 451)),
  ]) func `no smaller than needed`(size: Int, expected: ImageSize) throws {
    let decoded = try DecodedImage(
      decoding: Self.photo(), options: Self.reducing, for: Self.transform(size))
    #expect(decoded.image.size == expected)
    #expect(decoded.size == ImageSize(height: 300, width: 451))
  }

  /// Every kind of JPEG of the fixtures: grey, CMYK, progressive, all subsamplings, sides off every block.
  @Test(arguments: DecodingTests.jpegs) func `every kind is reduced`(name: String) throws {
    let bytes = try ImageFixture("jpeg").tensor("\(name).file").bytes
    let whole = try Image(decoding: bytes)
    let transform = try Self.transform(1)
    let decoded = try DecodedImage(decoding: bytes, options: Self.reducing, for: transform)
    #expect(decoded.size == whole.size)
    #expect(
      [1, 2, 4, 8].contains { eighths in
        decoded.image.size
          == ImageSize(height: (whole.height * eighths + 7) / 8, width: (whole.width * eighths + 7) / 8)
      })
    let (exact, prepared) = (try transform.prepare(whole), try transform.prepare(decoded))
    #expect(prepared.size == exact.size)
    #expect(Self.difference(exact, prepared) < 40, "\(name)")
  }

  // MARK: Exactness

  @Test func `pixels are exact where nothing is reduced`() throws {
    let bytes = try Self.photo()
    let exact = DecodedImage(try Image(decoding: bytes))
    for transform in [
      try Self.transform(224), try Self.transform(32, interpolation: .nearest), try Self.transform(151),
    ] {
      #expect(try DecodedImage(decoding: bytes, options: Self.reducing, for: transform) == exact)
    }
    #expect(try DecodedImage(decoding: bytes, options: Self.reducing, for: nil) == exact)
    let small = try Self.transform(32)
    #expect(try DecodedImage(decoding: bytes, options: DecodingOptions(), for: small) == exact)
    // PNG has no frequencies.
    let png = try ImageFixture("png").tensor("\(try #require(DecodingTests.pngs.first)).file").bytes
    #expect(
      try DecodedImage(decoding: png, options: Self.reducing, for: Self.transform(1))
        == DecodedImage(Image(decoding: png)))
  }

  /// What the network sees may differ by so much on average: these photos show 3.3 at most, and 6.5 at least where they are displaced
  /// by one pixel.
  private static let limit = 4.0

  /// What the network sees is nearly the same.
  @Test(arguments: ["cat", "dog", "horse", "owl", "moose"]) func `what is prepared is close`(name: String)
    throws
  {
    let bytes = try Self.photo(name)
    let whole = try Image(decoding: bytes)
    for (size, cropFraction) in [(32, 0.9), (48, 1.0), (64, 0.875), (112, 0.9), (128, 1.0)] {
      let transform = try Self.transform(size, cropFraction: cropFraction)
      let decoded = try DecodedImage(decoding: bytes, options: Self.reducing, for: transform)
      #expect(decoded.image.pixels.count < whole.pixels.count / 3)
      let difference = Self.difference(try transform.prepare(whole), try transform.prepare(decoded))
      #expect(difference < Self.limit, "\(name) at \(size): \(difference)")
    }
  }

  // MARK: Orientation

  /// Where a side is no multiple of 8, its last pixel is a partial one; turned upright, it may be the first.
  @Test(arguments: 1...8) func `orientation and reduction go together`(orientation: Int) throws {
    let bytes = Self.oriented(try Self.photo(), orientation)
    let whole = try Image(decoding: bytes)
    #expect(
      whole.size
        == (orientation < 5 ? ImageSize(height: 300, width: 451) : ImageSize(height: 451, width: 300)))
    for size in [32, 37, 64, 128] {
      let transform = try Self.transform(size)
      let decoded = try DecodedImage(decoding: bytes, options: Self.reducing, for: transform)
      #expect(decoded.size == whole.size && decoded.image.pixels.count < whole.pixels.count / 3)
      let difference = Self.difference(try transform.prepare(whole), try transform.prepare(decoded))
      #expect(difference < Self.limit, "\(difference) at \(size)")
    }
  }

  // MARK: Failures

  @Test func `damage is found as in whole images`() throws {
    let bytes = try Self.photo()
    let transform = try Self.transform(32)
    for count in [100, 700, bytes.count / 2] {
      #expect(throws: ImageError.self) {
        try DecodedImage(decoding: Array(bytes.prefix(count)), options: Self.reducing, for: transform)
      }
    }
    var limited = Self.reducing
    limited.maxPixels = 300 * 451 - 1
    #expect(throws: ImageError.tooManyPixels(width: 451, height: 300, limit: limited.maxPixels)) {
      try DecodedImage(decoding: bytes, options: limited, for: transform)
    }
  }
}
