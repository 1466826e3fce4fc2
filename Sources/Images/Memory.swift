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
    guard let block = malloc(bytes) else { return false }
    free(block)
    return true
  }
}
