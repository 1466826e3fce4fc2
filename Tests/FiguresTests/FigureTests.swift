import Checkpoints
import Figures
import Foundation
import Images
import SystemPackage
import TestSupport
import Testing

/// Grids, charts and matrices: what is where, and that the same figure gives the same bytes.
@Suite struct FigureTests {
  private let theme = Theme.standard

  // MARK: Grids

  @Test func `panels are shown pixel by pixel in rows and columns`() throws {
    let colors = [0x102030, 0x405060, 0x708090, 0xA0B0C0].map { Color(UInt32($0)) }
    var grid = PanelGrid(colors.map { .init(.plain($0, width: 20, height: 10)) }, columns: 2)
    grid.spacing = 4
    let image = try grid.draw()
    // Two pixels a point: margins of 28, panels of 20x10, 8 between them.
    #expect(image.size == ImageSize(height: 2 * 28 + 2 * 10 + 8, width: 2 * 28 + 2 * 20 + 8))
    for (index, color) in colors.enumerated() {
      let (left, top) = (28 + 28 * (index % 2), 28 + 18 * (index / 2))
      #expect(image.columns(of: color, row: top) == Array(left..<left + 20))
      #expect(image.rows(of: color) == Array(top..<top + 10))
    }
    #expect(image.color(0, 0) == theme.background)
  }

  @Test func `labels, titles and a colour bar make room for themselves`() throws {
    let map = ValueMap(rows: 2, columns: 2, values: [0, 1, 2, 3])
    let scale = ColorScale(.magma, fitting: [map])
    var grid = try PanelGrid(maps: [map, map, map, map], scale: scale, columns: 2, patchSide: 20)
    grid.colorBar = nil
    let plain = try grid.draw()
    grid.rowLabels = ["first", "second"]
    grid.columnLabels = ["one", "two"]
    grid.rowTitle = "rows"
    grid.columnTitle = "columns"
    grid.title = "four"
    let labelled = try grid.draw()
    #expect(labelled.width > plain.width && labelled.height > plain.height)
    grid.colorBar = ColorBar(scale, title: "values")
    let withBar = try grid.draw()
    #expect(withBar.width > labelled.width && withBar.height == labelled.height)
    // The panels are all there still, 40x40 pixels each in four colours.
    for level in [0, 85, 170, 255] {
      let color = ColorMap.magma[UInt8(level)]
      #expect(labelled.rows(of: color).count == 2 * 20)
    }
    #expect(withBar.contains(ColorMap.magma[128]) && !labelled.contains(ColorMap.magma[128]))
  }

  @Test func `empty places and captions of any length are put up with`() throws {
    let panel = PanelGrid.Panel(
      .plain(.black, width: 60, height: 40),
      caption: [String(repeating: "long ", count: 40), "a\nb\0c\u{1b}[1m", "日本"])
    var grid = PanelGrid([panel, nil, panel], columns: 2)
    grid.hasFrames = true
    #expect(try grid.draw().contains(.black))
    #expect(throws: FigureError.self) { try PanelGrid([nil], columns: 2).draw() }
    #expect(throws: FigureError.self) { try PanelGrid([], columns: 2).draw() }
    #expect(throws: FigureError.self) { try PanelGrid([panel], columns: 0).draw() }
  }

  @Test func `pictures that are too large are refused`() {
    let panel = PanelGrid.Panel(.plain(.black, width: 400, height: 1))
    let error = #expect(throws: FigureError.self) {
      try PanelGrid(Array(repeating: panel, count: 100), columns: 100).draw()
    }
    #expect("\(error, default: "")".contains("32767"))
  }

  // MARK: Bars

  @Test func `bars are as long as their values`() throws {
    var chart = BarChart([.init("a", 1), .init("b", 0.5, group: 1), .init("c", .infinity), .init("d", 0.25)])
    chart.groups = ["one", "two"]
    chart.title = "Bars"
    let image = try chart.draw()
    // The longest run of a colour in any row, of the legend's squares as of the bars.
    func lengths(_ color: Color) -> Set<Int> {
      Set(image.rows(of: color).map { image.columns(of: color, row: $0).count })
    }
    let (first, second) = (lengths(theme.series(0)), lengths(theme.series(1)))
    let longest = try #require(first.max())
    #expect(longest > 600)
    #expect(first.contains { abs($0 - longest / 4) <= 2 })
    #expect(abs((second.max() ?? 0) - longest / 2) <= 2)
  }

  @Test func `seventy-five bars with marks and negative values are drawn`() throws {
    var chart = BarChart((0..<75).map { .init("blocks.\($0).mlp.fc1", Double($0) - 20, group: $0 % 3) })
    chart.groups = ["x", "y", "z"]
    chart.marks = [(10, "limit"), (1000, "far away")]
    chart.valueTitle = "dB"
    let image = try chart.draw()
    #expect(image.height > 75 * 25)
    #expect((0..<3).allSatisfy { image.contains(theme.series($0)) })
    #expect(throws: FigureError.self) { try BarChart([]).draw() }
    #expect(try BarChart([.init("nothing", .nan)]).draw().width > 100)
  }

  // MARK: Lines

  @Test func `higher values are drawn higher, and what is no number is left out`() throws {
    let points = (0..<20).map(Double.init)
    var chart = LineChart(
      title: "Two levels",
      series: [
        .init("high", points.map { Point($0, 3) }, color: theme.series(0)),
        .init("low", points.map { Point($0, $0 == 7 ? .nan : 1) }, color: theme.series(1), style: .dashed),
        .init("dots", [Point(3, 2), Point(.infinity, 2)], color: theme.series(2), style: .dots),
      ])
    chart.xTitle = "step"
    chart.yTitle = "level"
    chart.yRange = 0...4
    var sheet = ChartSheet(title: "Sheet", [chart], columns: 3)
    sheet.legend = []
    let image = try sheet.draw()
    let rows = try (0..<3).map { try #require(image.rows(of: theme.series($0)).first) }
    #expect(rows[0] < rows[2] && rows[2] < rows[1])
    // Equal steps of the values are equal steps of the picture; dots are taller than lines are thick.
    #expect(abs((rows[0] + rows[1]) / 2 - rows[2]) <= 8)
  }

  /// Of lines that cross themselves a hundred thousand times, Cairo alone would take minutes.
  @Test func `a line of many points covers what lies between its extremes`() throws {
    let points = (0..<100_000).map { Point(Double($0), $0.isMultiple(of: 2) ? 1 : 3) }
    var chart = LineChart(title: "Noise", series: [.init("noise", points, color: theme.series(0))])
    chart.yRange = 0...4
    let image = try ChartSheet([chart]).draw()
    let rows = image.rows(of: theme.series(0))
    let (first, last) = (try #require(rows.first), try #require(rows.last))
    #expect(rows == Array(first...last))
    #expect(image.columns(of: theme.series(0), row: (first + last) / 2).count > 500)
  }

  @Test func `charts without values say so`() throws {
    let chart = LineChart(title: "None", series: [.init("x", [Point(.nan, 1)], color: .black)])
    #expect(try ChartSheet([chart]).draw().width > 300)
    #expect(throws: FigureError.self) { try ChartSheet([]).draw() }
    // One value is a range, too.
    let single = LineChart(title: "One", series: [.init("x", [Point(1, 5)], color: theme.series(0))])
    #expect(try ChartSheet([single]).draw().contains(theme.series(0)))
  }

  // MARK: Matrices

  @Test func `cells have the colours of the square roots of their shares`() throws {
    let matrix = ConfusionMatrix(
      rowLabels: ["a", "b"], columnLabels: ["x", "y", "z"], counts: [[3, 1, 0], [0, 0, 0]])
    let image = try matrix.draw()
    let scale = ColorScale(.viridis, 0...1)
    // Cells of 76 pixels: in the first row one of each colour beside the numbers, in the second three of the lowest.
    let rows = image.rows(of: scale.color(Float(0.75).squareRoot()))
    let top = try #require(rows.first) + 3
    #expect(image.columns(of: scale.color(Float(0.75).squareRoot()), row: top).count == 76)
    #expect(image.columns(of: scale.color(0.5), row: top).count == 76)
    #expect(image.columns(of: ColorMap.viridis[0], row: top).count == 76)
    #expect(image.columns(of: ColorMap.viridis[0], row: top + 76).count == 3 * 76)
  }

  @Test(arguments: [1, 2, 3, 5]) func `a small matrix has no empty space below`(count: Int) throws {
    let names = (0..<count).map { "class \($0)" }
    let matrix = ConfusionMatrix(
      rowLabels: names, columnLabels: names, counts: names.indices.map { _ in names.map { _ in 2 } })
    let image = try matrix.draw()
    let background = Array(image.pixels[..<3])
    let last = try #require(
      stride(from: image.pixels.count - 3, through: 0, by: -3).first {
        Array(image.pixels[$0..<$0 + 3]) != background
      })
    let theme = Theme.standard
    let empty = Double(image.height - 1 - last / 3 / image.width)
    #expect(empty <= (theme.margin + 8) * theme.scale, "\(empty) pixels")
  }

  @Test(arguments: [1, 12, 20, 60, 100, 200]) func `matrices of any size are drawn`(count: Int) throws {
    let names = (0..<count).map { "class number \($0)" }
    var matrix = ConfusionMatrix(
      rowLabels: names, columnLabels: names,
      counts: (0..<count).map { row in names.indices.map { $0 == row ? 1000 : 0 } })
    matrix.title = "Title"
    let image = try matrix.draw()
    #expect(image.contains(ColorMap.viridis[255]))
    #expect(throws: FigureError.self) {
      try ConfusionMatrix(rowLabels: [], columnLabels: [], counts: []).draw()
    }
  }

  // MARK: Files

  @Test func `the same figure gives the same bytes, whole or not at all`() throws {
    let folder = try TemporaryFolder()
    var chart = BarChart([.init("äöü ß", 1), .init("b", 2)])
    chart.title = "Twice"
    let paths = ["a.png", "b.png"].map { folder.path.appending($0) }
    for path in paths { try chart.write(to: path) }
    let files = try paths.map { try Data(contentsOf: URL(fileURLWithPath: $0.string)) }
    #expect(files[0] == files[1])
    #expect(try Image(contentsOf: paths[0]) == chart.draw())
    let error = #expect(throws: CheckpointError.self) {
      try chart.write(to: folder.path.appending("missing").appending("c.png"))
    }
    #expect("\(error, default: "")".contains("cannot write"))
  }
}
