import CKernels
import Synchronization

/// The most multiply-adds that the machine does in a given time, as measured by loops that do nothing else and touch no memory: the
/// yardstick for everything that is made of matrix products.
///
/// It is a fact about the machine, not about Vitrine: `VITRINE_KERNELS` has no part in it.
public struct Peak: Sendable, Equatable {
  /// What is multiplied.
  public let precision: Precision
  /// The instructions, such as "AVX-512".
  public let instructions: String
  /// Threads that computed at the same time.
  public let threads: Int
  /// Billions of operations per second of all threads together; a multiply-add counts as two. Threads beyond the number of cores
  /// add nothing.
  public let gflops: Double

  /// Measures the machine, by the time that the threads computed: what other programs take of the cores meanwhile does not show.
  /// - Parameters:
  ///   - precision: what is multiplied.
  ///   - threads: how many threads compute at the same time, at least 1.
  ///   - duration: of one measurement.
  ///   - repetitions: how often it is measured; the best counts, because a neighbour can only slow a core down.
  /// - Returns: nil where there is no loop for the precision.
  public static func measure(
    _ precision: Precision, threads: Int, duration: Duration = .milliseconds(50), repetitions: Int = 5
  ) -> Peak? {
    let pool = ThreadPool(threadCount: threads)
    let peaks = candidates(precision).map { loop in
      let rounds = roundsPerTurn(loop)
      let rates = (0..<max(1, repetitions)).map { _ in
        rate(of: loop, rounds: rounds, pool: pool, duration: duration)
      }
      return Peak(
        precision: precision, instructions: String(cString: loop.instructions), threads: threads,
        gflops: rates.max() ?? 0)
    }
    return peaks.max { $0.gflops < $1.gflops }
  }

  /// The widest loops that products of a precision can be computed by: those of bfloat16 as float32's, too, which some processors do faster.
  package static func candidates(_ precision: Precision) -> [ckernels_peak_loop] {
    [loops(precision).last, precision == .bf16 ? loops(.fp32).last : nil].compactMap { $0 }
  }

  /// The loops that the machine has for a precision, from the narrowest instructions to the widest.
  package static func loops(_ precision: Precision) -> [ckernels_peak_loop] {
    let type =
      switch precision {
      case .fp32: CKERNELS_PEAK_FP32
      case .bf16: CKERNELS_PEAK_BF16
      case .int8: CKERNELS_PEAK_INT8
      }
    return (0..<ckernels_peak_loop_count(type)).map { ckernels_peak_loop_at(type, $0) }
  }

  /// Rounds that take some 20 µs: long beside reading the clock, short beside a measurement.
  private static func roundsPerTurn(_ loop: ckernels_peak_loop) -> UInt64 {
    var rounds: UInt64 = 64
    while rounds < 1 << 40 {
      let start = ContinuousClock.now
      _ = loop.run(rounds)
      if ContinuousClock.now - start >= .microseconds(20) { break }
      rounds *= 2
    }
    return rounds
  }

  /// Billions of operations per second of all threads of the pool.
  private static func rate(
    of loop: ckernels_peak_loop, rounds: UInt64, pool: ThreadPool, duration: Duration
  ) -> Double {
    let run = loop.run
    let total = Mutex(0.0)
    let end = ContinuousClock.now + duration
    pool.forEach(pool.threadCount) { _ in
      // A thread that comes again, in place of one that did not wake up, finds the time over.
      guard ContinuousClock.now < end else { return }
      let start = ThreadClock.nanoseconds
      var operations: UInt64 = 0
      repeat { operations += run(rounds) } while ContinuousClock.now < end
      let rate = Double(operations) / max(1, ThreadClock.nanoseconds - start)
      total.withLock { $0 += rate }
    }
    let cores = min(pool.threadCount, CPU.usableCores)
    return total.withLock { $0 } * Double(cores) / Double(pool.threadCount)
  }
}
