import Figures
import Images
import Testing

/// Heat maps and overlays, pixel by pixel.
@Suite struct OverlayTests {
  private let map = ValueMap(rows: 2, columns: 3, values: [0, 0.2, 0.4, 0.6, 0.8, 1])
  private var scale: ColorScale { ColorScale(.viridis, 0...1) }

  @Test func `patches are rectangles of one colour`() throws {
    let image = try HeatMap(map, scale: scale).image(patchSide: 5)
    #expect(image.size == ImageSize(height: 10, width: 15))
    for y in 0..<10 {
      for x in 0..<15 { #expect(image.color(x, y) == scale.color(map[y / 5, x / 5])) }
    }
  }

  @Test func `a size that is no multiple gives each pixel the patch of its middle`() throws {
    let image = try HeatMap(map, scale: scale).image(ImageSize(height: 3, width: 7))
    // Middles of seven pixels in three columns: 3/14, 9/14, 15/14, 21/14, 27/14, 33/14, 39/14.
    let columns = [0, 0, 1, 1, 1, 2, 2]
    for x in 0..<7 { #expect(image.color(x, 0) == scale.color(map[0, columns[x]])) }
  }

  @Test func `smooth maps have the values of the patches in their middles and others between`() throws {
    let steps = ValueMap(rows: 1, columns: 2, values: [0, 1])
    let image = try HeatMap(steps, scale: scale, upsampling: .smooth).image(ImageSize(height: 4, width: 64))
    #expect(image.color(0, 0) == ColorMap.viridis[0])
    #expect(image.color(63, 3) == ColorMap.viridis[255])
    let middle = image.color(32, 2)
    #expect(middle != ColorMap.viridis[0] && middle != ColorMap.viridis[255])
    let flat = ValueMap(rows: 3, columns: 3, values: Array(repeating: 0.5, count: 9))
    let plain = try HeatMap(flat, scale: scale, upsampling: .smooth).image(ImageSize(height: 11, width: 17))
    #expect(plain == .plain(scale.color(0.5), width: 17, height: 11))
  }

  @Test(arguments: Upsampling.allCases) func `values that are no numbers keep to their patches`(
    upsampling: Upsampling
  ) throws {
    let map = ValueMap(rows: 1, columns: 3, values: [1, .nan, 0])
    let image = try HeatMap(map, scale: scale, upsampling: upsampling).image(patchSide: 4)
    #expect(image.color(3, 0) == ColorMap.viridis[255])
    #expect((4..<8).allSatisfy { image.color($0, 2) == Theme.standard.missing })
    #expect(image.color(8, 3) == ColorMap.viridis[0])
  }

  @Test func `an overlay mixes the photograph's grey with the map's colour`() throws {
    let photo = Image.plain(Color(0xC86432), width: 30, height: 20)
    let overlay = Overlay(HeatMap(map, scale: scale), over: photo, opacity: 0.5, lowOpacity: 0.5)
    let image = try overlay.image()
    #expect(image.size == photo.size)
    let grey = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    for (x, y) in [(0, 0), (29, 19), (14, 5), (10, 10)] {
      let own = scale.color(map[y / 10, x / 10])
      let found = image.color(x, y)
      for (channel, expected) in [(found.red, own.red), (found.green, own.green), (found.blue, own.blue)] {
        #expect(abs(Double(channel) - (grey + Double(expected)) / 2) <= 2)
      }
    }
  }

  @Test func `the map is opaquer where it is higher`() throws {
    let photo = Image.plain(.white, width: 30, height: 20)
    let image = try Overlay(HeatMap(map, scale: scale), over: photo, opacity: 1, lowOpacity: 0).image()
    #expect(image.color(0, 0) == .white)
    #expect(image.color(29, 19) == ColorMap.viridis[255])
  }

  @Test(arguments: Upsampling.allCases) func `beside its region the photograph is darkened`(
    upsampling: Upsampling
  )
    throws
  {
    let photo = Image.plain(Color(0x646464), width: 40, height: 20)
    let heat = HeatMap(map, scale: scale, upsampling: upsampling)
    let region = ImageRegion(x: 10, y: 0, width: 20, height: 20)
    let image = try Overlay(heat, over: photo, region: region).image()
    #expect(image.color(9, 3) == Color(0x272727))
    #expect(image.color(30, 19) == Color(0x272727))
    #expect(image.color(10, 3) != Color(0x272727))
    #expect(image.color(29, 19) != Color(0x272727))
  }

  @Test(arguments: Upsampling.allCases) func `a region beyond the edges shows its part`(
    upsampling: Upsampling
  ) throws {
    let photo = Image.plain(.white, width: 20, height: 20)
    let heat = HeatMap(map, scale: scale, upsampling: upsampling)
    // The image is the middle ninth of the region: the lower half of the map's row 0 and the upper of row 1, all of column 1.
    let region = ImageRegion(x: -20, y: -20, width: 60, height: 60)
    let image = try Overlay(heat, over: photo, region: region, opacity: 1, lowOpacity: 1).image()
    if upsampling == .patch {
      #expect(image.color(0, 0) == scale.color(0.2) && image.color(19, 9) == scale.color(0.2))
      #expect(image.color(0, 10) == scale.color(0.8) && image.color(19, 19) == scale.color(0.8))
    }
    let whole = try heat.image(ImageSize(height: 60, width: 60))
    for (x, y) in [(0, 0), (7, 12), (19, 19)] { #expect(image.color(x, y) == whole.color(x + 20, y + 20)) }
  }

  @Test func `a region outside of the photograph is not shown`() throws {
    let photo = Image.plain(Color(0x646464), width: 8, height: 8)
    for region in [
      ImageRegion(x: 9, y: 0, width: 4, height: 4), ImageRegion(x: 0, y: 0, width: 0, height: 4),
      ImageRegion(x: .nan, y: 0, width: 4, height: 4), ImageRegion(x: 5, y: 5, width: -4, height: -4),
    ] {
      let image = try Overlay(HeatMap(map, scale: scale, upsampling: .smooth), over: photo, region: region)
        .image()
      #expect(image == .plain(Color(0x272727), width: 8, height: 8))
    }
  }
}
