import Checkpoints
import Images
import Kernels
import Synchronization
import VisionTransformer

/// Measures how fast a model runs on images that are in memory and prepared: the network alone.
public struct Benchmark: Sendable {
  public let model: VisionTransformer
  public let options: Options

  public struct Options: Sendable {
    /// Threads in all.
    public var threads: Int
    /// Images that go through the network together.
    public var batchSize: Int
    public var limit: Limit
    /// Whether the time of each kind of operation is measured, too.
    public var measuresOperations: Bool

    public init(
      threads: Int = CPU.usableCores, batchSize: Int = 1, limit: Limit = .seconds(3),
      measuresOperations: Bool = false
    ) {
      self.threads = threads
      self.batchSize = batchSize
      self.limit = limit
      self.measuresOperations = measuresOperations
    }
  }

  /// When a measurement ends.
  public enum Limit: Sendable, Equatable {
    /// No batch is begun after that time; each worker does one at least.
    case seconds(Double)
    /// Batches of all workers together.
    case batches(Int)
  }

  /// How the threads share the work.
  public enum Mode: String, Sendable, CaseIterable {
    /// Each thread carries whole batches of its own through the network, as over many images.
    case throughput
    /// All threads work on the layers of one batch after another, as over a single image.
    case latency
  }

  public init(_ model: VisionTransformer, options: Options = Options()) {
    self.model = model
    self.options = options
  }

  /// Batches that each worker runs before the clock starts: the first takes memory, the second finds it in place.
  public static let warmUpBatches = 2

  /// Runs the model.
  /// - Parameters:
  ///   - mode: how the threads share the work.
  ///   - cancellation: ends the measurement early.
  ///   - progress: told, by any thread, after each batch which share of the measurement is done, 0...1.
  /// - Throws: `ModelError.memory` where the machine has too little of it.
  public func run(
    _ mode: Mode, cancellation: Cancellation = Cancellation(),
    progress: @escaping @Sendable (Double) -> Void = { _ in }
  ) throws -> BenchmarkResult {
    let workers = mode == .latency ? 1 : options.threads
    try model.checkMemory(batchSize: options.batchSize, workers: workers)
    let pool = ThreadPool(threadCount: options.threads)
    let run = Run(limit: options.limit, cancellation: cancellation, progress: progress)
    let recordings = Mutex<[Recording]>([])
    if mode == .latency {
      let recording = record(run, Compute(pool: pool), seed: 0)
      recordings.withLock { $0.append(recording) }
    } else {
      pool.forEach(pool.threadCount) { worker in
        let recording = record(run, Compute(), seed: UInt64(worker))
        recordings.withLock { $0.append(recording) }
      }
    }
    return BenchmarkResult(
      mode: mode, batchSize: options.batchSize, recordings: recordings.withLock { $0 })
  }

  /// One worker: runs batches until the run is over.
  private func record(_ run: Run, _ compute: Compute, seed: UInt64) -> Recording {
    let clock = options.measuresOperations ? OperationClock() : nil
    let session = InferenceSession(model, compute: compute, clock: clock)
    let batch = InferenceSession.Batch.images(images(seed: seed))
    for _ in 0..<Self.warmUpBatches where !run.isCancelled { session.run(batch, allTokens: false) { _ in } }
    clock?.reset()
    var recording = Recording()
    let start = ContinuousClock.now
    run.start()
    var last = start
    while run.next(isFirst: recording.batches.isEmpty) {
      session.run(batch, allTokens: false) { _ in }
      let now = ContinuousClock.now
      recording.batches.append(now - last)
      last = now
      run.report()
    }
    recording.duration = last - start
    recording.operations = clock?.durations ?? [:]
    return recording
  }

  /// Pixels at random: prepared images, as the model's transform makes them.
  private func images(seed: UInt64) -> [Image] {
    let size = model.transform.size
    return (0..<options.batchSize).map { index in
      let key = CounterHash.value(at: UInt64(index), of: seed)
      let pixels = (0..<size.height * size.width * 3).map { place in
        UInt8(truncatingIfNeeded: CounterHash.value(at: UInt64(place), of: key))
      }
      return Image(width: size.width, height: size.height, pixels: pixels)
    }
  }
}

/// What one worker did.
struct Recording {
  /// Time of each batch.
  var batches: [Duration] = []
  /// From the start of the first to the end of the last.
  var duration = Duration.zero
  var operations: [NetworkOperation: Duration] = [:]
}

/// The state of a measurement that the workers share.
private final class Run: Sendable {
  private struct State {
    var begun = 0
    var done = 0
    var start: ContinuousClock.Instant?
  }

  private let state = Mutex(State())
  private let limit: Benchmark.Limit
  private let cancellation: Cancellation
  private let progress: @Sendable (Double) -> Void

  init(
    limit: Benchmark.Limit, cancellation: Cancellation, progress: @escaping @Sendable (Double) -> Void
  ) {
    (self.limit, self.cancellation, self.progress) = (limit, cancellation, progress)
  }

  var isCancelled: Bool { cancellation.isCancelled }

  /// The clock starts with the first worker that is ready.
  func start() {
    state.withLock { state in state.start = state.start ?? .now }
  }

  /// Whether a worker is to do another batch.
  /// - Parameter isFirst: whether it has done none yet.
  func next(isFirst: Bool) -> Bool {
    guard !isCancelled else { return false }
    return state.withLock { state in
      switch limit {
      case .batches(let count):
        guard state.begun < count else { return false }
      case .seconds(let seconds):
        guard let start = state.start, isFirst || ContinuousClock.now - start < .seconds(seconds) else {
          return false
        }
      }
      state.begun += 1
      return true
    }
  }

  /// Tells how far the measurement is, after each batch.
  func report() {
    let share = state.withLock { state -> Double in
      state.done += 1
      switch limit {
      case .batches(let count): return Double(state.done) / Double(max(1, count))
      case .seconds(let seconds):
        guard let start = state.start, seconds > 0 else { return 1 }
        return (ContinuousClock.now - start) / .seconds(seconds)
      }
    }
    progress(min(1, share))
  }
}
