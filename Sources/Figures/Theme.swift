/// How pictures look: colours, sizes of letters in points, widths of lines in points.
public struct Theme: Sendable {
  public var background = Color.white
  /// Text and the lines of axes.
  public var ink = Color(0x1F2328)
  /// Text that explains: tick labels, notes.
  public var muted = Color(0x57606A)
  /// Lines behind the data.
  public var grid = Color(0xE3E6EA)
  /// A value that is no number.
  public var missing = Color(0xC8CCD1)
  /// Colours that people with any colour vision tell apart (Okabe and Ito, 2008), the yellow one left out, which is too pale for lines.
  public var series = [
    Color(0x0072B2), Color(0xD55E00), Color(0x009E73), Color(0xCC79A7), Color(0xE69F00), Color(0x56B4E9),
    Color(0x5A5A5A),
  ]
  public var family = "DejaVu Sans"
  public var titleSize = 13.0
  public var labelSize = 10.5
  public var tickSize = 9.5
  public var margin = 14.0
  public var lineWidth = 1.6
  /// Pixels for each point.
  public var scale = 2.0

  public init() {}

  /// The one theme.
  public static let standard = Theme()

  public func series(_ index: Int) -> Color { series[((index % series.count) + series.count) % series.count] }

  public var title: TextStyle { TextStyle(size: titleSize, color: ink, isBold: true) }
  public var label: TextStyle { TextStyle(size: labelSize, color: ink) }
  public var tick: TextStyle { TextStyle(size: tickSize, color: muted) }
}

/// Letters.
public struct TextStyle: Sendable {
  /// In points.
  public var size: Double
  public var color: Color
  public var isBold = false

  public init(size: Double, color: Color, isBold: Bool = false) {
    (self.size, self.color, self.isBold) = (size, color, isBold)
  }
}
