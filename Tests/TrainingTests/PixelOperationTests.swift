import Images
import TestSupport
import Testing
import Training

/// Operations on bytes against Pillow's, bit for bit.
@Suite struct PixelOperationTests {
  private struct Case: Decodable {
    let result, source, op: String
    let magnitude: Double
    let interpolation: String?
    let fill: [UInt8]?

    var interpolationValue: AffineInterpolation {
      AffineInterpolation(rawValue: interpolation ?? "") ?? .nearest
    }
  }

  @Test func operations() throws {
    let fixture = try AugmentationFixture("operations")
    let cases = try fixture.cases(Case.self)
    #expect(cases.count > 240)
    for test in cases {
      let source = try fixture.source(test.source)
      let result: Image
      if test.op == "Hue" {
        result = source.withHue(turnedBy: test.magnitude)
      } else {
        let kind = try #require(PolicyOperation(rawValue: test.op))
        let operation: PixelOperation =
          switch kind {
          // Magnitudes beyond single precision, as they are.
          case .rotate: .rotate(test.magnitude)
          case .shearX: .shearX(test.magnitude)
          case .shearY: .shearY(test.magnitude)
          case .translateX: .translateX(test.magnitude)
          case .translateY: .translateY(test.magnitude)
          case .brightness: .brightness(test.magnitude)
          case .color: .color(test.magnitude)
          case .contrast: .contrast(test.magnitude)
          case .sharpness: .sharpness(test.magnitude)
          case .solarize: .solarize(test.magnitude)
          case .posterize, .identity, .autoContrast, .equalize, .invert:
            kind.settled(Float(test.magnitude), isNegative: false)
          }
        result = source.applying(
          operation, interpolation: test.interpolationValue, fill: test.fill ?? [0, 0, 0])
      }
      let difference = result.difference(from: try fixture.image(test.result))
      #expect(
        difference == nil,
        "\(test.op) \(test.magnitude) of \(test.source), \(test.interpolation ?? ""): \(difference ?? "")")
    }
  }

  @Test func identitiesAndInverses() {
    let image = Image(width: 3, height: 2, pixels: (0..<18).map { UInt8($0 * 13) })
    #expect(image.mirrored().mirrored() == image && image.flipped().flipped() == image)
    #expect(image.mirrored() != image && image.flipped() != image)
    #expect(image.inverted().inverted() == image)
    for operation in [
      PixelOperation.identity, .shearX(0), .translateY(0.9), .rotate(360), .brightness(0), .color(0),
      .contrast(0),
      .sharpness(0), .posterize(8), .solarize(256),
    ] { #expect(image.applying(operation) == image, "\(operation)") }
  }

  /// Images that 16 bits of fixed point cannot count.
  @Test func longImages() {
    let image = Image(
      width: 40_000, height: 1, pixels: (0..<120_000).map { UInt8(truncatingIfNeeded: $0 / 3) })
    let sheared = image.applying(.shearX(0.9))
    #expect(sheared.pixels[300] == image.pixels[300] && sheared.pixels[119_000] == image.pixels[119_000])
  }
}
