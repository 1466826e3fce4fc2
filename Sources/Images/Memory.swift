#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Asks for memory before an array takes it, because an array that gets none ends the process.
enum Memory {
  /// Below this size nobody asks.
  private static let smallAllocation = 1 << 26

  /// Whether the system would hand out a block of this size now.
  static func canProvide(bytes: Int) -> Bool {
    guard bytes > smallAllocation else { return true }
    // Not malloc and free: a compiler may leave out a pair whose memory nobody uses.
    let block = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let block, block != MAP_FAILED else { return false }
    munmap(block, bytes)
    return true
  }
}
