import Kernels
import Testing

@Suite struct MemoryTests {
  private func isAligned(_ pointer: UnsafeMutablePointer<Float>) -> Bool {
    UInt(bitPattern: pointer) % 64 == 0
  }

  @Test func viewsCutBlocks() {
    let matrix = GuardedMatrix(rows: 4, columns: 5, gap: 2) { Float(10 * $0 + $1) }
    let block = matrix.view[1..<3, 2..<5]
    #expect(block.rows == 2 && block.columns == 3 && block.rowStride == 7)
    #expect(Array(block.row(0)) == [12, 13, 14] && Array(block.row(1)) == [22, 23, 24])
    #expect(Array(block[1..<2, 1..<2].row(0)) == [23])
    #expect(matrix.view[4..<4, 0..<5].rows == 0)
  }

  @Test func copiesBetweenStrides() {
    let source = GuardedMatrix(rows: 3, columns: 4, gap: 1) { Float(10 * $0 + $1) }
    let target = GuardedMatrix(rows: 3, columns: 6, gap: 3)
    target.mutableView[0..<3, 1..<5].copy(from: source.view)
    #expect(target[2, 0] == 0 && target[2, 1] == 20 && target[2, 4] == 23 && target[2, 5] == 0)
    #expect(target.isIntact && source.isIntact)
  }

  @Test(arguments: [0, 1, 1000])
  func buffersAreAlignedAndZero(count: Int) {
    var buffer = FloatBuffer(count: count)
    #expect(buffer.count == count && isAligned(buffer.base))
    #expect(buffer.withUnsafeBufferPointer { $0.count == count && $0.allSatisfy { $0 == 0 } })
    buffer.withUnsafeMutableBufferPointer { $0.update(repeating: 2) }
    #expect(buffer.withUnsafeBufferPointer { $0.allSatisfy { $0 == 2 } })
  }

  @Test func arenaHandsOutSeparateAlignedMatrices() {
    let arena = Arena(capacity: 64)
    // More than fits: the arena grows, and what it gave before stays where it was.
    let matrices = (1...20).map { arena.matrix(rows: $0, columns: 7) }
    for (index, matrix) in matrices.enumerated() {
      #expect(isAligned(matrix.base))
      for row in 0..<matrix.rows { matrix.row(row).update(repeating: Float(index)) }
    }
    for (index, matrix) in matrices.enumerated() {
      for row in 0..<matrix.rows { #expect(matrix.row(row).allSatisfy { $0 == Float(index) }) }
    }
  }

  @Test func arenaReusesMemory() {
    let arena = Arena(capacity: 1024)
    let first = arena.matrix(rows: 4, columns: 16)
    let inner = arena.scope { arena.matrix(rows: 2, columns: 16).base }
    #expect(arena.matrix(rows: 1, columns: 1).base == inner)
    arena.reset()
    #expect(arena.matrix(rows: 1, columns: 1).base == first.base)
    #expect(arena.capacity == 1024)
  }

  @Test func arenaSettlesOnOneBlock() {
    let arena = Arena()
    func image() {
      arena.scope {
        for _ in 0..<3 {
          let outer = arena.matrix(rows: 100, columns: 10)
          arena.scope { _ = arena.matrix(rows: 500, columns: 10) }
          outer.row(99).update(repeating: 1)
        }
      }
    }
    image()
    let settled = arena.capacity
    for _ in 0..<5 { image() }
    #expect(arena.capacity == settled)
    // Merged: all of it is one piece.
    #expect(arena.matrix(rows: 1, columns: settled).columns == settled)
    #expect(arena.capacity == settled)
  }

  @Test func arenaScopesPassErrorsOn() {
    struct Stop: Error {}
    let arena = Arena(capacity: 256)
    #expect(throws: Stop.self) {
      try arena.scope {
        _ = arena.matrix(rows: 1, columns: 200)
        throw Stop()
      }
    }
    _ = arena.matrix(rows: 1, columns: 256)
    #expect(arena.capacity == 256)
  }
}
