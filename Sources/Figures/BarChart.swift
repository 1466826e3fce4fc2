import Images

/// Named values as horizontal bars from top to bottom, such as one for each layer of a network.
public struct BarChart: Figure {
  public struct Bar: Sendable {
    public var name: String
    /// One that is not finite is written, not drawn.
    public var value: Double
    /// Index of the group that it belongs to, which gives it its colour.
    public var group: Int

    public init(_ name: String, _ value: Double, group: Int = 0) {
      (self.name, self.value, self.group) = (name, value, group)
    }
  }

  public var bars: [Bar]
  /// Names of the groups, shown as a legend where there are several.
  public var groups: [String] = []
  public var title: String?
  /// What the values are, with their unit.
  public var valueTitle: String?
  public var format = NumberFormat.plain
  /// The bars' common start, and the end of the longest; nil for zero and what the values need.
  public var range: ClosedRange<Double>?
  /// Lines across all bars, such as a limit.
  public var marks: [(value: Double, name: String)] = []
  /// Width of the picture, in points.
  public var width = 640.0

  public init(_ bars: [Bar]) { self.bars = bars }

  /// Height of a bar with the room to the next, in points.
  private var pitch: Double { bars.count > 40 ? 12.5 : 16 }

  public func draw(_ theme: Theme) throws -> Image {
    guard !bars.isEmpty else { throw FigureError.empty(what: "no bars") }
    let ruler = try Canvas(width: 1, height: 1, theme: theme)
    var nameStyle = theme.tick
    nameStyle.size = min(theme.tickSize, 0.74 * pitch)
    nameStyle.color = theme.ink
    let nameWidth = min(ruler.width(of: bars.map(\.name), nameStyle), 0.45 * width)
    let texts = bars.map { valueText($0.value) }
    let valueWidth = ruler.width(of: texts, nameStyle) + 6
    let legend = groups.count > 1 ? groups.enumerated().map { LegendEntry($1, .area(theme.series($0))) } : []
    let names = Legend(legend, width: width - 2 * theme.margin, ruler)
    var top = theme.margin
    if title != nil { top += Canvas.lineHeight(theme.title) + 6 }
    top += names.height
    if !marks.isEmpty { top += Canvas.lineHeight(theme.tick) }
    let left = theme.margin + nameWidth + 8
    let plot = Rectangle(
      x: left, y: top, width: max(60, width - left - theme.margin - valueWidth),
      height: Double(bars.count) * pitch + 6)
    let bottom =
      Canvas.lineHeight(theme.tick) + 6 + (valueTitle == nil ? 0 : Canvas.lineHeight(theme.label) + 2)
    let canvas = try Canvas(
      width: max(width, plot.maxX + valueWidth + theme.margin), height: plot.maxY + bottom + theme.margin,
      theme: theme)
    if let title {
      let text = canvas.fit(title, width: width - 2 * theme.margin, theme.title)
      canvas.draw(text, at: Point(theme.margin, theme.margin), TextAnchor(.start, .top), theme.title)
    }
    names.draw(
      on: canvas,
      at: Point(theme.margin, top - names.height - (marks.isEmpty ? 0 : Canvas.lineHeight(theme.tick))))

    let scale = Scale(range ?? valueRange, from: plot.x, to: plot.maxX)
    drawAxis(on: canvas, plot, scale)
    let start = scale.position(min(max(0, scale.range.lowerBound), scale.range.upperBound))
    for (index, bar) in bars.enumerated() {
      let y = plot.y + 3 + (Double(index) + 0.5) * pitch
      let name = canvas.fit(bar.name, width: nameWidth, nameStyle)
      canvas.draw(name, at: Point(left - 6, y), TextAnchor(.end, .middle), nameStyle)
      let end = bar.value.isFinite ? scale.clamped(bar.value) : start
      let rectangle = Rectangle(
        x: min(start, end), y: y - 0.36 * pitch, width: abs(end - start), height: 0.72 * pitch)
      canvas.fill(rectangle, theme.series(bar.group))
      var style = nameStyle
      style.color = theme.muted
      canvas.draw(texts[index], at: Point(max(start, end) + 4, y), TextAnchor(.start, .middle), style)
    }
    canvas.line([Point(start, plot.y), Point(start, plot.maxY)], theme.muted, width: 0.9)
    drawMarks(on: canvas, plot, scale)
    return try canvas.finish()
  }

  private func valueText(_ value: Double) -> String {
    guard value.isFinite else { return value.isNaN ? "none" : value > 0 ? "infinite" : "-infinite" }
    return format == .percent ? Ticks.short(100 * value) + " %" : Ticks.short(value)
  }

  /// From zero, or the smallest value below, to the largest.
  private var valueRange: ClosedRange<Double> {
    let values = (bars.map(\.value) + marks.map(\.value)).filter(\.isFinite)
    let (low, high) = (min(0, values.min() ?? 0), max(0, values.max() ?? 0))
    return low < high ? low...high : 0...1
  }

  private func drawAxis(on canvas: borrowing Canvas, _ plot: Rectangle, _ scale: Scale) {
    let theme = canvas.theme
    let ticks = Ticks(scale.range, limit: 7, format: format)
    for value in ticks.values {
      let x = scale.position(value)
      canvas.line([Point(x, plot.y), Point(x, plot.maxY)], theme.grid, width: 0.8)
      canvas.draw(ticks.label(value), at: Point(x, plot.maxY + 4), TextAnchor(.middle, .top), theme.tick)
    }
    if let valueTitle {
      let y = plot.maxY + 6 + Canvas.lineHeight(theme.tick)
      canvas.draw(valueTitle, at: Point(plot.midX, y), TextAnchor(.middle, .top), theme.label)
    }
  }

  private func drawMarks(on canvas: borrowing Canvas, _ plot: Rectangle, _ scale: Scale) {
    let theme = canvas.theme
    for mark in marks where scale.range.contains(mark.value) {
      let x = scale.position(mark.value)
      canvas.line([Point(x, plot.y), Point(x, plot.maxY)], theme.ink, width: 1, dash: [4, 3])
      canvas.draw(mark.name, at: Point(x, plot.y - 2), TextAnchor(.middle, .bottom), theme.tick)
    }
  }
}
