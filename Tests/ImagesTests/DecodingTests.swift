import Images
import Testing

/// Decoded pixels against those of Pillow.
@Suite struct DecodingTests {
  static let jpegs = (try? ImageFixture("jpeg").names(endingIn: ".file")) ?? []
  static let pngs = (try? ImageFixture("png").names(endingIn: ".file")) ?? []
  static let oriented = (try? ImageFixture("orientation").names(endingIn: ".file")) ?? []

  @Test func `fixtures are there`() {
    #expect(Self.jpegs.count >= 30)
    #expect(Self.pngs.count >= 45)
    #expect(Self.oriented.count >= 25)
  }

  @Test(arguments: jpegs) func `JPEG decodes to Pillow's pixels`(name: String) throws {
    try compare("jpeg", name)
  }

  @Test(arguments: pngs) func `PNG decodes to Pillow's pixels`(name: String) throws {
    try compare("png", name)
  }

  @Test(arguments: oriented) func `orientation is applied as by Pillow`(name: String) throws {
    try compare("orientation", name)
  }

  private func compare(_ fixture: String, _ name: String) throws {
    let fixture = try ImageFixture(fixture)
    let image = try Image(decoding: fixture.tensor("\(name).file").bytes)
    let expected = try fixture.tensor("\(name).rgb").image
    #expect(image.size == expected.size)
    #expect(image.pixels == expected.pixels)
  }

  @Test func `orientation can be left alone`() throws {
    let fixture = try ImageFixture("orientation")
    let bytes = try fixture.tensor("jpeg-little-6.file").bytes
    let stored = try Image(decoding: bytes, options: DecodingOptions(appliesExifOrientation: false))
    #expect(stored == (try fixture.tensor("jpeg-little-1.rgb").image))
    #expect(stored.applying(.rotatedLeft) == (try Image(decoding: bytes)))
  }

  @Test(arguments: Orientation.allCases) func `orientations undo each other`(orientation: Orientation) {
    let image = Image.noise(width: 5, height: 3, seed: 1)
    let inverse: Orientation =
      switch orientation {
      case .rotatedLeft: .rotatedRight
      case .rotatedRight: .rotatedLeft
      default: orientation
      }
    #expect(image.applying(orientation).applying(inverse) == image)
  }
}
