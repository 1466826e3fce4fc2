/// What a colour or line stands for.
public struct LegendEntry: Sendable {
  public enum Mark: Sendable {
    case line(Color, dash: [Double])
    case dot(Color)
    case area(Color)
  }

  public var name: String
  public var mark: Mark

  public init(_ name: String, _ mark: Mark) {
    (self.name, self.mark) = (name, mark)
  }
}

/// Entries side by side, in as many rows as they need.
struct Legend {
  private let entries: [(entry: LegendEntry, name: String, place: Point)]
  /// With the room beneath, in points; 0 without entries.
  let height: Double

  private static let markWidth = 20.0
  private static let gap = 16.0

  init(_ entries: [LegendEntry], width limit: Double, _ ruler: borrowing Canvas) {
    let style = ruler.theme.label
    let lineHeight = Canvas.lineHeight(style) + 2
    var (x, y) = (0.0, 0.0)
    var placed: [(LegendEntry, String, Point)] = []
    for entry in entries {
      let name = ruler.fit(entry.name, width: limit - Self.markWidth - 6, style)
      let width = Self.markWidth + 6 + ruler.width(of: name, style)
      if x > 0, x + width > limit { (x, y) = (0, y + lineHeight) }
      placed.append((entry, name, Point(x, y)))
      x += width + Self.gap
    }
    self.entries = placed
    height = entries.isEmpty ? 0 : y + lineHeight + 4
  }

  func draw(on canvas: borrowing Canvas, at corner: Point) {
    let theme = canvas.theme
    for (entry, name, place) in entries {
      let (x, y) = (corner.x + place.x, corner.y + place.y + Canvas.lineHeight(theme.label) / 2)
      let end = x + Self.markWidth
      switch entry.mark {
      case .line(let color, let dash):
        canvas.line([Point(x, y), Point(end, y)], color, width: theme.lineWidth + 0.4, dash: dash)
      case .dot(let color):
        canvas.dot(Point((x + end) / 2, y), radius: 3.2, color)
      case .area(let color):
        canvas.fill(Rectangle(x: x + 4, y: y - 4.5, width: Self.markWidth - 6, height: 9), color)
      }
      canvas.draw(name, at: Point(end + 6, y), TextAnchor(.start, .middle), theme.label)
    }
  }
}
