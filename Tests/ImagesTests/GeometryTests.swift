import Images
import Testing

@Suite struct GeometryTests {
  private let image = Image(width: 2, height: 2, pixels: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])

  @Test func `a crop within the image`() throws {
    #expect(try image.cropped(rows: 1..<2, columns: 0..<2).pixels == [7, 8, 9, 10, 11, 12])
    #expect(try image.cropped(rows: 0..<2, columns: 1..<2).pixels == [4, 5, 6, 10, 11, 12])
  }

  @Test func `a crop beyond the image shows the fill`() throws {
    let crop = try image.cropped(rows: -1..<1, columns: 1..<3, fill: [90, 91, 92])
    #expect(crop.pixels == [90, 91, 92, 90, 91, 92, 4, 5, 6, 90, 91, 92])
    let outside = try image.cropped(rows: 5..<6, columns: -9..<(-8), fill: [90, 91, 92])
    #expect(outside.pixels == [90, 91, 92])
  }

  @Test func `padding`() throws {
    let padded = try image.padded(top: 1, left: 1)
    #expect(padded.size == ImageSize(3))
    #expect(Array(padded.pixels[9...]) == [0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 7, 8, 9, 10, 11, 12])
    #expect(try image.padded() == image)
    #expect(try padded.cropped(rows: 1..<3, columns: 1..<3) == image)
  }

  @Test func `a crop without bounds is refused`() {
    #expect(throws: ImageError.outOfMemory(bytes: .max)) {
      try image.cropped(rows: 0..<Int.max / 2, columns: 0..<Int.max / 2)
    }
  }

  // Expected values: torchvision's center_crop and transformers' center_crop.
  @Test(arguments: [
    (10, 7, 2, 1), (9, 7, 1, 1), (7, 10, -1, -2), (7, 9, -1, -1), (5, 5, 0, 0), (8, 3, 2, 2), (12, 7, 2, 2),
    (14, 7, 4, 3),
  ])
  func `centres are rounded as the libraries do`(length: Int, window: Int, halfToEven: Int, down: Int) {
    #expect(CenterRounding.halfToEven.start(ofWindow: window, in: length) == halfToEven)
    #expect(CenterRounding.down.start(ofWindow: window, in: length) == down)
  }
}
