#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Where each pixel of a result comes from: (a x + b y + c, d x + e y + f), in the source's pixels, both from the upper left corner.
public struct AffineMap: Sendable, Equatable {
  public var a, b, c, d, e, f: Double

  public init(_ a: Double, _ b: Double, _ c: Double, _ d: Double, _ e: Double, _ f: Double) {
    (self.a, self.b, self.c, self.d, self.e, self.f) = (a, b, c, d, e, f)
  }

  /// torchvision's shear along the rows: `tan` of the shear's angle is `magnitude`; the upper left corner stays.
  static func shearX(_ magnitude: Double) -> AffineMap {
    torchvision(shearX: degrees(atan(magnitude)), shearY: 0)
  }

  /// The same along the columns.
  static func shearY(_ magnitude: Double) -> AffineMap {
    torchvision(shearX: 0, shearY: degrees(atan(magnitude)))
  }

  /// The image moved by whole pixels, to the right and down where they are positive.
  static func translation(x: Int, y: Int, of size: ImageSize) -> AffineMap {
    torchvision(
      centerX: Double(size.width) * 0.5, centerY: Double(size.height) * 0.5, x: Double(x), y: Double(y),
      shearX: 0, shearY: 0)
  }

  /// Pillow's `Image.rotate` about the centre.
  /// - Parameter angle: degrees, counterclockwise.
  static func rotation(_ angle: Double, of size: ImageSize) -> AffineMap {
    let radians = -self.radians(angle)
    let (cosine, sine) = (toFifteenPlaces(cos(radians)), toFifteenPlaces(sin(radians)))
    let minusSine = toFifteenPlaces(-sin(radians))
    let (x, y) = (Double(size.width) / 2, Double(size.height) / 2)
    var map = AffineMap(cosine, sine, 0, minusSine, cosine, 0)
    map.c = map.a * -x + map.b * -y + 0 + x
    map.f = map.d * -x + map.e * -y + 0 + y
    return map
  }

  /// torchvision's `_get_inverse_affine_matrix` without rotation and scale, in its order of operations.
  private static func torchvision(
    centerX: Double = 0, centerY: Double = 0, x: Double = 0, y: Double = 0, shearX: Double, shearY: Double
  ) -> AffineMap {
    let (shearX, shearY) = (radians(shearX), radians(shearY))
    let a = cos(-shearY) / cos(shearY)
    let b = -cos(-shearY) * tan(shearX) / cos(shearY) - sin(0)
    let c = sin(-shearY) / cos(shearY)
    let d = -sin(-shearY) * tan(shearX) / cos(shearY) + cos(0)
    var map = AffineMap(d, -b, 0, -c, a, 0)
    map.c += map.a * (-centerX - x) + map.b * (-centerY - y)
    map.f += map.d * (-centerX - x) + map.e * (-centerY - y)
    map.c += centerX
    map.f += centerY
    return map
  }

  private static func radians(_ degrees: Double) -> Double { degrees * (.pi / 180) }
  private static func degrees(_ radians: Double) -> Double { radians * (180 / .pi) }

  /// Python's `round(value, 15)`: the nearest number of fifteen decimal places.
  private static func toFifteenPlaces(_ value: Double) -> Double {
    var text = [CChar](repeating: 0, count: 32)
    let written = withVaList([value]) { vsnprintf(&text, text.count, "%.15f", $0) }
    return written > 0 ? strtod(text, nil) : value
  }
}

/// How pixels between the source's are found. Unlike ``Interpolation``, nothing widens with a reduction.
public enum AffineInterpolation: String, CaseIterable, Codable, Sendable {
  case nearest, bilinear, bicubic
}

extension Image {
  /// Pillow's `Image.transform(size, AFFINE, map, interpolation, fillcolor: fill)`.
  ///
  /// - Parameters:
  ///   - map: where each pixel comes from.
  ///   - fill: red, green and blue of what comes from outside.
  public func transformed(
    by map: AffineMap, interpolation: AffineInterpolation = .nearest, fill: [UInt8] = [0, 0, 0]
  ) -> Image {
    precondition(fill.count == 3, "a fill is red, green and blue")
    let pixels = [UInt8](unsafeUninitializedCapacity: self.pixels.count) { output, count in
      for index in output.indices { output[index] = fill[index % 3] }
      self.pixels.withUnsafeBufferPointer { source in
        let transform = AffineTransform(
          source: source, output: output, width: width, height: height, map: map)
        switch interpolation {
        case .nearest: transform.nearest()
        case .bilinear: transform.bilinear()
        case .bicubic: transform.bicubic()
        }
      }
      count = self.pixels.count
    }
    return Image(width: width, height: height, pixels: pixels)
  }

  /// Pillow's `Image.rotate(angle, interpolation, fillcolor: fill)`: about the centre, same size.
  /// - Parameter angle: degrees, counterclockwise.
  public func rotated(
    by angle: Double, interpolation: AffineInterpolation = .nearest, fill: [UInt8] = [0, 0, 0]
  ) -> Image {
    // Python's remainder, which has the divisor's sign.
    var angle = fmod(angle, 360)
    if angle < 0 { angle += 360 }
    switch angle {
    case 0: return self
    case 180: return applying(.upsideDown)
    case 90 where width == height: return applying(.rotatedRight)
    case 270 where width == height: return applying(.rotatedLeft)
    default:
      return transformed(by: .rotation(angle, of: size), interpolation: interpolation, fill: fill)
    }
  }
}

/// One run over the pixels of a result. Source: Pillow, `Geometry.c`.
private struct AffineTransform {
  /// uint8 [height, width, 3].
  let source: UnsafeBufferPointer<UInt8>
  /// Likewise, filled with the colour of the outside.
  let output: UnsafeMutableBufferPointer<UInt8>
  let width: Int
  let height: Int
  let map: AffineMap

  /// The pixel that a coordinate lies in, or one that does not exist.
  private func pixel(_ coordinate: Double) -> Int {
    coordinate >= 0 && coordinate < 1e9 ? Int(coordinate) : -1
  }

  private func copy(toX x: Int, y: Int, fromX sourceX: Int, y sourceY: Int) {
    guard sourceX >= 0, sourceX < width, sourceY >= 0, sourceY < height else { return }
    let (target, origin) = ((y * width + x) * 3, (sourceY * width + sourceX) * 3)
    output[target] = source[origin]
    output[target + 1] = source[origin + 1]
    output[target + 2] = source[origin + 2]
  }

  // MARK: Nearest

  func nearest() {
    if map.b == 0, map.d == 0 {
      scaled()
    } else if isWithinFixedPoint {
      inFixedPoint()
    } else {
      summed()
    }
  }

  /// Rows and columns are looked up apart; positions are summed up, with the errors that this brings.
  private func scaled() {
    var (x, y) = (map.c + map.a * 0.5, map.f + map.e * 0.5)
    let columns = (0..<width).map { _ in
      defer { x += map.a }
      return pixel(x)
    }
    for row in 0..<height {
      let sourceY = pixel(y)
      for column in 0..<width { copy(toX: column, y: row, fromX: columns[column], y: sourceY) }
      y += map.e
    }
  }

  private var isWithinFixedPoint: Bool {
    [(0, 0), (width, height), (0, height), (width, 0)].allSatisfy { x, y in
      let (x, y) = (Double(x), Double(y))
      return abs(x * map.a + y * map.b + map.c) < 32768 && abs(x * map.d + y * map.e + map.f) < 32768
    }
  }

  /// Positions in 16.16 bits.
  private func inFixedPoint() {
    func fixed(_ value: Double) -> Int32 {
      Int32(truncatingIfNeeded: Int((value * 65536 + 0.5).rounded(.down)))
    }
    let (a, b, d, e) = (fixed(map.a), fixed(map.b), fixed(map.d), fixed(map.e))
    var rowX = fixed(map.c + map.a * 0.5 + map.b * 0.5)
    var rowY = fixed(map.f + map.d * 0.5 + map.e * 0.5)
    for y in 0..<height {
      var (sourceX, sourceY) = (rowX, rowY)
      for x in 0..<width {
        copy(toX: x, y: y, fromX: Int(sourceX >> 16), y: Int(sourceY >> 16))
        sourceX &+= a
        sourceY &+= d
      }
      rowX &+= b
      rowY &+= e
    }
  }

  /// For images that 16 bits cannot count.
  private func summed() {
    var rowX = map.c + map.b * 0.5 + map.a * 0.5
    var rowY = map.f + map.e * 0.5 + map.d * 0.5
    for y in 0..<height {
      var (sourceX, sourceY) = (rowX, rowY)
      for x in 0..<width {
        copy(toX: x, y: y, fromX: pixel(sourceX), y: pixel(sourceY))
        sourceX += map.a
        sourceY += map.d
      }
      rowX += map.b
      rowY += map.e
    }
  }

  // MARK: Between pixels

  /// Calls `body` for each pixel that comes from within the source: where its first channel goes, and the whole and the fractional
  /// part of the place that it comes from, from the centre of the first pixel.
  private func forEachInside(_ body: (_ target: Int, _ x: Int, _ y: Int, _ dx: Double, _ dy: Double) -> Void)
  {
    for row in 0..<height {
      for column in 0..<width {
        let (x, y) = (Double(column) + 0.5, Double(row) + 0.5)
        let sourceX = map.a * x + map.b * y + map.c
        let sourceY = map.d * x + map.e * y + map.f
        guard sourceX >= 0, sourceX < Double(width), sourceY >= 0, sourceY < Double(height) else { continue }
        let (floorX, floorY) = ((sourceX - 0.5).rounded(.down), (sourceY - 0.5).rounded(.down))
        body(
          (row * width + column) * 3, Int(floorX), Int(floorY), sourceX - 0.5 - floorX, sourceY - 0.5 - floorY
        )
      }
    }
  }

  private func offset(column: Int) -> Int { min(max(column, 0), width - 1) * 3 }

  func bilinear() {
    forEachInside { target, x, y, dx, dy in
      let (left, right) = (offset(column: x), offset(column: x + 1))
      let upper = min(max(y, 0), height - 1) * width * 3
      let lower = y + 1 >= 0 && y + 1 < height ? (y + 1) * width * 3 : upper
      for channel in 0..<3 {
        func along(_ row: Int) -> Double {
          let (a, b) = (Int(source[row + left + channel]), Int(source[row + right + channel]))
          return Double(a) + Double(b - a) * dx
        }
        let (first, second) = (along(upper), along(lower))
        output[target + channel] = UInt8(first + (second - first) * dy)
      }
    }
  }

  func bicubic() {
    func cubic(_ v1: Double, _ v2: Double, _ v3: Double, _ v4: Double, _ d: Double) -> Double {
      let p2 = -v1 + v3
      let p3 = 2 * (v1 - v2) + v3 - v4
      let p4 = -v1 + v2 - v3 + v4
      return v2 + d * (p2 + d * (p3 + d * p4))
    }
    forEachInside { target, x, y, dx, dy in
      let columns = (offset(column: x - 1), offset(column: x), offset(column: x + 1), offset(column: x + 2))
      for channel in 0..<3 {
        func along(_ row: Int) -> Double {
          func value(_ column: Int) -> Double { Double(source[row * width * 3 + column + channel]) }
          return cubic(value(columns.0), value(columns.1), value(columns.2), value(columns.3), dx)
        }
        // Beyond the last row each row repeats the one before.
        var rows = (along(min(max(y - 1, 0), height - 1)), 0.0, 0.0, 0.0)
        rows.1 = y >= 0 && y < height ? along(y) : rows.0
        rows.2 = y + 1 >= 0 && y + 1 < height ? along(y + 1) : rows.1
        rows.3 = y + 2 >= 0 && y + 2 < height ? along(y + 2) : rows.2
        let value = cubic(rows.0, rows.1, rows.2, rows.3, dy)
        output[target + channel] = value <= 0 ? 0 : value >= 255 ? 255 : UInt8(value)
      }
    }
  }
}
