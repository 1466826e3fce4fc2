import Images

/// How many things of each class (rows) were taken for which (columns).
///
/// A cell's colour is the share of its row, on a scale of square roots, so that rare mistakes are seen beside what is right.
public struct ConfusionMatrix: Figure {
  public var rowLabels: [String]
  public var columnLabels: [String]
  /// [rows][columns].
  public var counts: [[Int]]
  public var title: String?
  public var rowTitle = "class"
  public var columnTitle = "taken for"
  public var map = ColorMap.viridis

  public init(rowLabels: [String], columnLabels: [String], counts: [[Int]]) {
    (self.rowLabels, self.columnLabels, self.counts) = (rowLabels, columnLabels, counts)
  }

  /// Of more the picture would be too large.
  public static let maxClasses = 4000

  /// Labels beyond this width are cut, in points.
  private static let maxLabelWidth = 150.0
  private static let labelGap = 5.0
  private static let barGap = 16.0
  private static let barHeight = 300.0
  private static let minBarHeight = 60.0
  /// Cells below this side have no label each, in points.
  private static let minLabelledSide = 8.5
  private static let minNumberedSide = 22.0

  /// Side of a cell, in points: in pixels a whole number.
  private func side(_ theme: Theme) -> Double {
    let count = max(rowLabels.count, columnLabels.count)
    let points =
      count <= 12 ? 38.0 : count <= 24 ? 30 : count <= 60 ? 14 : count <= 120 ? 10 : count <= 300 ? 4 : 2
    return (points * theme.scale).rounded() / theme.scale
  }

  private func shares() -> [[Double]] {
    counts.map { row in
      let total = row.reduce(0, +)
      return row.map { total > 0 ? Double($0) / Double(total) : 0 }
    }
  }

  public func draw(_ theme: Theme) throws -> Image {
    guard !rowLabels.isEmpty, !columnLabels.isEmpty else { throw FigureError.empty(what: "no classes") }
    precondition(
      counts.count == rowLabels.count && counts.allSatisfy { $0.count == columnLabels.count },
      "counts must be [\(rowLabels.count), \(columnLabels.count)]")
    let side = side(theme)
    let ruler = try Canvas(width: 1, height: 1, theme: theme)
    var style = theme.tick
    style.color = theme.ink
    style.size = min(style.size, 0.95 * side)
    let hasLabels = side >= Self.minLabelledSide
    let rowWidth = hasLabels ? min(Self.maxLabelWidth, ruler.width(of: rowLabels, style)) : 0
    let columnWidth = hasLabels ? min(Self.maxLabelWidth, ruler.width(of: columnLabels, style)) : 0
    let titleHeight = title == nil ? 0 : Canvas.lineHeight(theme.title) + 6
    let lineHeight = Canvas.lineHeight(theme.label)
    let origin = ruler.snapped(
      Point(
        theme.margin + lineHeight + rowWidth + 2 * Self.labelGap,
        theme.margin + titleHeight + lineHeight + columnWidth + 2 * Self.labelGap))
    let (width, height) = (Double(columnLabels.count) * side, Double(rowLabels.count) * side)
    // Of a small matrix the bar is longer than the cells, and its numbers keep apart.
    let barTitle = "share of the row"
    let barHeight = max(
      Self.minBarHeight, ruler.width(of: barTitle, theme.label), min(Self.barHeight, height))
    var bar = ColorBar(
      map: map,
      ticks: [0, 1, 5, 10, 25, 50, 100].map { ((Double($0) / 100).squareRoot(), "\($0) %") },
      title: barTitle)
    bar.thin(height: barHeight, theme)
    let canvas = try Canvas(
      width: origin.x + width + Self.barGap + bar.width(ruler) + theme.margin,
      height: origin.y + max(height, barHeight) + theme.margin, theme: theme)
    if let title {
      canvas.draw(
        canvas.fit(title, width: canvas.width - 2 * theme.margin, theme.title),
        at: Point(theme.margin, theme.margin), TextAnchor(.start, .top), theme.title)
    }
    try drawCells(on: canvas, origin, side)
    let cells = Rectangle(x: origin.x, y: origin.y, width: width, height: height)
    canvas.frame(cells, theme.muted, width: 0.6)
    if hasLabels { drawLabels(on: canvas, origin, side, style, rowWidth, columnWidth) }
    let columnsEnd = origin.y - columnWidth - 2 * Self.labelGap
    canvas.draw(columnTitle, at: Point(cells.midX, columnsEnd), TextAnchor(.middle, .bottom), theme.label)
    canvas.draw(
      rowTitle, at: Point(theme.margin, cells.midY), TextAnchor(.middle, .top), theme.label, turned: true)
    try bar.draw(
      on: canvas, at: Point(cells.maxX + Self.barGap, origin.y), height: barHeight)
    return try canvas.finish()
  }

  private func drawCells(on canvas: borrowing Canvas, _ origin: Point, _ side: Double) throws {
    let shares = shares()
    let values = ValueMap(
      rows: rowLabels.count, columns: columnLabels.count,
      values: shares.joined().map { Float($0.squareRoot()) })
    let scale = ColorScale(map, 0...1)
    let pixels = Int((side * canvas.scale).rounded())
    canvas.draw(try HeatMap(values, scale: scale).image(patchSide: pixels), at: origin)
    guard side >= Self.minNumberedSide else { return }
    for (row, counts) in counts.enumerated() {
      for (column, count) in counts.enumerated() where count > 0 {
        let style = TextStyle(
          size: min(canvas.theme.tickSize, 0.3 * side), color: scale.color(values[row, column]).contrast)
        let place = Point(origin.x + (Double(column) + 0.5) * side, origin.y + (Double(row) + 0.5) * side)
        let text = canvas.width(of: "\(count)", style) < side - 3 ? "\(count)" : Ticks.short(Double(count))
        canvas.draw(text, at: place, TextAnchor(.middle, .middle), style)
      }
    }
  }

  private func drawLabels(
    on canvas: borrowing Canvas, _ origin: Point, _ side: Double, _ style: TextStyle, _ rowWidth: Double,
    _ columnWidth: Double
  ) {
    for (row, label) in rowLabels.enumerated() {
      let place = Point(origin.x - Self.labelGap, origin.y + (Double(row) + 0.5) * side)
      canvas.draw(canvas.fit(label, width: rowWidth, style), at: place, TextAnchor(.end, .middle), style)
    }
    for (column, label) in columnLabels.enumerated() {
      let place = Point(origin.x + (Double(column) + 0.5) * side, origin.y - Self.labelGap)
      canvas.draw(
        canvas.fit(label, width: columnWidth, style), at: place, TextAnchor(.start, .middle), style,
        turned: true)
    }
  }
}
