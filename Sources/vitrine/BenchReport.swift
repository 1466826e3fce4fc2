import Kernels
import Pipeline
import VisionTransformer

/// What `bench` says.
struct BenchReport {
  /// timm's name or transformers' model type; the path where neither is known.
  let architecture: String
  let precision: Precision
  let batchSize: Int
  let threads: Int
  /// Billions of operations of one image.
  let gflopsPerImage: Double
  let results: [BenchmarkResult]
  let peak: Peak?
  let peakBytes: Int
  private let model: VisionTransformer
  /// Seconds that the model took to load.
  private let loading: Double

  init(
    _ model: VisionTransformer, precision: Precision, threads: Int, loading: Double,
    results: [BenchmarkResult],
    peak: Peak?
  ) {
    architecture = model.architectureName ?? model.path.string
    self.precision = precision
    batchSize = results.first?.batchSize ?? 0
    self.threads = threads
    gflopsPerImage = model.gflops
    self.results = results
    self.peak = peak
    peakBytes = ProcessMemory.peakBytes
    self.model = model
    self.loading = loading
  }

  /// The measurement that tells images/s: of whole batches on each thread, where that was measured.
  private var throughput: BenchmarkResult? { results.first }
  /// The one that tells the time of a batch: of all threads on one, where that was measured.
  private var latency: BenchmarkResult? { results.last }

  private var imagesPerSecond: Double { throughput?.imagesPerSecond ?? 0 }
  /// Billions of operations per second.
  private var gflops: Double { imagesPerSecond * gflopsPerImage }
  private var shareOfPeak: Double? { peak.map { gflops / $0.gflops } }

  private static let percentiles = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)]

  // MARK: JSON

  var json: String {
    let latencies = Self.percentiles.map { name, share in
      "\"\(name)\":\(Self.number(latency?.latency(share).map { $0 * 1000 }))"
    }
    var members = [
      "\"architecture\":\(JSONText.quoted(architecture))", "\"precision\":\"\(precision.rawValue)\"",
      "\"batch_size\":\(batchSize)", "\"threads\":\(threads)",
      "\"images_per_second\":\(Self.number(imagesPerSecond))",
      "\"latency_ms\":{\(latencies.joined(separator: ","))}",
      "\"gflops\":\(Self.number(gflops))", "\"peak_gflops\":\(Self.number(peak?.gflops))",
      "\"share_of_peak\":\(Self.number(shareOfPeak))", "\"peak_rss_bytes\":\(peakBytes)",
    ]
    if !profile.isEmpty {
      let operations = profile.map { row in
        "{\"operation\":\"\(row.operation.rawValue)\",\"share\":\(Self.number(row.share)),"
          + "\"ms_per_image\":\(Self.number(row.milliseconds)),\"gflops\":\(Self.number(row.gflops))}"
      }
      members.append("\"profile\":[\(operations.joined(separator: ","))]")
    }
    return "{\(members.joined(separator: ","))}"
  }

  /// Six significant places.
  private static func number(_ value: Double?) -> String {
    guard let value, value.isFinite else { return "null" }
    var scale = 1.0
    while abs(value) * scale < 100_000, scale < 1e9, value != 0 { scale *= 10 }
    return "\((value * scale).rounded() / scale)"
  }

  // MARK: Text

  var text: String {
    var rows = [
      (
        "model",
        "\(architecture), \(Rounded.short(Double(model.parameterCount) / 1e6)) million parameters, "
          + "\(model.transform.size) pixels, \(Rounded.short(gflopsPerImage)) GFLOP an image"
      ),
      (
        "arithmetic",
        "\(precision.rawValue), kernels \(KernelVariant.active.rawValue); \(threads) "
          + "\(threads == 1 ? "thread" : "threads"), batches of \(batchSize)"
      ),
      ("loading", "\(Rounded.short(loading)) s"),
    ]
    if let throughput {
      let count = throughput.latencies.count
      let how =
        throughput.mode == .latency
        ? "one batch at a time" : "\(throughput.workers) at a time"
      rows.append(
        (
          "throughput",
          "\(Rounded.short(throughput.imagesPerSecond)) images/s (\(count) \(count == 1 ? "batch" : "batches"), \(how))"
        ))
    }
    if let latency {
      let percentiles = (Self.percentiles + [("most", 1)]).map { name, share in
        "\(name) \(Rounded.short((latency.latency(share) ?? 0) * 1000))"
      }
      let how =
        latency.mode == .throughput
        ? "on one thread" : threads == 1 ? "one at a time" : "on all threads"
      rows.append(("latency", "\(percentiles.joined(separator: ", ")) ms a batch (\(how))"))
    }
    rows.append(("speed", speed))
    rows.append(("memory", "\(Rounded.short(Double(peakBytes) / 1_048_576)) MiB resident at most"))
    let width = rows.map { $0.0.count }.max() ?? 0
    let lines = rows.map { name, value in
      name + String(repeating: " ", count: width + 2 - name.count) + value.visible
    }
    return (lines + profileLines).joined(separator: "\n")
  }

  private var speed: String {
    let reached = "\(Rounded.short(gflops)) GFLOP/s"
    guard let peak, let shareOfPeak else {
      return "\(reached); this machine has no instructions for \(precision.rawValue) to compare with"
    }
    return
      "\(reached), \(Rounded.percent(shareOfPeak)) of the \(Rounded.short(peak.gflops)) that \(peak.instructions) can do here"
  }

  // MARK: Operations

  private struct ProfileRow {
    let operation: NetworkOperation
    /// Of the time of all.
    let share: Double
    /// Of one thread for an image; of all together where they share each layer.
    let milliseconds: Double
    /// Billions of operations per second of all threads, while it runs; nil where it has no matrix products.
    let gflops: Double?
  }

  private var profile: [ProfileRow] {
    guard let throughput else { return [] }
    let total = throughput.operations.values.reduce(0, +)
    return NetworkOperation.allCases.compactMap { operation in
      guard let seconds = throughput.operations[operation], seconds > 0 else { return nil }
      let work = model.gflops(of: operation)
      return ProfileRow(
        operation: operation, share: seconds / total, milliseconds: seconds * 1000,
        gflops: work > 0 ? work / seconds * Double(throughput.workers) : nil)
    }
  }

  private var profileLines: [String] {
    let rows = profile
    guard !rows.isEmpty else { return [] }
    func line(_ cells: [String]) -> String {
      var text = cells[0].padded(to: 17, onTheLeft: false)
      for (cell, width) in zip(cells.dropFirst(), [8, 12, 10, 9]) {
        text += cell.padded(to: width, onTheLeft: true)
      }
      return String(text.reversed().drop { $0 == " " }.reversed())
    }
    return ["", line(["operation", "share", "ms an image", "GFLOP/s", "of peak"])]
      + rows.map { row in
        line([
          row.operation.rawValue, Rounded.percent(row.share), Rounded.short(row.milliseconds),
          row.gflops.map(Rounded.short) ?? "",
          row.gflops.flatMap { gflops in peak.map { Rounded.percent(gflops / $0.gflops) } } ?? "",
        ])
      }
  }
}

/// Numbers as people read them.
enum Rounded {
  /// Three significant places or so.
  static func text(_ value: Double) -> String {
    if value >= 1000 { return "\(Int(value.rounded()))" }
    let scale: Double = value >= 100 ? 10 : value >= 10 ? 100 : value >= 1 ? 1000 : 1e5
    return "\((value * scale).rounded() / scale)"
  }

  /// Three significant places, and no more.
  static func short(_ value: Double) -> String {
    var scale = 1.0
    while value * scale < 100, scale < 1e6 { scale *= 10 }
    let rounded = (value * scale).rounded() / scale
    return scale == 1 ? "\(Int(rounded))" : "\(rounded)"
  }

  /// Such as "85.2 %".
  static func percent(_ share: Double) -> String { "\((share * 1000).rounded() / 10) %" }
}

extension String {
  /// The text with spaces up to a width.
  fileprivate func padded(to width: Int, onTheLeft: Bool) -> String {
    let spaces = String(repeating: " ", count: max(0, width - count))
    return onTheLeft ? spaces + self : self + spaces
  }
}
