import Images
import Testing

/// What is written as PNG is read as it was.
@Suite struct PNGEncodingTests {
  /// An image of so many colours in areas of eight pixels.
  private func areas(colors: Int) -> Image {
    var pixels: [UInt8] = []
    for index in 0..<colors * 8 {
      let color = index / 8
      pixels += [UInt8(color & 0xFF), UInt8(color >> 8 & 0xFF), UInt8((color * 37) & 0xFF)]
    }
    return Image(width: colors * 8, height: 1, pixels: pixels)
  }

  @Test(arguments: [1, 2, 3, 4, 5, 16, 17, 255, 256, 257, 1000])
  func `images of few colours and many come back`(colors: Int) throws {
    let image = areas(colors: colors)
    let file = try image.encodedPNG()
    #expect(try Image(decoding: file) == image)
    // Behind the signature and the header's length, name and sides: bits, then 3 for a palette or 2 for colour.
    let bits = colors <= 2 ? 1 : colors <= 4 ? 2 : colors <= 16 ? 4 : 8
    #expect(Array(file[24..<26]) == (colors <= 256 ? [UInt8(bits), 3] : [8, 2]))
  }

  @Test func `photographs and single pixels come back`() throws {
    for image in [
      Image.noise(width: 31, height: 17, seed: 1), Image.noise(width: 300, height: 200, seed: 2),
      Image(width: 1, height: 1, pixels: [1, 2, 3]),
      Image(width: 1, height: 40, pixels: .init(repeating: 7, count: 120)),
    ] {
      let file = try image.encodedPNG()
      #expect(try Image(decoding: file) == image)
      #expect(try image.encodedPNG() == file)
    }
  }

  @Test func `areas of one colour take little room`() throws {
    let image = Image(width: 1000, height: 1000, pixels: .init(repeating: 255, count: 3_000_000))
    #expect(try image.encodedPNG().count < 1000)
  }
}
