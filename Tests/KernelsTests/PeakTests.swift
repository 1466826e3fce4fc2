import CKernels
import Kernels
import Testing

@Suite struct PeakTests {
  /// A loop that the compiler has shortened would do more than any core does at 8 GHz: 4 units of 16 lanes, or a product of two tiles
  /// in 16 cycles.
  static func limit(_ precision: Precision) -> Double {
    switch precision {
    case .fp32: 4 * 16 * 2 * 8
    case .bf16: 16 * 16 * 32 * 2 / 16 * 8
    case .int8: 16 * 16 * 64 * 2 / 16 * 8
    }
  }

  @Test(arguments: Precision.allCases) func everyLoopDoesItsRounds(_ precision: Precision) throws {
    for loop in Peak.loops(precision) {
      let name = String(cString: loop.instructions)
      let operations = loop.run(1)
      #expect(operations > 0 && loop.run(1000) == 1000 * operations, "\(name)")
      let start = ContinuousClock.now
      let done = loop.run(200_000)
      let rate = Double(done) / ((ContinuousClock.now - start) / .nanoseconds(1))
      #expect(rate > 0.01 && rate < Self.limit(precision), "\(name) does \(rate) GFLOP/s")
    }
  }

  @Test func everyMachineHasPeaks() throws {
    for precision in Precision.allCases {
      let peak = try #require(
        Peak.measure(precision, threads: 1, duration: .milliseconds(2), repetitions: 2))
      #expect(peak.precision == precision && peak.threads == 1 && !peak.instructions.isEmpty)
      #expect(peak.gflops > 0.01 && peak.gflops < Self.limit(precision))
    }
  }

  @Test func threadsAddUp() throws {
    let peak = try #require(Peak.measure(.fp32, threads: 3, duration: .milliseconds(5), repetitions: 2))
    #expect(peak.threads == 3)
    #expect(peak.gflops > 0.01 && peak.gflops < 3 * Self.limit(.fp32))
  }

  /// Inside a body of a pool, where threads are not to be had, it still ends.
  @Test func nestedMeasurementsEnd() {
    ThreadPool(threadCount: 2).forEach(2) { _ in
      _ = Peak.measure(.int8, threads: 2, duration: .milliseconds(1), repetitions: 1)
    }
  }

  /// bfloat16 can be multiplied as float32 everywhere, and its peak is the better of what there is.
  @Test func bfloat16IsNoSlowerThanFloat32() throws {
    func names(_ loops: [ckernels_peak_loop]) -> [String] { loops.map { String(cString: $0.instructions) } }
    let float32 = try #require(names(Peak.loops(.fp32)).last)
    #expect(names(Peak.candidates(.fp32)) == [float32])
    #expect(names(Peak.candidates(.bf16)) == names(Peak.loops(.bf16)).suffix(1) + [float32])
    let peak = try #require(Peak.measure(.bf16, threads: 1, duration: .milliseconds(2), repetitions: 2))
    #expect(names(Peak.candidates(.bf16)).contains(peak.instructions))
  }

  @Test func otherTypesHaveNoLoops() {
    #expect(ckernels_peak_loop_count(ckernels_peak_type(rawValue: 99)) == 0)
  }
}
