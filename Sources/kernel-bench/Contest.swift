import Kernels

/// How the contestants run.
struct Setting: Sendable {
  /// B
  let batchSize: Int
  let threads: Int
  /// Whether all threads share each operation; else each has operations of its own.
  let together: Bool
  let precisions: [Precision]

  /// Operations that go on at the same time.
  var copies: Int { together ? 1 : threads }
}

/// One way of computing something.
struct Contestant: Sendable {
  let name: String
  /// Whose peak it is held against.
  let precision: Precision
  /// Makes one operation: takes memory and packs weights, then returns what is timed. Called once for each copy.
  let prepare: @Sendable (_ compute: Compute) throws -> (@Sendable () -> Void)
}

/// Something to compute, and the ways to do so: the first is what the others are compared with.
struct Case: Sendable {
  /// Such as "ViT-B fc1 [1576, 768] -> 3072".
  let name: String
  /// Floating-point operations of one run; a multiply-add counts as two.
  let operations: Double
  let contestants: [Contestant]
}

/// Lets contestants take turns.
struct Contest {
  let setting: Setting
  let rounds: Int
  let duration: Duration
  let peaks: [Peak]
  private let pool: ThreadPool

  init(setting: Setting, rounds: Int, duration: Duration, peaks: [Peak]) {
    (self.setting, self.rounds, self.duration, self.peaks) = (setting, rounds, duration, peaks)
    pool = ThreadPool(threadCount: setting.threads)
  }

  /// A line of the table.
  func line(_ each: Case) throws -> String {
    let bodies = try each.contestants.map { contestant in
      try (0..<setting.copies).map { _ in try contestant.prepare(Compute(pool: setting.together ? pool : nil))
      }
    }
    var rates = [[Double]](repeating: [], count: bodies.count)
    for body in bodies { _ = rate(body, each.operations, .zero) }  // warm-up
    for round in 0..<rounds {
      // Another one begins each time.
      for turn in bodies.indices {
        let index = (turn + round) % bodies.count
        rates[index].append(rate(bodies[index], each.operations, duration))
      }
    }
    let medians = rates.map { $0.sorted()[$0.count / 2] }
    let cells = zip(each.contestants, medians).map { contestant, median in
      let peak = peaks.first { $0.precision == contestant.precision }
      let share = peak.map { " " + Cell.percent(median / $0.gflops) } ?? ""
      let ratio = medians.count > 1 ? " x\(Cell.ratio(median / medians[0]))" : ""
      return "\(contestant.name) \(Cell.text(median))\(share)\(ratio)"
    }
    return each.name + String(repeating: " ", count: max(1, 46 - each.name.count))
      + cells.joined(separator: "   ")
  }

  /// GFLOP/s of all copies together, which run side by side for a while, at least once each. Where a copy is computed by one thread,
  /// the time counts that it had a core, so that other programs disturb little.
  private func rate(
    _ bodies: [@Sendable () -> Void], _ operations: Double, _ duration: Duration
  ) -> Double {
    let results = SharedResults(count: bodies.count)
    let end = ContinuousClock.now + duration
    let isShared = setting.together && setting.threads > 1
    let run = { @Sendable (index: Int) in
      let (start, busyBefore) = (ContinuousClock.now, ThreadClock.nanoseconds)
      var count = 0.0
      repeat {
        bodies[index]()
        count += 1
      } while ContinuousClock.now < end
      let elapsed =
        isShared
        ? (ContinuousClock.now - start) / .nanoseconds(1) : ThreadClock.nanoseconds - busyBefore
      results[index] = count * operations / max(1, elapsed)
    }
    // A single copy runs outside the pool, whose threads may be its own.
    if bodies.count == 1 { run(0) } else { pool.forEach(bodies.count, run) }
    return results.total
  }
}

/// A number for each copy, written by its own thread.
private final class SharedResults: @unchecked Sendable {
  private let values: UnsafeMutableBufferPointer<Double>

  init(count: Int) {
    values = .allocate(capacity: count)
    values.initialize(repeating: 0)
  }

  deinit { values.deallocate() }

  subscript(index: Int) -> Double {
    get { values[index] }
    set { values[index] = newValue }
  }

  var total: Double { values.reduce(0, +) }
}

/// Memory of an operand, filled with numbers that neither vanish nor grow.
final class Operand: @unchecked Sendable {
  private var buffer: FloatBuffer
  let rows: Int
  let columns: Int

  init(_ rows: Int, _ columns: Int) {
    (self.rows, self.columns) = (rows, columns)
    buffer = FloatBuffer(count: rows * columns)
    for index in 0..<rows * columns { buffer.base[index] = Float(index * 7919 % 1009) / 1009 - 0.5 }
  }

  var matrix: MutableMatrixView { MutableMatrixView(base: buffer.base, rows: rows, columns: columns) }
}

/// An arena that belongs to one copy, and is used by one thread at a time.
final class Scratch: @unchecked Sendable {
  let arena = Arena()
}

/// Numbers in a table.
enum Cell {
  static func text(_ value: Double) -> String { padded("\((value * 10).rounded() / 10)", 6) }
  static func percent(_ share: Double) -> String { padded("\(Int((100 * share).rounded()))", 3) + "%" }
  static func ratio(_ value: Double) -> String {
    let hundredths = Int((100 * value).rounded())
    return "\(hundredths / 100).\(hundredths / 10 % 10)\(hundredths % 10)"
  }

  private static func padded(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }
}
