import CKernels
import Kernels
import Testing

/// Row lengths off every vector width, and some on them.
let lengths = [1, 3, 7, 8, 15, 16, 17, 33, 127, 1023]

/// The spacing of floats at 1: two units in the last place at most, relative to any normal float.
let floatEpsilon = 0x1p-23

func operations(_ variant: KernelVariant) throws -> ckernels_operations {
  try #require(ckernels_operations_of(variant.cVariant)).pointee
}

/// A matrix amid sentinels: before it, after it and in the gaps between its rows lie NaNs with a payload of
/// their own. A kernel that writes outside changes one; a kernel that uses what it read outside spreads NaN.
final class GuardedMatrix {
  static let sentinel: UInt32 = 0x7fc0_dead
  private static let margin = 64

  let rows: Int
  let columns: Int
  let stride: Int
  private let storage: UnsafeMutableBufferPointer<Float>
  private let first: Int

  /// - Parameters:
  ///   - gap: floats between the rows.
  ///   - misalignment: floats by which the first element lies off a 64-byte boundary.
  init(
    rows: Int, columns: Int, gap: Int = 0, misalignment: Int = 1, fill: (Int, Int) -> Float = { _, _ in 0 }
  ) {
    (self.rows, self.columns, stride) = (rows, columns, columns + gap)
    first = GuardedMatrix.margin + misalignment
    let count = first + rows * stride + GuardedMatrix.margin
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 4 * count, alignment: 64)
    storage = UnsafeMutableBufferPointer(
      start: memory.bindMemory(to: Float.self, capacity: count), count: count)
    storage.initialize(repeating: Float(bitPattern: GuardedMatrix.sentinel))
    for row in 0..<rows {
      for column in 0..<columns { storage[first + row * stride + column] = fill(row, column) }
    }
  }

  convenience init(_ values: [Float]) {
    self.init(rows: 1, columns: values.count) { values[$1] }
  }

  deinit { UnsafeMutableRawPointer(storage.baseAddress)?.deallocate() }

  /// First element; valid as long as the matrix lives.
  var base: UnsafeMutablePointer<Float> {
    // `storage` is never empty: it has margins.
    storage.baseAddress.unsafelyUnwrapped + first
  }

  var mutableView: MutableMatrixView {
    MutableMatrixView(base: base, rows: rows, columns: columns, rowStride: stride)
  }

  var view: MatrixView { mutableView.view }

  subscript(row: Int, column: Int) -> Float { storage[first + row * stride + column] }

  /// The elements, row by row.
  var values: [Float] {
    (0..<rows).flatMap { view.row($0) }
  }

  /// Whether no sentinel has changed.
  var isIntact: Bool {
    let gaps = (0..<rows).map { first + $0 * stride + columns..<first + ($0 + 1) * stride }
    return ([0..<first] + gaps + [first + rows * stride..<storage.count]).allSatisfy { range in
      range.allSatisfy { storage[$0].bitPattern == GuardedMatrix.sentinel }
    }
  }
}

/// A repeatable source of numbers (SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators").
struct TestRandom: RandomNumberGenerator {
  var state: UInt64 = 1

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  mutating func floats(_ count: Int, in range: ClosedRange<Float> = -1...1) -> [Float] {
    (0..<count).map { _ in Float.random(in: range, using: &self) }
  }

  mutating func matrix(
    _ rows: Int, _ columns: Int, gap: Int = 0, in range: ClosedRange<Float> = -1...1
  ) -> GuardedMatrix {
    let values = floats(rows * columns, in: range)
    return GuardedMatrix(rows: rows, columns: columns, gap: gap) { values[$0 * columns + $1] }
  }
}

/// Expects `actual` to equal `expected` within `limit(index)` at each index; NaN on either side fails.
func expectClose(
  _ actual: [Float], _ expected: [Double], _ comment: Comment? = nil,
  sourceLocation: SourceLocation = #_sourceLocation, limit: (Int) -> Double
) {
  guard actual.count == expected.count else {
    Issue.record("\(actual.count) values, expected \(expected.count)", sourceLocation: sourceLocation)
    return
  }
  let wrong = actual.indices.first { !(abs(Double(actual[$0]) - expected[$0]) <= limit($0)) }
  if let wrong {
    Issue.record(
      """
      \(comment.map { "\($0): " } ?? "")element \(wrong) is \(actual[wrong]), expected \(expected[wrong]) \
      within \(limit(wrong))
      """, sourceLocation: sourceLocation)
  }
}

/// Whether all bits are equal (NaN equals itself, 0 does not equal -0).
func haveSameBits(_ a: [Float], _ b: [Float]) -> Bool {
  a.map(\.bitPattern) == b.map(\.bitPattern)
}

/// Weights packed for the kernels in use.
func packed(_ weight: GuardedMatrix, _ precision: Precision = .fp32) throws -> PackedMatrix {
  defer { withExtendedLifetime(weight) {} }
  return try PackedMatrix([weight.view], precision: precision, storage: PackedStorage())
}
