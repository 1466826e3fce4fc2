import CCairo

/// Which part of a text lies at the point where it is drawn.
public struct TextAnchor: Sendable, Equatable {
  public enum Horizontal: Sendable { case start, middle, end }
  /// The middle is that of a capital letter.
  public enum Vertical: Sendable { case top, middle, baseline, bottom }

  public var horizontal: Horizontal
  public var vertical: Vertical

  public init(_ horizontal: Horizontal, _ vertical: Vertical) {
    (self.horizontal, self.vertical) = (horizontal, vertical)
  }
}

extension Canvas {
  /// One line of text.
  /// - Parameter turned: whether it is read from the bottom up; the anchor is that of the text before it is turned.
  public func draw(
    _ text: String, at point: Point, _ anchor: TextAnchor, _ style: TextStyle, turned: Bool = false
  ) {
    let text = Self.printable(text)
    select(style)
    var font = cairo_font_extents_t()
    cairo_font_extents(context, &font)
    let shift =
      switch anchor.horizontal {
      case .start: 0.0
      case .middle: -advance(text) / 2
      case .end: -advance(text)
      }
    let drop =
      switch anchor.vertical {
      case .top: font.ascent
      case .middle: Self.capitalHeight * style.size / 2
      case .baseline: 0.0
      case .bottom: -font.descent
      }
    set(style.color)
    let start =
      turned ? Point(point.x + drop, point.y - shift) : Point(point.x + shift, point.y + drop)
    cairo_save(context)
    cairo_translate(context, points(pixel(start.x)), points(pixel(start.y)))
    if turned { cairo_rotate(context, -.pi / 2) }
    cairo_move_to(context, 0, 0)
    cairo_show_text(context, text)
    cairo_restore(context)
  }

  /// How far a line of text reaches, in points.
  public func width(of text: String, _ style: TextStyle) -> Double {
    select(style)
    return advance(Self.printable(text))
  }

  /// The width of the widest of some lines, in points.
  public func width(of texts: [String], _ style: TextStyle) -> Double {
    var widest = 0.0
    for text in texts { widest = max(widest, width(of: text, style)) }
    return widest
  }

  /// The distance from line to line, in points.
  public static func lineHeight(_ style: TextStyle) -> Double { style.size * 1.3 }

  /// The text, or as much of its start as fits, with three dots behind.
  public func fit(_ text: String, width limit: Double, _ style: TextStyle) -> String {
    guard width(of: text, style) > limit else { return text }
    var (low, high) = (0, text.count)
    // The longest start that fits.
    while low < high {
      let middle = (low + high + 1) / 2
      if width(of: Self.shortened(text, to: middle), style) <= limit {
        low = middle
      } else {
        high = middle - 1
      }
    }
    return Self.shortened(text, to: low)
  }

  private static func shortened(_ text: String, to count: Int) -> String {
    let start = text.prefix(count)
    return start.reversed().drop { $0.isWhitespace }.reversed().map(String.init).joined() + "..."
  }

  /// Height of a capital letter, as a share of the size: DejaVu Sans'.
  private static let capitalHeight = 0.729

  private func select(_ style: TextStyle) {
    cairo_select_font_face(
      context, theme.family, CAIRO_FONT_SLANT_NORMAL,
      style.isBold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL)
    cairo_set_font_size(context, style.size)
  }

  private func advance(_ text: String) -> Double {
    var extents = cairo_text_extents_t()
    cairo_text_extents(context, text, &extents)
    return extents.x_advance
  }

  /// On one line, without what ends a C string or has no shape.
  private static func printable(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
      return text
    }
    return String(
      String.UnicodeScalarView(
        text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }))
  }
}
