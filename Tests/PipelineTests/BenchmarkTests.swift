import Images
import Pipeline
import Synchronization
import Testing
import VisionTransformer

@Suite struct BenchmarkTests {
  private static func model() throws -> VisionTransformer {
    try VisionTransformer(randomWeightsOf: "test_vit", options: .init(transform: .init(size: ImageSize(32))))
  }

  @Test(arguments: [
    (Benchmark.Mode.throughput, 2, 3), (.throughput, 1, 1), (.latency, 2, 2), (.latency, 1, 1),
  ])
  func batchesAreCounted(_ mode: Benchmark.Mode, _ threads: Int, _ batchSize: Int) throws {
    let benchmark = Benchmark(
      try Self.model(), options: .init(threads: threads, batchSize: batchSize, limit: .batches(7)))
    let shares = Mutex<[Double]>([])
    let result = try benchmark.run(mode) { share in shares.withLock { $0.append(share) } }
    #expect(result.mode == mode && result.batchSize == batchSize)
    #expect(result.latencies.count == 7 && result.latencies == result.latencies.sorted())
    #expect((1...(mode == .latency ? 1 : threads)).contains(result.workers))
    #expect(result.latencies.allSatisfy { $0 > 0 } && result.imagesPerSecond > 0)
    #expect(shares.withLock { $0.sorted() } == (1...7).map { Double($0) / 7 })
    #expect(result.operations.isEmpty)
    // Images/s and the time of a batch tell the same story.
    let mean = result.latencies.reduce(0, +) / 7
    let expected = Double(batchSize * result.workers) / mean
    #expect(result.imagesPerSecond > expected / 3 && result.imagesPerSecond < expected * 3)
  }

  @Test func timeIsKept() throws {
    let benchmark = Benchmark(try Self.model(), options: .init(threads: 2, limit: .seconds(0.05)))
    let start = ContinuousClock.now
    let result = try benchmark.run(.throughput)
    #expect(ContinuousClock.now - start >= .milliseconds(50))
    #expect(!result.latencies.isEmpty)
  }

  @Test func aCancelledRunEnds() throws {
    let cancellation = Cancellation()
    let benchmark = Benchmark(try Self.model(), options: .init(threads: 2, limit: .seconds(600)))
    let result = try benchmark.run(.throughput, cancellation: cancellation) { _ in cancellation.cancel() }
    #expect(result.latencies.count <= 2 * 2)
    let nothing = try benchmark.run(.latency, cancellation: cancellation)
    #expect(nothing.latencies.isEmpty && nothing.imagesPerSecond == 0 && nothing.latency(0.5) == nil)
  }

  /// The operations' times add up to nearly the whole, and no kind that the network has is missing.
  @Test func operationsAddUp() throws {
    let benchmark = Benchmark(
      try Self.model(),
      options: .init(threads: 1, batchSize: 4, limit: .batches(20), measuresOperations: true))
    let result = try benchmark.run(.latency)
    let total = result.operations.values.reduce(0, +)
    #expect(
      Set(result.operations.keys).subtracting([.conversion])
        == [.patchEmbedding, .norm, .qkv, .attention, .projection, .fc1, .fc2, .head, .other])
    let measured = result.latencies.reduce(0, +) / Double(20 * 4)
    #expect(total <= measured * 1.001 && total > measured * 0.8)
  }

  @Test func arithmeticIsSharedOut() throws {
    let model = try VisionTransformer(
      randomWeightsOf: "vit_tiny_patch16_224", options: .init(describesOnly: true))
    // 196 patches of 768 pixels to 192; 197 tokens; 12 blocks, of the last only the class token's row but for keys and values; 1,000
    // classes. Two operations a multiply-add.
    let (n, d, m) = (197.0, 192.0, 768.0)
    let rows = 11 * n + 1
    let expected: [NetworkOperation: Double] = [
      .patchEmbedding: 196 * 768 * d, .qkv: (rows + 2 * 12 * n) * d * d, .attention: rows * 2 * n * d,
      .projection: rows * d * d, .fc1: rows * d * m, .fc2: rows * d * m, .head: 1000 * d,
    ]
    for operation in NetworkOperation.allCases {
      let value = 2 * (expected[operation] ?? 0) / 1e9
      #expect(abs(model.gflops(of: operation) - value) <= 1e-9 * value, "\(operation)")
    }
    #expect(abs(model.gflops - 2.334) < 0.001)
  }

  @Test func percentiles() throws {
    let benchmark = Benchmark(try Self.model(), options: .init(threads: 1, limit: .batches(10)))
    let result = try benchmark.run(.latency)
    #expect(result.latency(0.5) == result.latencies[4])
    #expect(result.latency(0.9) == result.latencies[8])
    #expect(result.latency(0.99) == result.latencies[9])
    #expect(result.latency(0) == result.latencies[0] && result.latency(1) == result.latencies[9])
  }

  @Test func residentMemory() {
    let before = ProcessMemory.peakBytes
    #expect(before > 1 << 20 && before < 1 << 40)
    let block = [UInt8](repeating: 1, count: 64 << 20)
    #expect(block[12_345] == 1)
    #expect(ProcessMemory.peakBytes >= before)
  }
}
