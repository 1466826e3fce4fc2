import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Where files are mapped in this process, for whoever handles the signal that comes when a mapped file has lost the page that is read: it
/// was cut short meanwhile, or its disk failed.
package enum MappedFiles {
  /// A file's place; free while the address is 0.
  private struct Slot: ~Copyable {
    let address = Atomic<UInt>(0)
    let count = Atomic<Int>(0)
    let path = Atomic<UnsafeMutablePointer<CChar>?>(nil)
  }

  /// More than the shards of any model. What is mapped beyond has no name in messages.
  private static let capacity = 1024
  private nonisolated(unsafe) static let slots: UnsafeMutablePointer<Slot> = {
    let slots = UnsafeMutablePointer<Slot>.allocate(capacity: capacity)
    for index in 0..<capacity { (slots + index).initialize(to: Slot()) }
    return slots
  }()
  private static let lock = Mutex(())

  /// Makes sure that a handler of signals can ask: it must not be the first to do so.
  package static func prepare() { _ = slots }

  /// Notes a mapping.
  static func add(_ address: UInt, count: Int, path: borrowing String) {
    lock.withLock { _ in
      for index in 0..<capacity where slots[index].address.load(ordering: .relaxed) == 0 {
        slots[index].count.store(count, ordering: .relaxed)
        slots[index].path.store(strdup(path), ordering: .relaxed)
        slots[index].address.store(address, ordering: .releasing)
        return
      }
    }
  }

  /// Forgets a mapping.
  static func remove(_ address: UInt) {
    lock.withLock { _ in
      for index in 0..<capacity where slots[index].address.load(ordering: .relaxed) == address {
        slots[index].address.store(0, ordering: .releasing)
        free(slots[index].path.exchange(nil, ordering: .relaxed))
        return
      }
    }
  }

  /// The path of the file that is mapped at an address; nil where none is. Takes no lock and no memory, so that handlers of signals may
  /// call it.
  package static func path(at address: UInt) -> UnsafePointer<CChar>? {
    for index in 0..<capacity {
      let start = slots[index].address.load(ordering: .acquiring)
      guard start != 0, address >= start else { continue }
      if address - start < UInt(bitPattern: slots[index].count.load(ordering: .relaxed)) {
        return slots[index].path.load(ordering: .relaxed).map { UnsafePointer($0) }
      }
    }
    return nil
  }
}
