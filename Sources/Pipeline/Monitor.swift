import Kernels

/// State that several threads share, and on whose changes they can wait: a mutex and a condition variable around a value.
final class Monitor<State>: @unchecked Sendable {
  private var state: State
  private let mutex = PosixMutex()
  private let condition = PosixCondition()

  init(_ state: State) {
    self.state = state
  }

  /// Runs `body` alone, then wakes all that wait.
  func update<R>(_ body: (inout State) throws -> R) rethrows -> R {
    try wait(until: { _ in true }, then: body)
  }

  /// Waits until the predicate holds, then runs `body` alone and wakes all that wait.
  func wait<R>(until predicate: (State) -> Bool, then body: (inout State) throws -> R) rethrows -> R {
    mutex.lock()
    defer {
      condition.broadcast()
      mutex.unlock()
    }
    while !predicate(state) { condition.wait(mutex) }
    return try body(&state)
  }
}
