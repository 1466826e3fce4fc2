/// Alignment of owned memory, in bytes: a cache line, and the widest vector register.
let vectorAlignment = 64

/// Owned float32 memory, aligned to 64 bytes.
public struct FloatBuffer: ~Copyable, @unchecked Sendable {
  /// The floats; valid as long as the buffer lives.
  public let base: UnsafeMutablePointer<Float>
  public let count: Int

  /// - Parameter zeroed: whether the floats are zero at first; else they are arbitrary, and the memory is not touched.
  public init(count: Int, zeroed: Bool = true) {
    precondition(count >= 0, "a buffer of \(count) floats")
    base = allocateFloats(count, zeroed: zeroed)
    self.count = count
  }

  deinit {
    UnsafeMutableRawPointer(base).deallocate()
  }

  public func withUnsafeBufferPointer<R>(_ body: (UnsafeBufferPointer<Float>) throws -> R) rethrows -> R {
    try body(UnsafeBufferPointer(start: base, count: count))
  }

  public mutating func withUnsafeMutableBufferPointer<R>(
    _ body: (UnsafeMutableBufferPointer<Float>) throws -> R
  ) rethrows -> R {
    try body(UnsafeMutableBufferPointer(start: base, count: count))
  }
}

/// `count` floats on a boundary of `vectorAlignment`; to be deallocated through a raw pointer.
func allocateFloats(_ count: Int, zeroed: Bool = true) -> UnsafeMutablePointer<Float> {
  let memory = UnsafeMutableRawPointer.allocate(
    byteCount: count * MemoryLayout<Float>.stride, alignment: vectorAlignment)
  let floats = memory.bindMemory(to: Float.self, capacity: count)
  if zeroed { floats.initialize(repeating: 0, count: count) }
  return floats
}
