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
  static let capitalHeight = 0.729

  /// On one line, without what ends a C string or has no shape.
  static func printable(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
      return text
    }
    return String(
      String.UnicodeScalarView(
        text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }))
  }
}
