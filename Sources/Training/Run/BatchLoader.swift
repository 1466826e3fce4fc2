import Kernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Loads batches ahead of the training, on threads of its own, so that decoding and augmentation overlap with compute.
final class BatchLoader: @unchecked Sendable {
  /// What a batch is made of.
  struct Request: Sendable {
    let indices: [Int]
    let epoch: Int
    /// The batch's number over all epochs; nil for samples that are not mixed.
    let step: Int?
  }

  private let source: any SampleSource
  private let pixelCount: Int
  private let pool: ThreadPool
  private let capacity: Int

  private let mutex = PosixMutex()
  private let changed = PosixCondition()
  // Guarded by `mutex`.
  private var requests: AnyIterator<Request>
  private var ready: [Result<Batch, any Error>] = []
  private var isFinished = false
  private var isStopping = false
  private var thread: pthread_t?

  /// - Parameters:
  ///   - pixelCount: floats of one sample.
  ///   - threads: that load samples side by side.
  ///   - ahead: batches that are kept ready.
  init(
    _ source: any SampleSource, pixelCount: Int, requests: AnyIterator<Request>, threads: Int, ahead: Int = 2
  ) {
    self.source = source
    self.pixelCount = pixelCount
    self.requests = requests
    capacity = max(1, ahead)
    pool = ThreadPool(threadCount: max(1, threads))
    start()
  }

  private func start() {
    let retained = Unmanaged.passRetained(self)
    #if canImport(Darwin)
      var thread: pthread_t?
    #else
      var thread = pthread_t()
    #endif
    if pthread_create(&thread, nil, runLoader, retained.toOpaque()) == 0 {
      self.thread = thread
    } else {
      // No thread can be had: `next` loads on the caller's.
      retained.release()
    }
  }

  /// The next batch; nil behind the last one.
  /// - Throws: what the source throws.
  func next() throws -> Batch? {
    guard thread != nil else { return try requests.next().map { try load($0) } }
    mutex.lock()
    defer { mutex.unlock() }
    while ready.isEmpty, !isFinished { changed.wait(mutex) }
    guard !ready.isEmpty else { return nil }
    let batch = ready.removeFirst()
    changed.broadcast()
    return try batch.get()
  }

  /// Ends the thread; to be called before the loader is given up.
  func stop() {
    guard let thread else { return }
    mutex.lock()
    isStopping = true
    changed.broadcast()
    mutex.unlock()
    pthread_join(thread, nil)
    self.thread = nil
    isFinished = true
    ready = []
  }

  /// The thread's work.
  fileprivate func serve() {
    while true {
      mutex.lock()
      while ready.count >= capacity, !isStopping { changed.wait(mutex) }
      let request = isStopping ? nil : requests.next()
      mutex.unlock()
      let batch = request.map { request in Result { try load(request) } }
      mutex.lock()
      if let batch { ready.append(batch) }
      // Behind an error nothing follows.
      if case .success? = batch {} else { isFinished = true }
      let isDone = isFinished
      changed.broadcast()
      mutex.unlock()
      if isDone { return }
    }
  }

  private func load(_ request: Request) throws -> Batch {
    let (source, count, pixelCount) = (source, request.indices.count, pixelCount)
    var pixels = [Float](repeating: 0, count: count * pixelCount)
    let results = Loaded(count)
    let (labels, targets) = try pixels.withUnsafeMutableBufferPointer { pixels in
      let target = Pixels(buffer: pixels)
      pool.forEach(count) { index in
        let sample = UnsafeMutableBufferPointer(
          rebasing: target.buffer[index * pixelCount..<(index + 1) * pixelCount])
        results.labels[index] = Result {
          try source.load(request.indices[index], epoch: request.epoch, into: sample)
        }
      }
      let found = try results.labels.map { try $0.get() }
      // Those that are left out are closed up.
      for (place, index) in found.indices.filter({ found[$0] != nil }).enumerated() where place < index {
        for pixel in 0..<pixelCount {
          pixels[place * pixelCount + pixel] = pixels[index * pixelCount + pixel]
        }
      }
      let labels = found.compactMap { $0 }
      let targets =
        request.step.map { source.targets(labels, pixels: pixels, step: $0) }
        ?? source.plainTargets(labels, smoothing: 0)
      return (labels, targets)
    }
    pixels.removeLast((count - labels.count) * pixelCount)
    return Batch(pixels: pixels, targets: targets, labels: labels)
  }

  private struct Pixels: @unchecked Sendable {
    let buffer: UnsafeMutableBufferPointer<Float>
  }

  /// A label for each sample, nil for one that is left out; each thread writes its own.
  private final class Loaded: @unchecked Sendable {
    let labels: UnsafeMutableBufferPointer<Result<Int?, any Error>>

    init(_ count: Int) {
      labels = .allocate(capacity: count)
      labels.initialize(repeating: .success(0))
    }

    deinit {
      labels.deinitialize()
      labels.deallocate()
    }
  }
}

#if canImport(Darwin)
  private func runLoader(_ argument: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? { serve(argument) }
#else
  private func runLoader(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    argument.flatMap(serve)
  }
#endif

private func serve(_ argument: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
  let loader = Unmanaged<BatchLoader>.fromOpaque(argument).takeRetainedValue()
  loader.serve()
  return nil
}
