#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

// Swift's Synchronization module has a mutex but no condition variable; these two belong together.

/// A pthread mutex at a fixed address.
package final class PosixMutex: @unchecked Sendable {
  fileprivate let handle: UnsafeMutablePointer<pthread_mutex_t>

  package init() {
    handle = .allocate(capacity: 1)
    handle.initialize(to: pthread_mutex_t())
    pthread_mutex_init(handle, nil)
  }

  deinit {
    pthread_mutex_destroy(handle)
    handle.deallocate()
  }

  package func lock() { pthread_mutex_lock(handle) }
  package func unlock() { pthread_mutex_unlock(handle) }
}

/// A pthread condition variable at a fixed address.
package final class PosixCondition: @unchecked Sendable {
  private let handle: UnsafeMutablePointer<pthread_cond_t>

  package init() {
    handle = .allocate(capacity: 1)
    handle.initialize(to: pthread_cond_t())
    pthread_cond_init(handle, nil)
  }

  deinit {
    pthread_cond_destroy(handle)
    handle.deallocate()
  }

  /// Sleeps until woken, which may happen without cause; `mutex` is free meanwhile.
  package func wait(_ mutex: PosixMutex) { pthread_cond_wait(handle, mutex.handle) }
  package func broadcast() { pthread_cond_broadcast(handle) }
}
