import Images

/// Says which colour stands for which value.
public struct ColorBar: Sendable {
  public var map: ColorMap
  /// Numbers beside the bar, each at its share of the bar's height from the bottom.
  public var ticks: [(share: Double, label: String)]
  /// What the values are.
  public var title: String?
  /// Whether values above the highest have its colour, too; the bar then ends in a point.
  public var isOpen = false

  public init(map: ColorMap, ticks: [(share: Double, label: String)], title: String? = nil) {
    (self.map, self.ticks, self.title) = (map, ticks, title)
  }

  public init(_ scale: ColorScale, title: String? = nil, format: NumberFormat = .plain) {
    let (low, high) = (Double(scale.range.lowerBound), Double(scale.range.upperBound))
    let ticks = Ticks(low...high, limit: 6, format: format)
    map = scale.map
    self.title = title
    self.ticks = ticks.values.map { value in
      (high > low ? (value - low) / (high - low) : 0.5, ticks.label(value))
    }
  }

  private static let barWidth = 11.0
  private static let gap = 5.0
  private static let pointHeight = 9.0

  /// How much room the bar takes with its numbers and title, in points.
  func width(_ ruler: borrowing Canvas) -> Double {
    let title = title == nil ? 0 : Canvas.lineHeight(ruler.theme.label) + Self.gap
    return Self.barWidth + Self.gap + ruler.width(of: ticks.map(\.label), ruler.theme.tick) + title
  }

  /// Leaves out the numbers that would touch others in a bar of a height; the first and the last stay.
  mutating func thin(height: Double, _ theme: Theme) {
    let apart = Canvas.lineHeight(theme.tick) / height
    guard let last = ticks.last else { return }
    var kept: [(share: Double, label: String)] = []
    for tick in ticks.dropLast() {
      let isClear = kept.last.map { tick.share - $0.share >= apart } ?? true
      if isClear, kept.isEmpty || last.share - tick.share >= apart { kept.append(tick) }
    }
    ticks = kept + [last]
  }

  /// Draws the bar with its top left corner at a point.
  func draw(on canvas: borrowing Canvas, at corner: Point, height: Double) throws(ImageError) {
    let theme = canvas.theme
    let corner = canvas.snapped(Point(corner.x, corner.y + (isOpen ? Self.pointHeight : 0)))
    let height = height - (isOpen ? Self.pointHeight : 0)
    let (rows, columns) = (
      max(2, Int((height * canvas.scale).rounded())), Int((Self.barWidth * canvas.scale).rounded())
    )
    let values = ValueMap(rows: rows, columns: 1, values: (0..<rows).map { Float(rows - 1 - $0) })
    let scale = ColorScale(map, 0...Float(rows - 1))
    canvas.draw(try HeatMap(values, scale: scale).image(ImageSize(height: rows, width: columns)), at: corner)
    let bar = Rectangle(x: corner.x, y: corner.y, width: Self.barWidth, height: height)
    canvas.frame(bar, theme.muted, width: 0.6)
    if isOpen {
      let point = [
        Point(bar.x, bar.y), Point(bar.midX, bar.y - Self.pointHeight), Point(bar.maxX, bar.y),
      ]
      canvas.fill(point, map.color(1))
      canvas.line(point, theme.muted, width: 0.6)
    }
    for tick in ticks {
      let y = bar.maxY - tick.share * height
      canvas.line([Point(bar.maxX, y), Point(bar.maxX + 2.5, y)], theme.muted, width: 0.8)
      canvas.draw(tick.label, at: Point(bar.maxX + Self.gap, y), TextAnchor(.start, .middle), theme.tick)
    }
    if let title {
      let x = bar.maxX + 2 * Self.gap + canvas.width(of: ticks.map(\.label), theme.tick)
      canvas.draw(title, at: Point(x, bar.midY), TextAnchor(.middle, .top), theme.label, turned: true)
    }
  }
}
