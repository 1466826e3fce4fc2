import VisionTransformer

/// How fast a model ran.
public struct BenchmarkResult: Sendable {
  public let mode: Benchmark.Mode
  /// Images that went through the network together.
  public let batchSize: Int
  /// Threads that carried batches of their own.
  public let workers: Int
  /// Time of each batch, sorted, in seconds.
  public let latencies: [Double]
  /// Of all workers together.
  public let imagesPerSecond: Double
  /// Seconds of work for one image, by operation, added up over the workers; empty where they were not measured.
  public let operations: [NetworkOperation: Double]

  init(mode: Benchmark.Mode, batchSize: Int, recordings: [Recording]) {
    self.mode = mode
    self.batchSize = batchSize
    let recordings = recordings.filter { !$0.batches.isEmpty }
    workers = recordings.count
    latencies = recordings.flatMap(\.batches).map { $0 / .seconds(1) }.sorted()
    // Each by its own clock: when the first worker is through, the last may still be busy for the time of a batch.
    imagesPerSecond = recordings.reduce(0) { sum, recording in
      sum + Double(recording.batches.count * batchSize) / (recording.duration / .seconds(1))
    }
    let images = Double(latencies.count * batchSize)
    var operations: [NetworkOperation: Double] = [:]
    for recording in recordings {
      for (operation, duration) in recording.operations {
        operations[operation, default: 0] += duration / .seconds(1) / images
      }
    }
    self.operations = operations
  }

  /// The time within which a share of the batches was done, in seconds: that of the batch of rank ceil(share · count).
  /// - Parameter share: 0...1.
  /// - Returns: nil where no batch was done.
  public func latency(_ share: Double) -> Double? {
    guard !latencies.isEmpty else { return nil }
    let rank = Int((share * Double(latencies.count)).rounded(.up))
    return latencies[min(max(rank, 1), latencies.count) - 1]
  }
}
