import Pipeline
import Synchronization

/// Images done, images/s and time left, on the terminal while a run goes on.
///
/// The number of images is counted by a walk of its own beside the run, so that the first result need not wait for it.
final class ProgressBar: Sendable {
  private struct State {
    var done = 0
    var failed = 0
    var total: Int?
    var lastShown: ContinuousClock.Instant?
  }

  private let terminal: Terminal
  private let state = Mutex(State())
  private let start = ContinuousClock.now

  /// Inputs that an earlier run has done.
  private let doneBefore: Int

  /// - Parameters:
  ///   - doneBefore: inputs that an earlier run, continued by this one, has done.
  ///   - counting: finds all inputs; nil where they cannot be counted.
  init(terminal: Terminal, doneBefore: Int, counting: (@Sendable () -> PathWalker)?) {
    self.terminal = terminal
    self.doneBefore = doneBefore
    guard terminal.isInteractive, let counting else { return }
    Task.detached(priority: .low) { [weak self] in
      var walker = counting()
      var count = 0
      while walker.next() != nil {
        count += 1
        if count.isMultiple(of: 1024), self == nil { return }
      }
      self?.setTotal(count)
    }
  }

  /// - Parameter total: inputs in all.
  convenience init(terminal: Terminal, total: Int) {
    self.init(terminal: terminal, doneBefore: 0, counting: nil)
    setTotal(total)
  }

  private func setTotal(_ total: Int) { state.withLock { $0.total = total } }

  /// Counts one input; redraws a few times a second.
  func advance(failed: Bool) {
    let bar = state.withLock { state -> String? in
      state.done += 1
      if failed { state.failed += 1 }
      let now = ContinuousClock.now
      if let last = state.lastShown, now - last < .milliseconds(100) { return nil }
      state.lastShown = now
      return line(state, elapsed: now - start)
    }
    if let bar { terminal.show(bar: bar) }
  }

  /// Takes the bar away.
  func finish() { terminal.show(bar: "") }

  /// Such as `12.3 images/s`, for what was done since the start.
  func rate(of count: Int) -> String {
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    return seconds > 0 ? "\(Self.rounded(Double(count) / seconds)) images/s" : ""
  }

  private func line(_ state: State, elapsed: Duration) -> String {
    let perSecond = Double(state.done) / max(elapsed / .seconds(1), 1e-3)
    let done = doneBefore + state.done
    var parts = ["\(done) images"]
    if let total = state.total, total >= done, total > 0 {
      parts = [Self.bar(share: Double(done) / Double(total)), "\(done)/\(total)"]
    }
    parts.append("\(Self.rounded(perSecond)) images/s")
    if let total = state.total, total >= done {
      parts.append("\(Self.clock(Double(total - done) / perSecond)) left")
    }
    if state.failed > 0 { parts.append("\(state.failed) failed") }
    return parts.joined(separator: "  ")
  }

  /// A bar for a share of something of which no more is known, 0...1.
  static func text(_ name: String, share: Double) -> String {
    "\(bar(share: share))  \(name)  \(Int((100 * share).rounded())) %"
  }

  static func bar(share: Double) -> String {
    let width = 24
    let filled = min(width, max(0, Int(Double(width) * share)))
    return String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
  }

  private static func rounded(_ value: Double) -> String {
    value >= 100 ? "\(Int(value.rounded()))" : "\((value * 10).rounded() / 10)"
  }

  /// `m:ss`, or `h:mm:ss`.
  static func clock(_ seconds: Double) -> String {
    let total = Int(min(max(0, seconds), 3_599_999).rounded())
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let (hours, minutes) = (total / 3600, total / 60 % 60)
    return hours > 0 ? "\(hours):\(two(minutes)):\(two(total % 60))" : "\(minutes):\(two(total % 60))"
  }
}
