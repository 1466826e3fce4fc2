/// Scratch memory of one worker: matrices are handed out by moving a position forward, and given back all at
/// once.
///
/// The arena holds a list of blocks and adds one when a matrix does not fit. `reset` and the end of the
/// outermost `scope` merge several blocks into one, so that after the first image nothing is allocated any
/// more. Not for use from two threads at once.
public final class Arena {
  private struct Block {
    let base: UnsafeMutableRawPointer
    /// In floats.
    let capacity: Int
  }

  /// Where the next matrix begins: a block and an offset into it, in floats.
  private struct Position {
    var block = 0
    var offset = 0
  }

  private var blocks: [Block] = []
  private var position = Position()

  /// An arena with room for `floats` floats before it has to grow; 0 allocates nothing yet.
  public init(capacity floats: Int = 0) {
    precondition(floats >= 0, "an arena of \(floats) floats")
    if floats > 0 { addBlock(floats) }
  }

  deinit {
    for block in blocks { block.base.deallocate() }
  }

  /// Floats that the arena holds, in use or not.
  public var capacity: Int { blocks.reduce(0) { $0 + $1.capacity } }

  /// A matrix [rows, columns] without gaps, its first element aligned to 64 bytes. The contents are
  /// arbitrary.
  ///
  /// Valid until the enclosing `scope` ends or `reset` is called.
  public func matrix(rows: Int, columns: Int) -> MutableMatrixView {
    precondition(rows >= 0 && columns >= 0, "no matrix has \(rows) rows and \(columns) columns")
    let base = take(rows * columns).bindMemory(to: Float.self, capacity: rows * columns)
    return MutableMatrixView(base: base, rows: rows, columns: columns)
  }

  /// A matrix whose rows begin an odd number of cache lines apart. Products read some rows of their left side at the same time:
  /// a power of two apart, they would push each other out of the first-level cache.
  public func spacedMatrix(rows: Int, columns: Int) -> MutableMatrixView {
    precondition(rows >= 0 && columns >= 0, "no matrix has \(rows) rows and \(columns) columns")
    let stride = Arena.spacedStride(4 * columns) / 4
    let base = take(rows * stride).bindMemory(to: Float.self, capacity: rows * stride)
    return MutableMatrixView(base: base, rows: rows, columns: columns, rowStride: stride)
  }

  /// The least odd number of cache lines that hold `bytes`, in bytes.
  static func spacedStride(_ bytes: Int) -> Int {
    (ceilingOfQuotient(bytes, vectorAlignment) | 1) * vectorAlignment
  }

  /// Room for `count` bytes, as `matrix` gives it for floats.
  func bytes(_ count: Int) -> UnsafeMutableRawPointer {
    precondition(count >= 0, "no room for \(count) bytes")
    return take(ceilingOfQuotient(count, 4))
  }

  /// Takes back everything that was handed out. Not inside a `scope`.
  public func reset() {
    position = Position()
    mergeBlocks()
  }

  /// Runs `body` and takes back what it took; what was handed out before stays valid.
  public func scope<R>(_ body: () throws -> R) rethrows -> R {
    let before = position
    defer {
      position = before
      if before.block == 0 && before.offset == 0 { mergeBlocks() }
    }
    return try body()
  }

  /// Room for `count` floats.
  private func take(_ count: Int) -> UnsafeMutableRawPointer {
    let lane = vectorAlignment / MemoryLayout<Float>.stride
    let size = max(1, (count + lane - 1) / lane) * lane
    while position.block < blocks.count {
      let block = blocks[position.block]
      if size <= block.capacity - position.offset {
        defer { position.offset += size }
        return block.base + position.offset * MemoryLayout<Float>.stride
      }
      position = Position(block: position.block + 1)
    }
    addBlock(max(size, capacity))  // at least doubles, so that there are few blocks
    position.offset = size
    return blocks[position.block].base
  }

  private func addBlock(_ floats: Int) {
    blocks.append(
      Block(base: UnsafeMutableRawPointer(allocateFloats(floats, zeroed: false)), capacity: floats))
  }

  /// Only while nothing is handed out.
  private func mergeBlocks() {
    guard blocks.count > 1 else { return }
    let total = capacity
    for block in blocks { block.base.deallocate() }
    blocks.removeAll(keepingCapacity: true)
    addBlock(total)
  }
}
