import Kernels

/// Samples with their targets.
public struct Batch: Sendable {
  /// float32 [B, channels, height, width]
  public var pixels: [Float]
  /// [B, C], each row with a sum of 1.
  public var targets: [Float]
  /// [B]
  public var labels: [Int]

  public init(pixels: [Float], targets: [Float], labels: [Int]) {
    (self.pixels, self.targets, self.labels) = (pixels, targets, labels)
  }

  /// B
  public var count: Int { labels.count }
}

/// Forward and backward over a batch, split over the threads of a pool.
///
/// The batch is cut into shards, by its size alone. Each shard goes through the network on one thread; the shards' gradients are summed
/// in the shards' order. So the result is the same, bit by bit, whatever the number of threads.
public final class BatchPass {
  public let store: ParameterStore
  private let pool: ThreadPool
  private let lanes: Lanes
  private let weights: PackedWeights
  private let rates: DropoutRates
  private let seed: UInt64

  /// One for each thread; a thread uses its own alone.
  private struct Lanes: @unchecked Sendable {
    let passes: [ShardPass]
  }

  /// - Parameters:
  ///   - recomputes: whether activations are computed again in the backward pass, to save memory.
  ///   - headOnly: whether the heads alone are trained.
  ///   - precision: of the matrix products, fp32 or bf16.
  ///   - seed: of the dropouts.
  public init(
    _ store: ParameterStore, threads: Int, rates: DropoutRates = DropoutRates(), recomputes: Bool = false,
    headOnly: Bool = false, precision: Precision = .fp32, seed: UInt64 = 0
  ) {
    self.store = store
    self.rates = rates
    self.seed = seed
    let pool = ThreadPool(threadCount: threads)
    self.pool = pool
    let weights = PackedWeights(store.layout, precision: precision, headOnly: headOnly)
    self.weights = weights
    lanes = Lanes(
      passes: (0..<pool.threadCount).map { _ in
        ShardPass(
          store.layout, rates: rates, recomputes: recomputes, extent: headOnly ? .head : .all,
          precision: precision, weights: weights)
      })
  }

  /// How many shards a batch is cut into: at most 8, of at least 4 samples where there are 8 or more.
  static func shardCount(_ batch: Int) -> Int {
    batch >= 32 ? 8 : max(min(2, batch), batch / 4)
  }

  /// Zeroes the store's gradients.
  public func resetGradients() {
    store.values(.gradients).base.update(repeating: 0, count: store.layout.bufferCount)
  }

  /// Adds a batch's gradients to the store's.
  /// - Parameters:
  ///   - weight: 1 / the number of samples that the loss is the mean of: of this batch, or of all that are accumulated.
  ///   - step: number of the optimiser's step, for the dropouts.
  ///   - firstSample: how many samples of the step came before this batch.
  ///   - epoch: counted from 0, for the dropouts that do not go on to the end.
  public func accumulate(
    _ batch: Batch, weight: Float, step: Int, firstSample: Int = 0, epoch: Int
  ) -> Totals {
    let total = store.values(.gradients)
    let seed = seed
    let rates = rates.inEpoch(epoch)
    let drops = rates != DropoutRates()
    let depth = store.layout.architecture.configuration.depth
    return forEachShard(of: batch, from: .values, trains: true) { pass, shard, first, values in
      let dropout = Dropout(
        rates: rates, depth: depth, seed: seed, step: step, firstSample: firstSample + first)
      return pass.train(shard, values: values, weight: weight, dropout: drops ? dropout : nil)
    } afterRound: { count in
      self.addGradients(ofFirst: count, to: total)
    }
  }

  /// The sums of a batch, without gradients or dropout.
  public func evaluate(_ batch: Batch, with kind: ParameterStore.Kind? = nil) -> Totals {
    forEachShard(of: batch, from: kind ?? store.resultKind, trains: false) { pass, shard, _, values in
      pass.evaluate(shard, values: values)
    } afterRound: { _ in
    }
  }

  /// The shards in rounds of as many as there are threads.
  private func forEachShard(
    of batch: Batch, from kind: ParameterStore.Kind, trains: Bool,
    _ body: @Sendable (ShardPass, ShardPass.Shard, _ first: Int, ParameterValues) -> Totals,
    afterRound: (_ shards: Int) -> Void
  ) -> Totals {
    let c = store.layout.architecture.configuration
    let pixelCount = c.inChannels * c.imageSize.height * c.imageSize.width
    precondition(
      batch.pixels.count == batch.count * pixelCount && batch.targets.count == batch.count * c.numClasses,
      "\(batch.pixels.count) pixels and \(batch.targets.count) targets are no batch of \(batch.count)")
    let values = store.values(kind)
    weights.pack(values, backward: trains, pool: pool)
    let shards = Self.shardCount(batch.count)
    let (lanes, numClasses) = (lanes, c.numClasses)
    var totals = Totals()
    batch.pixels.withUnsafeBufferPointer { pixels in
      batch.targets.withUnsafeBufferPointer { targets in
        batch.labels.withUnsafeBufferPointer { labels in
          guard let pixelBase = pixels.baseAddress, let targetBase = targets.baseAddress else { return }
          let memory = BatchMemory(pixels: pixelBase, targets: targetBase, labels: labels)
          for round in stride(from: 0, to: shards, by: lanes.passes.count) {
            let count = min(lanes.passes.count, shards - round)
            let results = ShardTotals(count)
            // Each index has its own pass, so that the gradients lie in the order of the shards.
            pool.forEach(count) { index in
              let (start, end) = (
                (round + index) * memory.labels.count / shards,
                (round + index + 1) * memory.labels.count / shards
              )
              let shard = ShardPass.Shard(
                pixels: memory.pixels + start * pixelCount,
                targets: MatrixView(
                  base: memory.targets + start * numClasses, rows: end - start, columns: numClasses),
                labels: UnsafeBufferPointer(rebasing: memory.labels[start..<end]))
              results.values[index] = body(lanes.passes[index], shard, start, values)
            }
            for index in 0..<count { totals += results.values[index] }
            afterRound(count)
          }
        }
      }
    }
    return totals
  }

  /// total += the gradients of the first passes, in their order; split over the threads by places in the buffer.
  private func addGradients(ofFirst passCount: Int, to total: ParameterValues) {
    let count = store.layout.bufferCount
    let piece = 1 << 16
    let lanes = lanes
    pool.forEach((count + piece - 1) / piece) { index in
      let start = index * piece
      let length = min(piece, count - start)
      for pass in 0..<passCount {
        let source = lanes.passes[pass].gradients
        ParameterBuffers.add(
          UnsafeBufferPointer(start: source.base + start, count: length),
          to: UnsafeMutableBufferPointer(start: total.base + start, count: length))
      }
    }
  }
}

/// A batch's memory, which all threads read.
private struct BatchMemory: @unchecked Sendable {
  let pixels: UnsafePointer<Float>
  let targets: UnsafePointer<Float>
  let labels: UnsafeBufferPointer<Int>
}

/// A result for each shard of a round; each thread writes its own.
private final class ShardTotals: @unchecked Sendable {
  let values: UnsafeMutableBufferPointer<Totals>

  init(_ count: Int) {
    values = .allocate(capacity: count)
    values.initialize(repeating: Totals())
  }

  deinit { values.deallocate() }
}
