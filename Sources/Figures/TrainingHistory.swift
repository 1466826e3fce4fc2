import Images

/// How trainings went: loss, accuracy and learning rate, of one run or several.
public struct TrainingHistory: Figure {
  /// A moment of a run and what was measured there.
  public struct Entry: Sendable {
    /// The epoch or the step.
    public var position: Double
    public var values: [String: Double]

    public init(position: Double, values: [String: Double]) {
      (self.position, self.values) = (position, values)
    }
  }

  public struct Run: Sendable {
    public var name: String
    /// Means over epochs.
    public var epochs: [Entry]
    /// Single steps, where the history is drawn by step.
    public var steps: [Entry]

    public init(name: String, epochs: [Entry], steps: [Entry] = []) {
      (self.name, self.epochs, self.steps) = (name, epochs, steps)
    }
  }

  public enum Axis: String, CaseIterable, Sendable {
    case epoch, step
  }

  public var runs: [Run]
  public var axis: Axis
  public var title: String?

  public init(_ runs: [Run], by axis: Axis, title: String? = nil) {
    (self.runs, self.axis, self.title) = (runs, axis, title)
  }

  public func draw(_ theme: Theme) throws -> Image {
    let charts = [loss(theme), accuracy(theme), rate(theme), gradientNorm(theme)].compactMap { $0 }
    guard !charts.isEmpty else { throw FigureError.empty(what: "no \(axis.rawValue) is finished yet") }
    var sheet = ChartSheet(
      title: title ?? (runs.count == 1 ? runs[0].name : nil), charts, columns: charts.count == 4 ? 2 : 3)
    sheet.legend = legend(theme, charts)
    return try sheet.draw(theme)
  }

  // MARK: Charts

  /// One run has a colour for each kind of images, several have one each and a dash for the training images.
  private func color(_ run: Int, isValidation: Bool, _ theme: Theme) -> Color {
    runs.count == 1 ? theme.series(isValidation ? 1 : 0) : color(run, theme)
  }

  /// More runs than the theme has colours are told apart by shades, the first one darkest.
  private func color(_ run: Int, _ theme: Theme) -> Color {
    runs.count <= theme.series.count
      ? theme.series(run) : ColorMap.viridis.color(0.9 * Double(run) / Double(runs.count - 1))
  }

  private static let train = "training images"
  private static let validation = "validation images"

  private func legend(_ theme: Theme, _ charts: [LineChart]) -> [LegendEntry] {
    let names = Set(charts.flatMap(\.series).map(\.name))
    let kinds = [(Self.train, false), (Self.validation, true)].filter { names.contains($0.0) }
    guard runs.count > 1 else {
      return kinds.map { LegendEntry($0.0, .line(color(0, isValidation: $0.1, theme), dash: [])) }
    }
    return runs.enumerated().map { LegendEntry($1.name, .line(color($0, theme), dash: [])) }
      + kinds.map { LegendEntry($0.0, .line(theme.muted, dash: $0.1 ? [] : LineChart.Series.dash)) }
  }

  private func points(_ entries: [Entry], _ name: String) -> [Point] {
    entries.compactMap { entry in entry.values[name].map { Point(entry.position, $0) } }
  }

  /// A measure of the epochs on training and validation images.
  private func series(_ measure: String, _ theme: Theme) -> [LineChart.Series] {
    var series: [LineChart.Series] = []
    for (isValidation, kind, name) in [(false, "train", Self.train), (true, "validation", Self.validation)] {
      for (index, run) in runs.enumerated() {
        let points = points(run.epochs, "\(kind)_\(measure)")
        guard points.contains(where: { $0.y.isFinite }) else { continue }
        let isDashed = runs.count > 1 && !isValidation
        series.append(
          .init(
            name, points, color: color(index, isValidation: isValidation, theme),
            style: isDashed ? .dashed : .line))
      }
    }
    return series
  }

  private func chart(_ title: String, _ series: [LineChart.Series]) -> LineChart? {
    guard !series.isEmpty else { return nil }
    var chart = LineChart(title: title, series: series)
    chart.xTitle = axis.rawValue
    chart.xIsWhole = true
    // All charts have the same axis; a single position in the middle of one.
    let positions = runs.flatMap { run in (axis == .step ? run.steps : []) + run.epochs }.map(\.position)
    if let first = positions.min(), let last = positions.max(), first < last {
      chart.xRange = (axis == .step ? 0 : first)...last
    }
    return chart
  }

  private func loss(_ theme: Theme) -> LineChart? {
    var series = series("loss", theme)
    guard axis == .step else { return chart("Loss", series) }
    // Single steps say more than means of epochs.
    series = stepSeries("train_loss", named: Self.train, theme) + series.filter { $0.name != Self.train }
    return chart("Loss", series)
  }

  private func accuracy(_ theme: Theme) -> LineChart? {
    guard var chart = chart("Accuracy (top-1)", series("top1", theme)) else { return nil }
    chart.yFormat = .percent
    let best = chart.series.filter { $0.name == Self.validation }.flatMap(\.points).filter(\.y.isFinite)
      .max { $0.y < $1.y }
    if runs.count == 1, let best {
      chart.notes = [
        .init(
          "\(Ticks.fixed(100 * best.y, digits: 1)) %", at: best, color: color(0, isValidation: true, theme))
      ]
    }
    return chart
  }

  private func rate(_ theme: Theme) -> LineChart? {
    chart("Learning rate", plainSeries("learning_rate", theme))
  }

  private func gradientNorm(_ theme: Theme) -> LineChart? {
    axis == .step ? chart("Gradient norm", stepSeries("gradient_norm", named: "", theme)) : nil
  }

  /// A measure that has nothing to do with images.
  private func plainSeries(_ name: String, _ theme: Theme) -> [LineChart.Series] {
    runs.enumerated().compactMap { index, run in
      let points = points(axis == .step && !run.steps.isEmpty ? run.steps : run.epochs, name)
      guard points.contains(where: \.y.isFinite) else { return nil }
      return .init("", points, color: runs.count == 1 ? theme.series(2) : color(index, theme))
    }
  }

  /// A noisy measure of single steps: as it is, pale and behind, and its running mean.
  private func stepSeries(_ name: String, named title: String, _ theme: Theme) -> [LineChart.Series] {
    var (pale, means): ([LineChart.Series], [LineChart.Series]) = ([], [])
    for (index, run) in runs.enumerated() {
      let points = points(run.steps, name).filter(\.y.isFinite)
      guard !points.isEmpty else { continue }
      let color =
        title.isEmpty && runs.count == 1 ? theme.series(2) : color(index, isValidation: false, theme)
      let isDashed = runs.count > 1 && title == Self.train
      pale.append(.init(title, points, color: color, opacity: 0.3))
      means.append(.init(title, Self.runningMean(points), color: color, style: isDashed ? .dashed : .line))
    }
    return pale + means
  }

  /// The mean of a twentieth of the points around each.
  private static func runningMean(_ points: [Point]) -> [Point] {
    let reach = points.count / 40
    var sums = [0.0]
    for point in points { sums.append(sums[sums.count - 1] + point.y) }
    return points.indices.map { index in
      // At the start about as far ahead as back, so that a steep beginning is not pulled down; at the end what there is.
      let near = min(reach, max(index, reach / 8))
      let (first, last) = (max(0, index - near), min(index + near, points.count - 1))
      return Point(points[index].x, (sums[last + 1] - sums[first]) / Double(last + 1 - first))
    }
  }
}
