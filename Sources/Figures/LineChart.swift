import Images

/// Lines or points over a common axis.
public struct LineChart: Sendable {
  public struct Series: Sendable {
    public enum Style: Sendable {
      case line
      case dashed
      /// Points alone.
      case dots
    }

    public var name: String
    /// What is not finite interrupts the line.
    public var points: [Point]
    public var color: Color
    public var style: Style
    /// Share of the colour, the rest being the background's, for what lies behind.
    public var opacity = 1.0

    public init(_ name: String, _ points: [Point], color: Color, style: Style = .line, opacity: Double = 1) {
      (self.name, self.points, self.color, self.style, self.opacity) = (name, points, color, style, opacity)
    }

    static let dash = [5.0, 3]

    var legendEntry: LegendEntry {
      switch style {
      case .line: LegendEntry(name, .line(color, dash: []))
      case .dashed: LegendEntry(name, .line(color, dash: Self.dash))
      case .dots: LegendEntry(name, .dot(color))
      }
    }
  }

  /// One point that words are put to.
  public struct Note: Sendable {
    public var point: Point
    public var text: String
    public var color: Color

    public init(_ text: String, at point: Point, color: Color) {
      (self.text, self.point, self.color) = (text, point, color)
    }
  }

  public var title: String
  public var series: [Series]
  public var xTitle: String?
  public var yTitle: String?
  public var xIsWhole = false
  public var yFormat = NumberFormat.plain
  /// Nil for what the points need, with some room.
  public var xRange: ClosedRange<Double>?
  public var yRange: ClosedRange<Double>?
  public var notes: [Note] = []

  public init(title: String, series: [Series]) {
    (self.title, self.series) = (title, series)
  }

  private var finitePoints: [Point] {
    series.flatMap(\.points).filter { $0.x.isFinite && $0.y.isFinite }
  }

  /// Heights of the parts above and beneath the plot, in points.
  private func margins(_ theme: Theme) -> (top: Double, bottom: Double) {
    (
      title.isEmpty ? 5 : Canvas.lineHeight(theme.label) + 5,
      Canvas.lineHeight(theme.tick) + 5 + (xTitle == nil ? 0 : Canvas.lineHeight(theme.label) + 1)
    )
  }

  private func yTicks(height: Double, _ theme: Theme) -> Ticks {
    let (top, bottom) = margins(theme)
    return Ticks(yAxis(finitePoints), limit: max(3, Int((height - top - bottom) / 28)), format: yFormat)
  }

  /// The room that the y axis takes left of the plot, in points.
  /// - Parameter height: of the chart.
  func axisWidth(height: Double, _ ruler: borrowing Canvas) -> Double {
    let title = yTitle == nil ? 0 : Canvas.lineHeight(ruler.theme.label) + 2
    return title + ruler.width(of: yTicks(height: height, ruler.theme).labels, ruler.theme.tick) + 6
  }

  /// - Parameters:
  ///   - canvas: of which the chart takes `frame`, its title above and its axes included.
  ///   - axisWidth: the room for the y axis, at least what the chart needs.
  func draw(on canvas: borrowing Canvas, in frame: Rectangle, axisWidth: Double) {
    let theme = canvas.theme
    let points = finitePoints
    let (top, bottom) = margins(theme)
    let plot = Rectangle(
      x: frame.x + axisWidth, y: frame.y + top, width: frame.width - axisWidth - 14,
      height: frame.height - top - bottom)
    let x = Scale(xAxis(points), from: plot.x, to: plot.maxX)
    let y = Scale(yAxis(points), from: plot.maxY, to: plot.y)
    if !title.isEmpty {
      canvas.draw(
        canvas.fit(title, width: frame.width, bold(theme.label)), at: Point(plot.x, frame.y),
        TextAnchor(.start, .top), bold(theme.label))
    }
    drawAxes(on: canvas, plot, x, y, yTicks(height: frame.height, theme))
    if let yTitle {
      canvas.draw(
        yTitle, at: Point(frame.x, plot.midY), TextAnchor(.middle, .top), theme.label, turned: true)
    }
    canvas.clip(to: Rectangle(x: plot.x - 4, y: plot.y - 4, width: plot.width + 8, height: plot.height + 8))
    for line in series { draw(line, on: canvas, x, y) }
    canvas.unclip()
    for note in notes { draw(note, on: canvas, plot, x, y) }
    if points.isEmpty {
      canvas.draw("no values", at: Point(plot.midX, plot.midY), TextAnchor(.middle, .middle), theme.tick)
    }
  }

  private func bold(_ style: TextStyle) -> TextStyle {
    TextStyle(size: style.size, color: style.color, isBold: true)
  }

  private func draw(_ series: Series, on canvas: borrowing Canvas, _ x: Scale, _ y: Scale) {
    let places = Self.thinned(
      series.points.map { Point(x.position($0.x), y.position($0.y)) }, columns: canvas.scale)
    if series.style == .dots {
      for place in places { canvas.dot(place, radius: 2.6, series.color, opacity: series.opacity) }
      return
    }
    // Mixed, not translucent: where a line crosses itself it is no darker.
    let color = series.color.mixed(series.opacity, with: canvas.theme.background)
    let dash = series.style == .dashed ? Series.dash : []
    canvas.line(places, color, width: canvas.theme.lineWidth, dash: dash)
    // Few points are shown as such, and one alone would not be seen as a line.
    guard places.count == 1 || self.series.allSatisfy({ $0.points.count <= 12 }) else { return }
    for place in places { canvas.dot(place, radius: 2.4, color) }
  }

  /// Of the points of each column of pixels the first, the lowest, the highest and the last: a line through these covers the same pixels.
  private static func thinned(_ places: [Point], columns scale: Double) -> [Point] {
    guard places.count > 2000 else { return places }
    var (result, column): ([Point], [Point]) = ([], [])
    func flush() {
      let extremes = [
        column.first, column.min { $0.y < $1.y }, column.max { $0.y < $1.y }, column.last,
      ].compactMap { $0 }
      for place in extremes where place != result.last { result.append(place) }
      column = []
    }
    for place in places {
      if let first = column.first, (first.x * scale).rounded(.down) != (place.x * scale).rounded(.down) {
        flush()
      }
      // What interrupts the line stands alone.
      if !place.y.isFinite { flush() }
      column.append(place)
      if !place.y.isFinite { flush() }
    }
    flush()
    return result
  }

  private func draw(_ note: Note, on canvas: borrowing Canvas, _ plot: Rectangle, _ x: Scale, _ y: Scale) {
    let style = TextStyle(size: canvas.theme.tickSize, color: note.color, isBold: true)
    let place = Point(x.position(note.point.x), y.position(note.point.y))
    canvas.dot(place, radius: 3.4, canvas.theme.background)
    canvas.dot(place, radius: 2.8, note.color)
    // Within the plot, above the point or, at its top, below.
    let half = canvas.width(of: note.text, style) / 2
    let center = min(max(place.x, plot.x + half + 2), plot.maxX - half - 2)
    let isAbove = place.y - plot.y > Canvas.lineHeight(style) + 6
    let height = Canvas.lineHeight(style)
    let edge = isAbove ? place.y - 6 - height : place.y + 6
    // Lines behind the words are paler.
    canvas.fill(
      Rectangle(x: center - half - 2, y: edge, width: 2 * half + 4, height: height), canvas.theme.background,
      opacity: 0.75)
    canvas.draw(note.text, at: Point(center, edge + height / 2), TextAnchor(.middle, .middle), style)
  }

  private func drawAxes(
    on canvas: borrowing Canvas, _ plot: Rectangle, _ x: Scale, _ y: Scale, _ yTicks: Ticks
  ) {
    let theme = canvas.theme
    for value in yTicks.values {
      let height = y.position(value)
      canvas.line([Point(plot.x, height), Point(plot.maxX, height)], theme.grid, width: 0.8)
      canvas.draw(yTicks.label(value), at: Point(plot.x - 6, height), TextAnchor(.end, .middle), theme.tick)
    }
    let ticks = Ticks(x.range, limit: max(3, Int(plot.width / 52)), isWhole: xIsWhole)
    for value in ticks.values {
      let place = x.position(value)
      canvas.line([Point(place, plot.maxY), Point(place, plot.maxY + 3)], theme.muted, width: 0.9)
      canvas.draw(ticks.label(value), at: Point(place, plot.maxY + 5), TextAnchor(.middle, .top), theme.tick)
    }
    canvas.line([Point(plot.x, plot.maxY), Point(plot.maxX, plot.maxY)], theme.muted, width: 0.9)
    if let xTitle {
      let height = plot.maxY + 5 + Canvas.lineHeight(theme.tick) + 1
      canvas.draw(xTitle, at: Point(plot.midX, height), TextAnchor(.middle, .top), theme.label)
    }
  }

  private func xAxis(_ points: [Point]) -> ClosedRange<Double> {
    xRange ?? Self.range(points.map(\.x), room: 0)
  }

  private func yAxis(_ points: [Point]) -> ClosedRange<Double> {
    yRange ?? Self.range(points.map(\.y), room: 0.05)
  }

  /// From the smallest value to the largest, with some room where there is no edge to rest on.
  private static func range(_ values: [Double], room: Double) -> ClosedRange<Double> {
    guard let low = values.min(), let high = values.max() else { return 0...1 }
    guard low < high else { return low - 0.5...high + 0.5 }
    let room = (high - low) * room
    return (low >= 0 && low < (high - low) * 0.15 ? 0 : low - room)...high + room
  }
}

/// Charts in rows and columns under one title and one legend.
public struct ChartSheet: Figure {
  public var title: String?
  public var charts: [LineChart]
  public var columns: Int
  /// Nil for the series of the charts, each name once.
  public var legend: [LegendEntry]?
  /// Size of a chart with its title and axes, in points.
  public var chartWidth = 330.0
  public var chartHeight = 220.0

  public init(title: String? = nil, _ charts: [LineChart], columns: Int = 1) {
    (self.title, self.charts, self.columns) = (title, charts, columns)
  }

  private static let gap = 18.0

  public func draw(_ theme: Theme) throws -> Image {
    guard !charts.isEmpty, columns > 0 else { throw FigureError.empty(what: "no charts") }
    var (charts, title) = (self.charts, self.title)
    if charts.count == 1, title == nil {
      // The title of the only chart is the sheet's, above the legend.
      title = charts[0].title
      charts[0].title = ""
    }
    let ruler = try Canvas(width: 1, height: 1, theme: theme)
    let columns = min(self.columns, charts.count)
    let rows = (charts.count + columns - 1) / columns
    let inner = Double(columns) * (chartWidth + Self.gap) - Self.gap
    let legend = Legend(self.legend ?? Self.entries(charts), width: inner, ruler)
    let titleHeight = title == nil ? 0 : Canvas.lineHeight(theme.title) + 6
    let top = theme.margin + titleHeight + legend.height
    let height = Double(rows) * (chartHeight + Self.gap) - Self.gap
    let canvas = try Canvas(
      width: inner + 2 * theme.margin, height: top + height + theme.margin, theme: theme)
    if let title {
      canvas.draw(
        canvas.fit(title, width: inner, theme.title), at: Point(theme.margin, theme.margin),
        TextAnchor(.start, .top), theme.title)
    }
    legend.draw(on: canvas, at: Point(theme.margin, theme.margin + titleHeight))
    // Plots beneath one another begin at the same place.
    var axisWidths = [Double](repeating: 0, count: columns)
    for (index, chart) in charts.enumerated() {
      axisWidths[index % columns] = max(
        axisWidths[index % columns], chart.axisWidth(height: chartHeight, ruler))
    }
    for (index, chart) in charts.enumerated() {
      let frame = Rectangle(
        x: theme.margin + Double(index % columns) * (chartWidth + Self.gap),
        y: top + Double(index / columns) * (chartHeight + Self.gap), width: chartWidth, height: chartHeight)
      chart.draw(on: canvas, in: frame, axisWidth: axisWidths[index % columns])
    }
    return try canvas.finish()
  }

  private static func entries(_ charts: [LineChart]) -> [LegendEntry] {
    var names: Set<String> = []
    let all = charts.flatMap(\.series).filter { !$0.name.isEmpty && names.insert($0.name).inserted }
    return all.count > 1 ? all.map(\.legendEntry) : []
  }
}
