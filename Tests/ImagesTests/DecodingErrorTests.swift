import Images
import TestSupport
import Testing

/// Bytes that are no image, or not a whole one: always an error or an image, never a crash.
@Suite struct DecodingErrorTests {
  private func file(_ fixture: String, _ name: String) throws -> [UInt8] {
    try ImageFixture(fixture).tensor("\(name).file").bytes
  }

  private func decode(
    _ bytes: [UInt8], _ options: DecodingOptions = DecodingOptions()
  ) -> Result<Image, ImageError> {
    Result { () throws(ImageError) in try Image(decoding: bytes, options: options) }
  }

  private func failure(_ bytes: [UInt8], _ options: DecodingOptions = DecodingOptions()) -> ImageError? {
    if case .failure(let error) = decode(bytes, options) { error } else { nil }
  }

  // MARK: Truncation

  @Test(arguments: ["444", "progressive", "cmyk", "restart", "grey"])
  func `every beginning of a JPEG is truncated or complete`(name: String) throws {
    let fixture = try ImageFixture("jpeg")
    let bytes = try fixture.tensor("\(name).file").bytes
    let whole = try fixture.tensor("\(name).rgb").image
    for count in 3..<bytes.count {
      switch decode(Array(bytes[..<count])) {
      case .success(let image):
        // Some bits behind the last row may be missing; half a picture may not.
        #expect(image == whole && count >= bytes.count - 4)
      case .failure(.truncated("JPEG", count, let rows, let height)):
        #expect(rows <= height ?? 0)
      case .failure(let error):
        Issue.record("\(count) bytes: \(error)")
      }
    }
  }

  @Test(arguments: ["rgb-8", "palette-4", "grey-16-interlaced"])
  func `every beginning of a PNG is truncated or complete`(name: String) throws {
    let fixture = try ImageFixture("png")
    let bytes = try fixture.tensor("\(name).file").bytes
    let whole = try fixture.tensor("\(name).rgb").image
    // Behind the last row: what is left of the checksum of the stream, that of the chunk, the end chunk.
    let dispensable = 4 + 4 + 12
    for count in 8..<bytes.count {
      switch decode(Array(bytes[..<count])) {
      case .success(let image):
        #expect(image == whole && count >= bytes.count - dispensable - 8)
      case .failure(.truncated("PNG", count, _, _)):
        break
      case .failure(let error):
        Issue.record("\(count) bytes: \(error)")
      }
    }
  }

  @Test func `a truncated file says how much there is`() throws {
    let bytes = try file("jpeg", "420-large")
    let error = failure(Array(bytes[..<1000]))
    guard case .truncated("JPEG", 1000, let rows, 48) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(rows < 48)
    #expect(error?.description == "truncated JPEG: 1,000 bytes hold \(rows) of 48 rows")
    #expect(failure(Array(bytes[..<20]))?.description == "truncated JPEG: 20 bytes hold no complete header")
  }

  // MARK: Corruption

  @Test(arguments: ["jpeg", "png", "orientation"])
  func `flipped bits never crash`(fixture: String) throws {
    let fixture = try ImageFixture(fixture)
    var generator = SplitMix64(state: 20)
    // Sizes may come out large: they are refused or fail quickly.
    let options = DecodingOptions(maxPixels: 1 << 20)
    for name in fixture.names(endingIn: ".file") {
      let bytes = try fixture.tensor("\(name).file").bytes
      for _ in 0..<60 {
        var damaged = bytes
        for _ in 0..<Int.random(in: 1...6, using: &generator) {
          let index = Int.random(in: 0..<damaged.count, using: &generator)
          damaged[index] = UInt8.random(in: 0...255, using: &generator)
        }
        if let image = try? Image(decoding: damaged, options: options) {
          #expect(image.pixels.count == image.width * image.height * 3)
        }
      }
    }
  }

  @Test func `a corrupt header is named`() throws {
    var bytes = try file("png", "rgb-8")
    bytes[24] = 7  // bits of a sample
    guard case .corrupt("PNG", _, _) = failure(bytes) else {
      Issue.record("\(String(describing: failure(bytes)))")
      return
    }
  }

  @Test func `kinds that are not decoded are named`() throws {
    var bytes = try file("jpeg", "444")
    let frame = try #require(bytes.indices.first { bytes[$0] == 0xFF && bytes[$0 + 1] == 0xC0 })
    bytes[frame + 4] = 12
    guard case .unsupported("JPEG", let reason) = failure(bytes) else {
      Issue.record("\(String(describing: failure(bytes)))")
      return
    }
    #expect(reason.contains("12"))
  }

  // MARK: Limits

  @Test(arguments: [("jpeg", "420-large"), ("png", "rgb-8")])
  func `the limit of pixels is exact`(fixture: String, name: String) throws {
    let bytes = try file(fixture, name)
    let image = try Image(decoding: bytes)
    let count = image.width * image.height
    #expect(failure(bytes, DecodingOptions(maxPixels: count)) == nil)
    let expected = ImageError.tooManyPixels(width: image.width, height: image.height, limit: count - 1)
    #expect(failure(bytes, DecodingOptions(maxPixels: count - 1)) == expected)
  }

  @Test func `a header that claims too much takes no memory`() throws {
    var bytes = try file("png", "rgb-8")
    // 2,147,483,647 pixels a side; the checksum has to be right before anything is believed.
    bytes.replaceSubrange(16..<24, with: [0x7F, 0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF])
    let checksum = crc32(bytes[12..<29])
    bytes.replaceSubrange(29..<33, with: (0..<4).map { UInt8(truncatingIfNeeded: checksum >> (24 - 8 * $0)) })
    let edge = Int(Int32.max)
    let limit = DecodingOptions().maxPixels
    #expect(failure(bytes) == .tooManyPixels(width: edge, height: edge, limit: limit))
    // Without a limit it is memory that lacks, and the process lives on.
    #expect(failure(bytes, DecodingOptions(maxPixels: .max)) == .outOfMemory(bytes: .max))
  }

  private func crc32(_ bytes: some Sequence<UInt8>) -> UInt32 {
    ~bytes.reduce(~0) { sum, byte in
      (0..<8).reduce(sum ^ UInt32(byte)) { sum, _ in sum & 1 == 1 ? sum >> 1 ^ 0xEDB8_8320 : sum >> 1 }
    }
  }

  @Test func `the message about the limit tells the way out`() {
    let error = ImageError.tooManyPixels(width: 30_000, height: 30_000, limit: DecodingOptions().maxPixels)
    #expect(
      error.description == """
        image of 30,000x30,000 pixels (900 megapixels) is above the limit of 537 megapixels; raise it with \
        --max-pixels
        """)
  }

  // MARK: Orientation

  @Test func `hostile EXIF leaves the image upright`() throws {
    let jpeg = try file("orientation", "jpeg-little-1")
    let stripped = try file("jpeg", "444")
    let whole = try Image(decoding: stripped)
    func tiff(_ tail: [UInt8]) -> [UInt8] { Array("Exif\0\0II*\0".utf8) + tail }
    let payloads: [[UInt8]] = [
      [], tiff([]), tiff([8]), tiff([0xFF, 0xFF, 0xFF, 0xFF]), tiff([0, 0, 0, 0]), tiff([4, 0, 0, 0]),
      tiff([8, 0, 0, 0, 0xFF, 0xFF]), tiff([8, 0, 0, 0, 1, 0, 0x12, 0x01]),
      tiff([8, 0, 0, 0, 1, 0, 0x12, 0x01, 3, 0, 1, 0, 0, 0, 99, 0, 0, 0]),
      tiff([8, 0, 0, 0, 1, 0, 0x12, 0x01, 3, 0, 0xFF, 0xFF, 0xFF, 0xFF, 6, 0, 0, 0]),
      tiff([8, 0, 0, 0, 1, 0, 0x12, 0x01, 5, 0, 1, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]),
    ]
    for payload in payloads {
      #expect(try Image(decoding: stripped.insertingJPEGSegment(0xE1, payload)) == whole)
    }
    // Lengths that reach beyond the file, and segments without end.
    var generator = SplitMix64(state: 3)
    for _ in 0..<2000 {
      var bytes = jpeg
      for _ in 0..<4 {
        bytes[Int.random(in: 2..<80, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      _ = ImageMetadata(jpeg: bytes).orientation
      let png = try file("orientation", "png-6")
      var damaged = png
      for _ in 0..<4 {
        damaged[Int.random(in: 8..<100, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      _ = ImageMetadata(png: damaged).orientation
    }
  }

  @Test func `chunks that do not make the picture are skipped`() throws {
    let png = try file("png", "rgb-8")
    let whole = try Image(decoding: png)
    for name in ["tEXt", "iCCP", "eXIf", "quIZ", "gAMA"] {
      #expect(try Image(decoding: png.insertingPNGChunk(name, [1, 2, 3])) == whole)
    }
  }
}
