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
