import Images

/// A heat map laid over the photograph that it speaks of, at the photograph's full resolution.
///
/// Where the map is, the photograph shows through in grey, so that all colour is the map's; beside it, it is darkened. The map is opaquer the higher
/// its values are.
public struct Overlay: Sendable {
  public var photo: Image
  public var heatMap: HeatMap
  /// Which part of the photograph the map covers; nil for all of it.
  public var region: ImageRegion?
  /// Share of the map's colours where its values are highest, 0...1.
  public var opacity: Double
  /// The same where they are lowest.
  public var lowOpacity: Double
  /// How much of its own colour the photograph loses under the map, 0...1.
  public var greying: Double

  public init(
    _ heatMap: HeatMap, over photo: Image, region: ImageRegion? = nil, opacity: Double = 0.75,
    lowOpacity: Double = 0.3, greying: Double = 1
  ) {
    (self.heatMap, self.photo, self.region) = (heatMap, photo, region)
    (self.opacity, self.lowOpacity, self.greying) = (opacity, lowOpacity, greying)
  }

  /// What is left of the brightness beside the map.
  private static let besideBrightness = 0.4

  /// - Returns: an image of the photograph's size.
  /// - Throws: `ImageError.resizeTooExtreme`.
  public func image() throws(ImageError) -> Image {
    let placement = MapPlacement(region: region ?? .all(of: photo.size), window: photo.size)
    let levels = try heatMap.levels(placement)
    let (colors, opacities) = (heatMap.colorTable, opacities)
    // All shares are in 256ths.
    let greying = Self.share(greying)
    let beside = Self.share(Self.besideBrightness)
    var pixels = photo.pixels
    pixels.withUnsafeMutableBufferPointer { pixels in
      var next = 0
      for y in 0..<photo.height {
        for x in 0..<photo.width {
          let pixel = 3 * (y * photo.width + x)
          guard placement.rows.contains(y), placement.columns.contains(x) else {
            for channel in pixel..<pixel + 3 {
              pixels[channel] = UInt8((Int32(pixels[channel]) * beside) >> 8)
            }
            continue
          }
          let level = Int(levels[next])
          next += 1
          let grey =
            (77 * Int32(pixels[pixel]) + 150 * Int32(pixels[pixel + 1]) + 29 * Int32(pixels[pixel + 2])) >> 8
          for channel in 0..<3 {
            let own = Int32(pixels[pixel + channel])
            let under = own + (((grey - own) * greying) >> 8)
            let over = Int32(colors[3 * level + channel])
            pixels[pixel + channel] = UInt8(
              clamping: under + (((over - under) * opacities[level] + 128) >> 8))
          }
        }
      }
    }
    return Image(width: photo.width, height: photo.height, pixels: pixels)
  }

  /// Of each level, and of what is missing: [257].
  private var opacities: [Int32] {
    (0...Int(HeatMap.missing)).map { level in
      Self.share(lowOpacity + (opacity - lowOpacity) * min(Double(level) / 255, 1))
    }
  }

  private static func share(_ value: Double) -> Int32 { Int32((min(max(value, 0), 1) * 256).rounded()) }
}
