import Figures
import Quantization

/// The error of each layer's output as bars, coloured by the layer's kind.
struct QuantizationChart {
  let report: QuantizationReport

  private static let kinds = ["qkv", "proj", "fc1", "fc2"]

  /// nil where no layer's error is known.
  var figure: BarChart? {
    let bars = report.layers.compactMap { layer -> BarChart.Bar? in
      // Of the output's own size, in percent.
      guard let ratio = layer.signalToNoise else { return nil }
      let kind = Self.kinds.firstIndex { layer.name.hasSuffix($0) } ?? Self.kinds.count
      return BarChart.Bar(layer.name, 100 * Decibels.amplitude(-ratio), group: kind)
    }
    guard !bars.isEmpty else { return nil }
    var chart = BarChart(bars)
    chart.groups = Self.kinds + (bars.contains { $0.group == Self.kinds.count } ? ["other"] : [])
    let kept = report.layers.count { $0.kept != nil }
    chart.title =
      "\(report.scheme): error of the output of each layer of the blocks"
      + (kept > 0 ? " (\(kept) stay\(kept == 1 ? "s" : "") floats)" : "")
    chart.valueTitle = "% of the output"
    return chart
  }
}
