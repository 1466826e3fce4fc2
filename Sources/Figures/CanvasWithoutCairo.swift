#if !Cairo
  import Images

  /// What stands for a canvas in a package that was built without the trait `Cairo`: none can be made.
  public struct Canvas: ~Copyable {
    public let width: Double
    public let height: Double
    public let scale: Double
    let theme: Theme

    /// - Throws: `FigureError.unavailable`.
    public init(width: Double, height: Double, theme: Theme = .standard) throws(FigureError) {
      throw .unavailable
    }

    public consuming func finish() throws(FigureError) -> Image { throw .unavailable }

    public func fill(_ rectangle: Rectangle, _ color: Color, opacity: Double = 1) {}
    public func fill(_ corners: [Point], _ color: Color) {}
    public func frame(_ rectangle: Rectangle, _ color: Color, width: Double = 0.8) {}
    public func line(
      _ points: [Point], _ color: Color, width: Double, dash: [Double] = [], opacity: Double = 1
    ) {}
    public func dot(_ center: Point, radius: Double, _ color: Color, opacity: Double = 1) {}
    func clip(to rectangle: Rectangle) {}
    func unclip() {}
    public func draw(
      _ text: String, at point: Point, _ anchor: TextAnchor, _ style: TextStyle, turned: Bool = false
    ) {}
    public func width(of text: String, _ style: TextStyle) -> Double { 0 }
    public func draw(_ image: Image, at corner: Point) {}
  }
#endif
