extension Canvas {
  /// Whether the package was built with Cairo.
  public static var isAvailable: Bool {
    #if Cairo
      true
    #else
      false
    #endif
  }

  static let maxSide = 32_767
  static let maxPixels = 1 << 28

  /// Which pixel begins at a point, or nearest to it.
  func pixel(_ position: Double) -> Int { Int((position * scale).rounded()) }

  /// The nearest place where a pixel begins.
  func snapped(_ point: Point) -> Point { Point(points(pixel(point.x)), points(pixel(point.y))) }

  /// Points that so many pixels take.
  public func points(_ pixels: Int) -> Double { Double(pixels) / scale }
}

/// A place on a canvas, in points.
public struct Point: Sendable, Equatable {
  public var x: Double
  public var y: Double

  public init(_ x: Double, _ y: Double) {
    (self.x, self.y) = (x, y)
  }
}

/// A part of a canvas, in points.
public struct Rectangle: Sendable, Equatable {
  public var x: Double
  public var y: Double
  public var width: Double
  public var height: Double

  public init(x: Double, y: Double, width: Double, height: Double) {
    (self.x, self.y, self.width, self.height) = (x, y, width, height)
  }

  var maxX: Double { x + width }
  var maxY: Double { y + height }
  var midX: Double { x + width / 2 }
  var midY: Double { y + height / 2 }
}
