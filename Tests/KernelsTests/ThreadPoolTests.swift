import Kernels
import Synchronization
import Testing

@Suite struct ThreadPoolTests {
  /// Calls for each index; safe to count from any thread.
  private final class Tally: Sendable {
    let counts: Mutex<[Int]>

    init(_ count: Int) { counts = Mutex([Int](repeating: 0, count: count)) }

    func add(_ index: Int) { counts.withLock { $0[index] += 1 } }
    var isOneEach: Bool { counts.withLock { $0.allSatisfy { $0 == 1 } } }
  }

  @Test(arguments: [1, 2, 3, 4, 9], [0, 1, 2, 7, 1000])
  func visitsEachIndexOnce(threads: Int, count: Int) {
    let pool = ThreadPool(threadCount: threads)
    #expect(pool.threadCount == threads)
    let tally = Tally(count)
    pool.forEach(count) { tally.add($0) }
    #expect(tally.isOneEach)
  }

  @Test(arguments: [1, 2, 5])
  func runsManySmallJobs(threads: Int) {
    let pool = ThreadPool(threadCount: threads)
    let sum = Atomic<Int>(0)
    for _ in 0..<2000 { pool.forEach(3) { sum.add($0 + 1, ordering: .relaxed) } }
    #expect(sum.load(ordering: .relaxed) == 2000 * 6)
  }

  /// Results written by the threads, without locks, are there when `forEach` returns.
  @Test func resultsAreVisibleToTheCaller() {
    let pool = ThreadPool(threadCount: 4)
    let matrix = GuardedMatrix(rows: 1, columns: 64)
    let view = matrix.mutableView
    for round in 1...500 {
      pool.forEach(64) { view.base[$0] += Float($0) }
      #expect(matrix.values == (0..<64).map { Float($0 * round) })
    }
  }

  @Test func nestedCallsRunInPlace() {
    let (pool, other) = (ThreadPool(threadCount: 3), ThreadPool(threadCount: 2))
    let tally = Tally(8 * 8)
    pool.forEach(8) { outer in
      let next = Atomic<Int>(0)
      pool.forEach(4) { inner in
        #expect(next.add(1, ordering: .relaxed).oldValue == inner)
        tally.add(outer * 8 + inner)
      }
      other.forEach(4) { inner in tally.add(outer * 8 + 4 + inner) }
    }
    #expect(tally.isOneEach)
  }

  @Test func callersTakeTurns() {
    let pool = ThreadPool(threadCount: 2)
    let sum = Atomic<Int>(0)
    // Threads of their own: inside a body of a pool, calls would run in place.
    let group = CallerGroup()
    for _ in 0..<4 {
      group.start {
        for _ in 0..<100 { pool.forEach(5) { sum.add($0, ordering: .relaxed) } }
      }
    }
    group.wait()
    #expect(sum.load(ordering: .relaxed) == 4 * 100 * 10)
  }

  @Test func lanesAreNotSharedAtATime() {
    let pool = ThreadPool(threadCount: 4)
    let busy = Mutex([Bool](repeating: false, count: 4))
    pool.forEachLane(500) { _, lane in
      let wasFree = busy.withLock { lanes in
        defer { lanes[lane] = true }
        return !lanes[lane]
      }
      #expect(wasFree)
      busy.withLock { $0[lane] = false }
    }
  }

  @Test func endsWithItsThreads() {
    for threads in 1...40 {
      let pool = ThreadPool(threadCount: threads % 5 + 1)
      if threads % 2 == 0 { pool.forEach(3) { _ in } }
    }
  }
}
