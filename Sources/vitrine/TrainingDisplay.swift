import Training

/// A training on the terminal: a bar while an epoch goes on, a line behind each.
final class TrainingDisplay {
  private let terminal: Terminal
  private var totalSteps = 0
  private var stepsPerEpoch = 0
  private var firstStep = 0
  private var start = ContinuousClock.now
  private var lastShown: ContinuousClock.Instant?

  init(_ terminal: Terminal) {
    self.terminal = terminal
  }

  func show(_ event: TrainingEvent) {
    switch event {
    case .began(let progress, let stepsPerEpoch, let totalSteps):
      (self.stepsPerEpoch, self.totalSteps) = (stepsPerEpoch, totalSteps)
      firstStep = progress.step
      start = .now
    case .step(let progress, _, let rate, let imagesPerSecond):
      let now = ContinuousClock.now
      if let last = lastShown, now - last < .milliseconds(200) { return }
      lastShown = now
      terminal.show(bar: bar(progress, rate: rate, imagesPerSecond: imagesPerSecond))
    case .epoch(let progress, let values, let isBest):
      let byName = Dictionary(values.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
      var parts = ["epoch \(progress.epoch)"]
      for (name, label) in [("train_loss", "loss"), ("validation_loss", "validation loss")] {
        if let value = byName[name] { parts.append("\(label) \(Self.fixed(value, 4))") }
      }
      for (name, label) in [
        ("train_top1", "top-1"), ("validation_top1", "validation top-1"), ("validation_top5", "top-5"),
      ] {
        if let value = byName[name] { parts.append("\(label) \(Self.percent(value))") }
      }
      if isBest { parts.append("(best)") }
      terminal.logger.info("\(parts.joined(separator: "  "))")
    }
  }

  /// Takes the bar away.
  func finish() { terminal.show(bar: "") }

  private func bar(_ progress: TrainingProgress, rate: Double, imagesPerSecond: Double) -> String {
    let samples = max(1, progress.samples)
    let perStep = (ContinuousClock.now - start) / .seconds(1) / Double(max(1, progress.step - firstStep))
    return [
      ProgressBar.bar(share: Double(progress.stepInEpoch) / Double(max(1, stepsPerEpoch))),
      "epoch \(progress.epoch + 1)", "step \(progress.step)/\(totalSteps)",
      "loss \(Self.fixed(progress.loss / Double(samples), 4))",
      "top-1 \(Self.percent(Double(progress.top1) / Double(samples)))",
      "\(Int(imagesPerSecond.rounded())) images/s",
      "\(ProgressBar.clock(perStep * Double(totalSteps - progress.step))) left",
    ].joined(separator: "  ")
  }

  static func percent(_ share: Double) -> String { "\(fixed(100 * share, 2)) %" }

  private static func fixed(_ value: Double, _ digits: Int) -> String {
    guard value.isFinite, abs(value) < 1e9 else { return "\(value)" }
    let scale = (0..<digits).reduce(1) { scale, _ in 10 * scale }
    let rounded = Int((abs(value) * Double(scale)).rounded())
    let fraction = String(rounded % scale)
    return (value < 0 ? "-" : "") + "\(rounded / scale)."
      + String(repeating: "0", count: digits - fraction.count) + fraction
  }
}
