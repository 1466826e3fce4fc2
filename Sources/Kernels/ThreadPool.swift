import CKernels
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The fixed threads of one run.
///
/// The caller of `forEach` works, too: a pool of n threads starts n - 1. Between two calls the threads wait,
/// first looking out for work for some microseconds (the next layer is near), then asleep.
public final class ThreadPool: Sendable {
  /// Threads that work on a `forEach`, the caller's included.
  public let threadCount: Int

  private let crew: Crew
  private let threads: [pthread_t]

  /// Starts the threads. If the system refuses some of them, `threadCount` says how many there are.
  /// - Parameter threadCount: at least 1.
  public init(threadCount: Int) {
    precondition(threadCount >= 1, "a pool of \(threadCount) threads")
    let crew = Crew(looksOut: threadCount <= CPU.usableCores)
    var threads: [pthread_t] = []
    for lane in 1..<max(1, threadCount) {
      guard let thread = crew.startThread(lane: lane) else { break }
      threads.append(thread)
    }
    self.crew = crew
    self.threads = threads
    self.threadCount = threads.count + 1
  }

  deinit {
    crew.stop()
    for thread in threads { pthread_join(thread, nil) }
  }

  /// Calls `body(index)` for each index in 0..<`count` exactly once, on the pool's threads and the caller's,
  /// in no particular order; returns when all calls are done.
  ///
  /// Called from inside a body, it runs serially in place. Two callers at once take turns.
  public func forEach(_ count: Int, _ body: @Sendable (Int) -> Void) {
    forEachLane(count) { index, _ in body(index) }
  }

  /// `forEach`, with the number of the thread, 0..<`threadCount`, beside the index: at any time, at most one
  /// of the calls belonging to this `forEachLane` carries a given number, so that each can own a piece of
  /// scratch memory.
  package func forEachLane(_ count: Int, _ body: @Sendable (_ index: Int, _ lane: Int) -> Void) {
    guard count > 1 && !threads.isEmpty && !Crew.isInsideBody else {
      for index in 0..<max(0, count) { body(index, 0) }
      return
    }
    withoutActuallyEscaping(body) { body in
      withUnsafePointer(to: body) { crew.run(Crew.Job(count: count, body: $0)) }
    }
  }
}

/// The state that the threads share; outlives the pool until the last thread has left.
private final class Crew: @unchecked Sendable {
  struct Job {
    let count: Int
    let body: UnsafePointer<@Sendable (Int, Int) -> Void>
  }

  private let looksOut: Bool
  private let turn = PosixMutex()  // held by the caller whose job is running

  // Guarded by `mutex`, except that looking out reads `generation` and `working` without it.
  private let mutex = PosixMutex()
  private let jobArrived = PosixCondition()
  private let workersLeft = PosixCondition()
  private var job: Job?
  private var isStopping = false
  private let generation = Atomic<Int>(0)  // number of the newest job
  private let working = Atomic<Int>(0)  // threads that have joined the job and not left it

  private let nextIndex = Atomic<Int>(0)

  /// - Parameter looksOut: whether waiting threads may keep their core busy for a moment. With more threads
  ///   than cores they would keep it from a thread that works.
  init(looksOut: Bool) {
    self.looksOut = looksOut
  }

  // MARK: - The caller's side

  func run(_ job: Job) {
    turn.lock()
    defer { turn.unlock() }
    mutex.lock()
    self.job = job
    nextIndex.store(0, ordering: .relaxed)
    generation.add(1, ordering: .releasing)
    jobArrived.broadcast()
    mutex.unlock()

    Crew.setInsideBody(true)
    work(on: job, lane: 0)
    Crew.setInsideBody(false)

    // All indices are taken: nobody may join any more, and those who have joined finish theirs. A thread that
    // has not woken up yet is not waited for.
    mutex.lock()
    self.job = nil
    mutex.unlock()
    if lookOut(until: { working.load(ordering: .acquiring) == 0 }) { return }
    mutex.lock()
    while working.load(ordering: .acquiring) > 0 { workersLeft.wait(mutex) }
    mutex.unlock()
  }

  func stop() {
    mutex.lock()
    isStopping = true
    generation.add(1, ordering: .releasing)
    jobArrived.broadcast()
    mutex.unlock()
  }

  // MARK: - The threads' side

  func startThread(lane: Int) -> pthread_t? {
    let start = Unmanaged.passRetained(ThreadStart(crew: self, lane: lane))
    #if canImport(Darwin)
      var thread: pthread_t?
    #else
      var thread = pthread_t()
    #endif
    let status = pthread_create(&thread, nil, runThread, start.toOpaque())
    if status != 0 {
      start.release()
      return nil
    }
    return thread
  }

  func serve(lane: Int) {
    Crew.setInsideBody(true)
    var seen = 0
    while true {
      _ = lookOut { generation.load(ordering: .acquiring) != seen }
      mutex.lock()
      while generation.load(ordering: .relaxed) == seen { jobArrived.wait(mutex) }
      seen = generation.load(ordering: .relaxed)
      if isStopping {
        mutex.unlock()
        return
      }
      guard let job else {  // came too late
        mutex.unlock()
        continue
      }
      working.add(1, ordering: .relaxed)
      mutex.unlock()

      work(on: job, lane: lane)

      mutex.lock()
      let left = working.subtract(1, ordering: .acquiringAndReleasing).newValue
      if left == 0 { workersLeft.broadcast() }
      mutex.unlock()
    }
  }

  /// Not inlined, so that any reference to the body's context is given back before the thread leaves the job.
  @inline(never)
  private func work(on job: Job, lane: Int) {
    while true {
      let index = nextIndex.add(1, ordering: .relaxed).oldValue
      guard index < job.count else { return }
      job.body.pointee(index, lane)
    }
  }

  /// Waits for a condition without sleeping, for a short while; whether it came true.
  private func lookOut(until condition: () -> Bool) -> Bool {
    guard looksOut else { return condition() }
    // Longer than the serial pieces between the operations of a layer, short beside waking a sleeping thread.
    let patience = Duration.microseconds(30)
    let start = ContinuousClock.now
    repeat {
      for _ in 0..<16 {
        if condition() { return true }
        ckernels_pause()
      }
    } while ContinuousClock.now - start < patience
    return condition()
  }

  // MARK: - Nested calls

  private static let insideBodyKey: pthread_key_t = {
    var key = pthread_key_t()
    pthread_key_create(&key, nil)
    return key
  }()

  /// Whether the calling thread is inside a body of some pool.
  static var isInsideBody: Bool { pthread_getspecific(insideBodyKey) != nil }

  static func setInsideBody(_ isInside: Bool) {
    pthread_setspecific(insideBodyKey, UnsafeRawPointer(bitPattern: isInside ? 1 : 0))
  }
}

private final class ThreadStart {
  let crew: Crew
  let lane: Int

  init(crew: Crew, lane: Int) {
    (self.crew, self.lane) = (crew, lane)
  }
}

#if canImport(Darwin)
  private func runThread(_ argument: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
    serve(argument)
  }
#else
  private func runThread(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    argument.flatMap(serve)
  }
#endif

private func serve(_ argument: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
  let start = Unmanaged<ThreadStart>.fromOpaque(argument).takeRetainedValue()
  start.crew.serve(lane: start.lane)
  return nil
}
