import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Memory for the elements of one tensor that cannot be used where they lie in the file: written once, while the object is
/// made, and only read from then on.
final class ByteBuffer: Sendable {
  let count: Int
  private let address: UInt

  /// Enough for every element type and for the widest vectors.
  private static let alignment = 64

  /// Allocates `count` bytes and has `fill` write every one of them.
  /// - Parameter path: the file that the bytes come from, for messages.
  /// - Throws: `CheckpointError.unreadable` where there is not enough memory, and what `fill` throws.
  init(
    count: Int, path: FilePath, fill: (UnsafeMutableRawBufferPointer) throws(CheckpointError) -> Void
  ) throws(CheckpointError) {
    var memory: UnsafeMutableRawPointer?
    guard posix_memalign(&memory, Self.alignment, max(count, 1)) == 0, let memory else {
      throw .unreadable(path: path, reason: "not enough memory for \(count) bytes of it")
    }
    self.count = count
    address = UInt(bitPattern: memory)
    try fill(UnsafeMutableRawBufferPointer(start: memory, count: count))
  }

  deinit {
    free(UnsafeMutableRawPointer(bitPattern: address))
  }

  /// The bytes, valid while this object lives.
  var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: address), count: count)
  }
}
