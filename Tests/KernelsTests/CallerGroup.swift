import Foundation

/// Threads that call into a pool from outside of it.
final class CallerGroup {
  private let group = DispatchGroup()

  func start(_ body: @escaping @Sendable () -> Void) {
    group.enter()
    Thread.detachNewThread { [group] in
      body()
      group.leave()
    }
  }

  func wait() {
    group.wait()
  }
}
