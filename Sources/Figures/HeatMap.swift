import Images

/// How a map is brought to more pixels than it has values.
public enum Upsampling: String, CaseIterable, Sendable {
  /// Bicubic: values in between are estimated.
  case smooth
  /// Each value is a rectangle.
  case patch
}

/// A map of values in colours.
public struct HeatMap: Sendable {
  public var map: ValueMap
  public var scale: ColorScale
  /// A map with values that are not finite is drawn patch by patch, so that these keep to themselves.
  public var upsampling: Upsampling

  public init(_ map: ValueMap, scale: ColorScale, upsampling: Upsampling = .patch) {
    (self.map, self.scale, self.upsampling) = (map, scale, upsampling)
  }

  /// The map alone, without labels.
  /// - Parameter size: in pixels, of any aspect.
  /// - Throws: `ImageError.resizeTooExtreme`.
  public func image(_ size: ImageSize) throws(ImageError) -> Image {
    let levels = try levels(MapPlacement(region: .all(of: size), window: size))
    let table = colorTable
    let pixels = [UInt8](unsafeUninitializedCapacity: levels.count * 3) { pixels, count in
      for (index, level) in levels.enumerated() {
        for channel in 0..<3 { pixels[3 * index + channel] = table[3 * Int(level) + channel] }
      }
      count = levels.count * 3
    }
    return Image(width: size.width, height: size.height, pixels: pixels)
  }

  /// Each value as a square of `side` pixels.
  public func image(patchSide side: Int) throws(ImageError) -> Image {
    try image(ImageSize(height: map.rows * side, width: map.columns * side))
  }

  /// The level of a value that is no number.
  static let missing: UInt16 = 256

  /// uint8 [257, 3]: the colours of the levels, the missing one included.
  var colorTable: [UInt8] {
    let missing = Theme.standard.missing
    return scale.map.table + [missing.red, missing.green, missing.blue]
  }

  /// The levels of the part of the placed map that lies in the window: [rows, columns].
  func levels(_ placement: MapPlacement) throws(ImageError) -> [UInt16] {
    guard upsampling == .smooth, map.isFinite else { return patches(placement) }
    // As a grey image of one pixel a value, whose pixels hold each level three times.
    let image = Image(
      width: map.columns, height: map.rows,
      pixels: map.values.flatMap { value in repeatElement(scale.level(value), count: 3) })
    let pixels = try placement.resample(image)
    return stride(from: 0, to: pixels.count, by: 3).map { UInt16(pixels[$0]) }
  }

  private func patches(_ placement: MapPlacement) -> [UInt16] {
    let levels = map.values.map { $0.isFinite ? UInt16(scale.level($0)) : Self.missing }
    let columns = placement.columns.map { placement.column(of: $0, count: map.columns) }
    var result: [UInt16] = []
    result.reserveCapacity(placement.rows.count * columns.count)
    for y in placement.rows {
      let row = placement.row(of: y, count: map.rows) * map.columns
      for column in columns { result.append(levels[row + column]) }
    }
    return result
  }
}

extension Image {
  /// Each pixel as a square of `side` pixels.
  public func magnified(by side: Int) -> Image {
    guard side > 1 else { return self }
    var result: [UInt8] = []
    result.reserveCapacity(pixels.count * side * side)
    for y in 0..<height {
      var row: [UInt8] = []
      for first in stride(from: 3 * y * width, to: 3 * (y + 1) * width, by: 3) {
        for _ in 0..<side { row += pixels[first..<first + 3] }
      }
      for _ in 0..<side { result += row }
    }
    return Image(width: width * side, height: height * side, pixels: result)
  }
}
