import Images

/// Images in rows and columns, with labels: maps of all heads and layers, or one map with its colour bar.
public struct PanelGrid: Figure {
  public struct Panel: Sendable {
    /// Shown pixel by pixel.
    public var image: Image
    /// Lines beneath the image; what is wider than the panel is cut.
    public var caption: [String]
    /// Whether the caption's first line is set in bold.
    public var isEmphasized = false

    public init(_ image: Image, caption: [String] = [], isEmphasized: Bool = false) {
      (self.image, self.caption, self.isEmphasized) = (image, caption, isEmphasized)
    }
  }

  /// Row by row; nil leaves a place empty.
  public var panels: [Panel?]
  public var columns: Int
  public var title: String?
  /// One a row, left of it; empty for none. An empty label takes no room.
  public var rowLabels: [String] = []
  /// One a column, above it.
  public var columnLabels: [String] = []
  /// What the rows are.
  public var rowTitle: String?
  /// What the columns are.
  public var columnTitle: String?
  public var colorBar: ColorBar?
  /// Room between panels, in points.
  public var spacing = 3.0
  public var hasFrames = false

  public init(_ panels: [Panel?], columns: Int) {
    (self.panels, self.columns) = (panels, columns)
  }

  /// Each map as a panel in one scale of colours, which the colour bar shows.
  /// - Parameter patchSide: pixels for each value.
  /// - Throws: `ImageError.resizeTooExtreme`.
  public init(
    maps: [ValueMap], scale: ColorScale, columns: Int, patchSide: Int, colorTitle: String? = nil
  ) throws(ImageError) {
    var panels: [Panel?] = []
    for map in maps { panels.append(Panel(try HeatMap(map, scale: scale).image(patchSide: patchSide))) }
    self.init(panels, columns: columns)
    colorBar = ColorBar(scale, title: colorTitle)
  }

  public func draw(_ theme: Theme) throws -> Image {
    guard columns > 0, panels.contains(where: { $0 != nil }) else {
      throw FigureError.empty(what: "no panels")
    }
    let ruler = try Canvas(width: 1, height: 1, theme: theme)
    let layout = Layout(self, ruler)
    let canvas = try Canvas(width: layout.width, height: layout.height, theme: theme)
    if let title {
      let text = canvas.fit(title, width: layout.width - 2 * theme.margin, theme.title)
      canvas.draw(text, at: Point(theme.margin, theme.margin), TextAnchor(.start, .top), theme.title)
    }
    drawLabels(on: canvas, layout)
    for (index, panel) in panels.enumerated() {
      if let panel { draw(panel, on: canvas, layout.cell(index, columns: columns), layout) }
    }
    if let colorBar {
      let corner = Point(layout.origin.x + layout.panelsWidth + Layout.barGap, layout.origin.y)
      try colorBar.draw(on: canvas, at: corner, height: min(layout.panelsHeight, Layout.maxBarHeight))
    }
    return try canvas.finish()
  }

  private func draw(_ panel: Panel, on canvas: borrowing Canvas, _ cell: Rectangle, _ layout: Layout) {
    let theme = canvas.theme
    let (width, height) = (canvas.points(panel.image.width), canvas.points(panel.image.height))
    // In the middle of its place, to the pixel.
    let left = ((cell.midX - width / 2) * theme.scale).rounded(.down) / theme.scale
    let top = ((cell.y + (layout.panelHeight - height) / 2) * theme.scale).rounded(.down) / theme.scale
    canvas.draw(panel.image, at: Point(left, top))
    if hasFrames {
      canvas.frame(Rectangle(x: left, y: top, width: width, height: height), theme.muted, width: 0.6)
    }
    for (line, text) in panel.caption.enumerated() {
      var style = line == 0 ? theme.label : theme.tick
      style.isBold = line == 0 && panel.isEmphasized
      let y = cell.y + layout.panelHeight + Layout.captionGap + Double(line) * Canvas.lineHeight(theme.label)
      let fitted = canvas.fit(text, width: cell.width, style)
      canvas.draw(fitted, at: Point(cell.midX, y), TextAnchor(.middle, .top), style)
    }
  }

  private func drawLabels(on canvas: borrowing Canvas, _ layout: Layout) {
    let theme = canvas.theme
    for (column, label) in columnLabels.prefix(columns).enumerated() {
      let cell = layout.cell(column, columns: columns)
      canvas.draw(
        label, at: Point(cell.midX, layout.origin.y - Layout.labelGap), TextAnchor(.middle, .bottom),
        theme.tick)
    }
    for (row, label) in rowLabels.prefix(layout.rows).enumerated() {
      let cell = layout.cell(row * columns, columns: columns)
      let point = Point(layout.origin.x - Layout.labelGap - 1, cell.y + layout.panelHeight / 2)
      canvas.draw(label, at: point, TextAnchor(.end, .middle), theme.tick)
    }
    if let columnTitle {
      let y =
        layout.origin.y - (columnLabels.isEmpty ? 0 : Canvas.lineHeight(theme.tick)) - Layout.labelGap
      let point = Point(layout.origin.x + layout.panelsWidth / 2, y)
      canvas.draw(columnTitle, at: point, TextAnchor(.middle, .bottom), theme.label)
    }
    if let rowTitle {
      let x = layout.origin.x - layout.rowLabelWidth - 2 * Layout.labelGap
      let point = Point(x, layout.origin.y + layout.panelsHeight / 2)
      canvas.draw(rowTitle, at: point, TextAnchor(.middle, .bottom), theme.label, turned: true)
    }
  }

  /// Where everything is, in points.
  private struct Layout {
    static let labelGap = 4.0
    static let captionGap = 2.0
    static let barGap = 14.0
    static let maxBarHeight = 420.0

    /// The top left corner of the first panel.
    let origin: Point
    let panelWidth: Double
    let panelHeight: Double
    let captionHeight: Double
    let spacing: Double
    let rows: Int
    let panelsWidth: Double
    let panelsHeight: Double
    let rowLabelWidth: Double
    let width: Double
    let height: Double

    init(_ grid: PanelGrid, _ ruler: borrowing Canvas) {
      let theme = ruler.theme
      let panels = grid.panels.compactMap { $0 }
      panelWidth = ruler.points(panels.map(\.image.width).max() ?? 1)
      panelHeight = ruler.points(panels.map(\.image.height).max() ?? 1)
      let lines = panels.map(\.caption.count).max() ?? 0
      captionHeight =
        lines == 0 ? 0 : Self.captionGap + Double(lines) * Canvas.lineHeight(theme.label) + Self.captionGap
      spacing = grid.spacing
      rows = (grid.panels.count + grid.columns - 1) / grid.columns
      let usedColumns = min(grid.columns, grid.panels.count)
      panelsWidth = Double(usedColumns) * (panelWidth + spacing) - spacing
      panelsHeight = Double(rows) * (panelHeight + captionHeight + spacing) - spacing
      rowLabelWidth = ruler.width(of: grid.rowLabels, theme.tick)
      var (left, top) = (theme.margin, theme.margin)
      if rowLabelWidth > 0 { left += rowLabelWidth + Self.labelGap + 1 }
      if grid.rowTitle != nil { left += Canvas.lineHeight(theme.label) + Self.labelGap }
      if grid.title != nil { top += Canvas.lineHeight(theme.title) + 6 }
      if !grid.columnLabels.isEmpty { top += Canvas.lineHeight(theme.tick) + Self.labelGap }
      if grid.columnTitle != nil { top += Canvas.lineHeight(theme.label) + Self.labelGap }
      // Panels begin at whole pixels.
      origin = ruler.snapped(Point(left, top))
      let bar = grid.colorBar.map { Self.barGap + $0.width(ruler) } ?? 0
      let titleWidth = grid.title.map { ruler.width(of: $0, theme.title) + 2 * theme.margin } ?? 0
      width = max(origin.x + panelsWidth + bar + theme.margin, min(titleWidth, 600))
      height = origin.y + panelsHeight + theme.margin
    }

    /// A panel's place with its caption.
    func cell(_ index: Int, columns: Int) -> Rectangle {
      let (row, column) = (index / columns, index % columns)
      return Rectangle(
        x: origin.x + Double(column) * (panelWidth + spacing),
        y: origin.y + Double(row) * (panelHeight + captionHeight + spacing),
        width: panelWidth, height: panelHeight + captionHeight)
    }
  }
}
