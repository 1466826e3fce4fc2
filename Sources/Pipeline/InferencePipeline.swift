import Images
import Kernels
import SystemPackage
import VisionTransformer

/// The stream from paths to results: decode, preprocess and forward on all cores, results in the order of the inputs.
///
/// One worker per thread carries whole images through the whole network. Where there are at most half as many images as threads,
/// the threads share the layers of each image instead. Memory is bounded: a worker holds one batch, and no worker runs further ahead
/// of the oldest unfinished batch than `window`.
public struct InferencePipeline: Sendable {
  public let model: VisionTransformer
  public var options: Options

  public struct Options: Sendable {
    /// Threads in all.
    public var threads: Int
    /// Images that go through the network together.
    public var batchSize: Int
    public var decoding: DecodingOptions
    /// Bytes that a worker takes beside its session's scratch memory.
    public var workerBytes = 0.0

    public init(
      threads: Int = CPU.usableCores, batchSize: Int = 1, decoding: DecodingOptions = DecodingOptions()
    ) {
      self.threads = threads
      self.batchSize = batchSize
      self.decoding = decoding
    }
  }

  public init(model: VisionTransformer, options: Options = Options()) {
    self.model = model
    self.options = options
  }

  /// What became of one input.
  public struct Item<Value: Sendable>: Sendable {
    public let path: FilePath
    public let outcome: Result<Success<Value>, any Error>
  }

  /// An image that went through, and what the network made of it.
  public struct Success<Value: Sendable>: Sendable {
    /// Size of the image in pixels, upright.
    public let size: ImageSize
    public let value: Value
  }

  /// What a run did.
  public struct Summary: Sendable, Equatable {
    public var processed = 0
    public var failed = 0
    public var isCancelled = false
  }

  /// Runs all inputs.
  /// - Parameters:
  ///   - inputs: where the paths come from; asked by one thread at a time.
  ///   - looksAhead: whether the first inputs may be asked for before any is processed, to see whether there are fewer than
  ///     threads. Not where somebody waits for a result before giving the next path.
  ///   - cancellation: ends the run early; cancelled by the run itself where `deliver` fails.
  ///   - infer: turns prepared images into one value each, nil where the network's output is not finite; called by several threads, each with its own session.
  ///   - deliver: receives the results in the order of the inputs, by one thread at a time.
  /// - Throws: what `deliver` throws; the run then ends.
  public func run<Value: Sendable>(
    _ inputs: some IteratorProtocol<Input>, looksAhead: Bool = true,
    cancellation: Cancellation = Cancellation(),
    infer: @escaping @Sendable (InferenceSession, [Image]) -> [Value?],
    deliver: @escaping (Item<Value>) throws -> Void
  ) throws -> Summary {
    try run(
      inputs, looksAhead: looksAhead, cancellation: cancellation, keepsPhotos: false, worker: worker(infer),
      deliver: deliver)
  }

  /// Makes workers that have a session each.
  /// - Parameter infer: see `run`.
  public func worker<Value: Sendable>(
    _ infer: @escaping @Sendable (InferenceSession, [Image]) -> [Value?]
  ) -> @Sendable (Compute) -> Work<Value> {
    { [model] compute in
      let session = InferenceSession(model, compute: compute)
      return { _, prepared in
        infer(session, prepared).map { $0.map(Result.success) ?? .failure(InputError.nonFiniteResult) }
      }
    }
  }

  /// What a worker makes of the images of a batch: a value or an error for each.
  /// - Parameters:
  ///   - photos: the images as they were decoded; empty where nobody keeps them.
  ///   - prepared: the same as the network sees them.
  public typealias Work<Value> = (_ photos: [Image], _ prepared: [Image]) -> [Result<Value, any Error>]

  /// Runs all inputs through workers of the caller's making.
  /// - Parameters:
  ///   - inputs, looksAhead, cancellation, deliver: as above.
  ///   - keepsPhotos: whether workers are given the images as they were decoded, too.
  ///   - worker: makes a worker, on the thread that it runs on and with what its operations run on; what it makes stays there.
  public func run<Value: Sendable>(
    _ inputs: some IteratorProtocol<Input>, looksAhead: Bool = true,
    cancellation: Cancellation = Cancellation(), keepsPhotos: Bool,
    worker: @escaping @Sendable (Compute) -> Work<Value>,
    deliver: @escaping (Item<Value>) throws -> Void
  ) throws -> Summary {
    let threads = max(1, options.threads)
    var feed = Feed(inputs, batchSize: max(1, options.batchSize))
    let batches = looksAhead ? feed.countBatches(upTo: threads) : threads
    // One image on several threads, or several on twice as many: each image's layers are split.
    let isSmall = 2 * batches <= threads
    let workers = isSmall ? 1 : min(batches, threads)
    try model.checkMemory(
      batchSize: max(1, options.batchSize), workers: workers, extra: options.workerBytes)
    let stream = Stream<Value>(feed: feed, cancellation: cancellation, deliver: deliver, window: 4 * workers)
    let pool = ThreadPool(threadCount: threads)
    if isSmall {
      work(stream, cancellation, keepsPhotos: keepsPhotos, worker(Compute(pool: pool)))
    } else {
      pool.forEach(workers) { _ in
        work(stream, cancellation, keepsPhotos: keepsPhotos, worker(Compute()))
      }
    }
    return try stream.finish()
  }

  /// One worker: takes batches until there are no more.
  private func work<Value: Sendable>(
    _ stream: Stream<Value>, _ cancellation: Cancellation, keepsPhotos: Bool, _ work: Work<Value>
  ) {
    while !cancellation.isCancelled, let batch = stream.next() {
      stream.complete(batch.ticket, process(batch.inputs, keepsPhotos: keepsPhotos, work))
    }
  }

  /// Decodes and prepares a batch, runs the network over what could be read, and puts both back in order.
  private func process<Value: Sendable>(
    _ inputs: [Input], keepsPhotos: Bool, _ work: Work<Value>
  ) -> [Item<Value>] {
    var (photos, prepared): ([Image], [Image]) = ([], [])
    let sizes: [Result<ImageSize, any Error>] = inputs.map { input in
      Result {
        let image = try read(input)
        prepared.append(image.prepared)
        if keepsPhotos { photos.append(image.photo) }
        return image.size
      }
    }
    var values = (prepared.isEmpty ? [] : work(photos, prepared)).makeIterator()
    return zip(inputs, sizes).map { input, size in
      let outcome = size.flatMap { size -> Result<Success<Value>, any Error> in
        guard let value = values.next() else { return .failure(InputError.nonFiniteResult) }
        return value.map { Success(size: size, value: $0) }
      }
      return Item(path: input.path, outcome: outcome)
    }
  }

  private func read(_ input: Input) throws -> (size: ImageSize, photo: Image, prepared: Image) {
    if let error = input.error { throw error }
    let decoded =
      try input.load?()
      ?? DecodedImage(contentsOf: input.path, options: options.decoding, for: model.transform)
    return (decoded.size, decoded.image, try model.transform.prepare(decoded))
  }
}

/// Cuts inputs into batches.
private struct Feed {
  private var next: () -> Input?
  private var ahead: [Input] = []
  private let batchSize: Int

  init(_ inputs: some IteratorProtocol<Input>, batchSize: Int) {
    var inputs = inputs
    next = { inputs.next() }
    self.batchSize = batchSize
  }

  /// The number of batches, at most `limit`, found by looking ahead.
  mutating func countBatches(upTo limit: Int) -> Int {
    while ahead.count <= (limit - 1) * batchSize, let input = next() { ahead.append(input) }
    return min(limit, max(1, (ahead.count + batchSize - 1) / batchSize))
  }

  mutating func nextBatch() -> [Input] {
    var batch: [Input] = []
    while batch.count < batchSize {
      if !ahead.isEmpty {
        batch.append(ahead.removeFirst())
      } else if let input = next() {
        batch.append(input)
      } else {
        break
      }
    }
    return batch
  }
}

/// The shared state of a run: hands out batches by ticket and passes results on in the order of the tickets.
private final class Stream<Value: Sendable>: @unchecked Sendable {
  typealias Item = InferencePipeline.Item<Value>

  private struct State {
    /// The oldest ticket whose results have not been passed on.
    var oldest = 0
    var finished: [Int: [Item]] = [:]
    var isDelivering = false
    var failure: (any Error)?
    var summary = InferencePipeline.Summary()
  }

  private struct Source {
    var feed: Feed
    var nextTicket = 0
    var isExhausted = false
  }

  /// Locked apart from the state, and always before it, since the next path may be long in coming: results are not to wait for it.
  private let source: Monitor<Source>
  private let state = Monitor(State())
  private let cancellation: Cancellation
  private let deliver: (Item) throws -> Void
  private let window: Int

  init(feed: Feed, cancellation: Cancellation, deliver: @escaping (Item) throws -> Void, window: Int) {
    source = Monitor(Source(feed: feed))
    self.cancellation = cancellation
    self.deliver = deliver
    self.window = window
  }

  /// The next batch; nil where there is none, or where the run has failed.
  func next() -> (ticket: Int, inputs: [Input])? {
    source.update { source in
      let ticket = source.nextTicket
      let hasFailed = state.wait {
        $0.failure != nil || ticket - $0.oldest < window
      } then: {
        $0.failure != nil
      }
      guard !hasFailed, !source.isExhausted else { return nil }
      let inputs = source.feed.nextBatch()
      guard !inputs.isEmpty else {
        // A cancelled list ends early: that is not its end.
        source.isExhausted = !cancellation.isCancelled
        return nil
      }
      source.nextTicket += 1
      return (ticket, inputs)
    }
  }

  /// Takes the results of a batch, and passes on all that are now next in order.
  func complete(_ ticket: Int, _ items: [Item]) {
    var ready = state.update { state -> [Item]? in
      state.finished[ticket] = items
      return state.isDelivering ? nil : Self.takeNext(&state)
    }
    while let items = ready {
      // Outside the lock: others may go on while results are written.
      let outcome = Result { for item in items { try deliver(item) } }
      ready = state.update { state in
        state.isDelivering = false
        state.oldest += 1
        state.summary.processed += items.count
        state.summary.failed += items.count { if case .failure = $0.outcome { true } else { false } }
        if case .failure(let error) = outcome {
          state.failure = error
          // Nobody need wait for further paths.
          cancellation.cancel()
        }
        return Self.takeNext(&state)
      }
    }
  }

  private static func takeNext(_ state: inout State) -> [Item]? {
    guard state.failure == nil, let items = state.finished.removeValue(forKey: state.oldest) else {
      return nil
    }
    state.isDelivering = true
    return items
  }

  func finish() throws -> InferencePipeline.Summary {
    let isExhausted = source.update { $0.isExhausted }
    return try state.update { state in
      if let failure = state.failure { throw failure }
      state.summary.isCancelled = cancellation.isCancelled && !isExhausted
      return state.summary
    }
  }
}
