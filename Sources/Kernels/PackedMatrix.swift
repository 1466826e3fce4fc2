import CKernels
import Synchronization

/// Why weights could not be packed.
public enum PackingError: Error, Equatable {
  /// The part of that index holds a NaN or an infinity.
  case nonFinite(part: Int)
  /// The system refused memory.
  case outOfMemory(bytes: Int)
}

extension PackingError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .nonFinite: "a matrix to be packed holds NaN or infinite values"
    case .outOfMemory(let bytes): "no memory for packed weights: the system refused \(bytes) bytes"
    }
  }
}

/// Weights as 8-bit levels: w[o, k] is about scales[o] · levels[o, k].
public struct LevelsView: @unchecked Sendable {
  /// [O, K], row-major.
  public let levels: UnsafePointer<Int8>
  /// [O]
  public let scales: UnsafePointer<Float>
  public let outputs: Int
  public let inner: Int

  public init(levels: UnsafePointer<Int8>, scales: UnsafePointer<Float>, outputs: Int, inner: Int) {
    (self.levels, self.scales, self.outputs, self.inner) = (levels, scales, outputs, inner)
  }
}

/// Weights [O, K] in the order in which the matrix products read them, in the precision of the products.
public final class PackedMatrix: @unchecked Sendable {
  /// O
  public let outputs: Int
  /// K
  public let inner: Int
  /// What was asked for; fp32 instead of int8 where K is too large for exact sums.
  public let precision: Precision
  /// How the left side of a product becomes levels, with int8.
  public let rowLevels: RowLevels

  /// nil where only the dimensions are known.
  let panels: UnsafeRawPointer?
  /// int8: what a unit of each output's weights is worth, and the sums of the weights; [O].
  let scales: UnsafeMutablePointer<Float>?
  let sums: UnsafeMutablePointer<Int32>?
  private let storage: PackedStorage?

  /// Packs matrices [O1, K], [O2, K], ... as one [O1 + O2 + ..., K].
  /// - Parameters:
  ///   - parts: read once; not needed afterwards.
  ///   - storage: where the packed weights go.
  ///   - pool: threads that share the work.
  /// - Throws: `PackingError` where a weight is no finite number, or memory is missing.
  public init(
    _ parts: [MatrixView], precision: Precision, storage: PackedStorage, pool: ThreadPool? = nil
  ) throws(PackingError) {
    let inner = parts.first?.columns ?? 0
    precondition(
      parts.allSatisfy { $0.columns == inner }, "parts of different widths cannot be packed as one")
    let outputs = parts.reduce(0) { $0 + $1.rows }
    let precision = precision.fitting(inner: inner)
    let kernel = precision.kernel
    (self.outputs, self.inner, self.precision, self.storage) = (outputs, inner, precision, storage)
    rowLevels = RowLevels()
    let panelCount = kernel.panelCount(outputs: outputs)
    let panels = try storage.allocate(panelCount * kernel.panelBytes(inner: inner))
    self.panels = UnsafeRawPointer(panels)
    if precision == .int8 {
      scales = try storage.allocate(4 * outputs).bindMemory(to: Float.self, capacity: outputs)
      sums = try storage.allocate(4 * outputs).bindMemory(to: Int32.self, capacity: outputs)
    } else {
      (scales, sums) = (nil, nil)
    }

    let source = PackingSource(parts: parts, width: kernel.layout.width)
    let target = PackingTarget(kernel: kernel, inner: inner, panels: panels, scales: scales, sums: sums)
    let scratch = (0..<(pool?.threadCount ?? 1)).map { _ in
      PackingScratch(width: kernel.layout.width, inner: inner)
    }
    let nonFinite = Atomic<Int>(-1)  // any panel that has one
    let pack = { @Sendable (panel: Int, lane: Int) in
      let rows = source.rows(ofPanel: panel, scratch: scratch[lane])
      if Elements.allFinite(rows) {
        target.pack(rows, panel: panel, scratch: scratch[lane])
      } else {
        nonFinite.store(panel, ordering: .relaxed)
      }
    }
    if let pool {
      pool.forEachLane(panelCount, pack)
    } else {
      for panel in 0..<panelCount { pack(panel, 0) }
    }
    let panel = nonFinite.load(ordering: .relaxed)
    if panel >= 0 { throw .nonFinite(part: source.partWithNonFinite(inPanel: panel)) }
  }

  /// Packs weights that are 8-bit levels already, for products of int8.
  /// - Parameters:
  ///   - weights: [O, K], read once; K is at most `largestInner`.
  ///   - rowLevels: how the left side becomes levels; its multipliers outlive the matrix.
  ///   - storage: where the packed weights go.
  ///   - pool: threads that share the work.
  /// - Throws: `PackingError` where memory is missing.
  public init(
    _ weights: LevelsView, rowLevels: RowLevels, storage: PackedStorage, pool: ThreadPool? = nil
  ) throws(PackingError) {
    precondition(weights.inner <= Self.largestInner, "sums over \(weights.inner) products of levels")
    let kernel = Precision.int8.kernel
    (outputs, inner, precision) = (weights.outputs, weights.inner, .int8)
    (self.rowLevels, self.storage) = (rowLevels, storage)
    let (outputs, inner, width) = (weights.outputs, weights.inner, kernel.layout.width)
    let panelCount = kernel.panelCount(outputs: outputs)
    let panels = try storage.allocate(panelCount * kernel.panelBytes(inner: inner))
    let scales = try storage.allocate(4 * outputs).bindMemory(to: Float.self, capacity: outputs)
    let sums = try storage.allocate(4 * outputs).bindMemory(to: Int32.self, capacity: outputs)
    scales.update(from: weights.scales, count: outputs)
    (self.panels, self.scales, self.sums) = (UnsafeRawPointer(panels), scales, sums)
    let target = PackingTarget(kernel: kernel, inner: inner, panels: panels, scales: scales, sums: sums)
    let pack = { @Sendable (panel: Int) in
      let rows = panel * width..<min(outputs, (panel + 1) * width)
      target.pack(weights.levels + rows.lowerBound * inner, rows: rows.count, panel: panel)
    }
    if let pool {
      pool.forEach(panelCount, pack)
    } else {
      for panel in 0..<panelCount { pack(panel) }
    }
  }

  /// Whether products can begin or end with that output: at the boundary of a panel, or at the end.
  public func isCut(at output: Int) -> Bool {
    (0..<outputs).contains(output) ? output % precision.kernel.layout.width == 0 : output == outputs
  }

  /// The largest K of a product of levels, whose sums an int32 holds.
  public static var largestInner: Int { Int(ckernels_int8_largest_inner) }

  /// The dimensions of a matrix alone, of no use in a product.
  public init(describing outputs: Int, inner: Int, precision: Precision) {
    (self.outputs, self.inner, self.precision) = (outputs, inner, precision.fitting(inner: inner))
    (panels, scales, sums, storage, rowLevels) = (nil, nil, nil, nil, RowLevels())
  }

  /// Bytes of the packed weights.
  public var byteCount: Int {
    precision.kernel.panelCount(outputs: outputs) * precision.kernel.panelBytes(inner: inner)
      + (precision == .int8 ? 8 * outputs : 0)
  }
}

/// Parts that are cut into panels together.
private struct PackingSource: Sendable {
  let parts: [MatrixView]
  let width: Int

  /// The rows of a panel: where they lie, or copied where they come from several parts.
  func rows(ofPanel panel: Int, scratch: PackingScratch) -> MatrixView {
    let pieces = pieces(ofPanel: panel)
    if pieces.count == 1 { return parts[pieces[0].part].rowBlock(pieces[0].rows) }
    let rows = scratch.floats(rows: pieces.reduce(0) { $0 + $1.rows.count })
    var row = 0
    for piece in pieces {
      rows[row..<row + piece.rows.count, 0..<rows.columns].copy(from: parts[piece.part].rowBlock(piece.rows))
      row += piece.rows.count
    }
    return rows.view
  }

  func partWithNonFinite(inPanel panel: Int) -> Int {
    let pieces = pieces(ofPanel: panel)
    let bad = pieces.first { !Elements.allFinite(parts[$0.part].rowBlock($0.rows)) }
    return bad?.part ?? 0
  }

  private func pieces(ofPanel panel: Int) -> [(part: Int, rows: Range<Int>)] {
    var result: [(part: Int, rows: Range<Int>)] = []
    let wanted = panel * width..<(panel + 1) * width
    var first = 0
    for (index, part) in parts.enumerated() {
      let rows = wanted.clamped(to: first..<first + part.rows)
      if !rows.isEmpty { result.append((index, rows.lowerBound - first..<rows.upperBound - first)) }
      first += part.rows
    }
    return result
  }
}

/// Where panels go.
private struct PackingTarget: @unchecked Sendable {
  let kernel: ckernels_product_kernel
  let inner: Int
  let panels: UnsafeMutableRawPointer
  let scales: UnsafeMutablePointer<Float>?
  let sums: UnsafeMutablePointer<Int32>?

  func pack(_ rows: MatrixView, panel: Int, scratch: PackingScratch) {
    let target = panels + panel * kernel.panelBytes(inner: inner)
    guard let scales else {
      guard kernel.element == CKERNELS_BFLOAT16 else {
        ckernels_pack_rows(kernel.layout, rows.base, rows.rowStride, rows.rows, inner, target)
        return
      }
      let stride = 2 * ceilingOfQuotient(inner, 2)
      Operations.active.round_to_bfloat16(
        rows.base, rows.rowStride, rows.rows, inner, kernel.element, scratch.bytes, 2 * stride)
      ckernels_pack_rows_bfloat16(
        kernel.layout, scratch.bytes.assumingMemoryBound(to: UInt16.self), stride, rows.rows, inner, target)
      return
    }
    let levels = scratch.bytes.assumingMemoryBound(to: Int8.self)
    Operations.active.quantize_weights(
      rows.base, rows.rowStride, rows.rows, inner, levels, inner, scales + panel * kernel.layout.width)
    pack(levels, rows: rows.rows, panel: panel)
  }

  /// Packs levels [rows, K] as one panel.
  func pack(_ levels: UnsafePointer<Int8>, rows: Int, panel: Int) {
    guard let sums else { return }
    ckernels_pack_rows_int8(
      kernel.layout, levels, inner, rows, inner, panels + panel * kernel.panelBytes(inner: inner),
      sums + panel * kernel.layout.width)
  }
}

/// One panel's rows on their way, for one thread.
private final class PackingScratch: @unchecked Sendable {
  private let width: Int
  private let inner: Int
  private lazy var floatMemory = FloatMemory(width * inner)
  private lazy var byteMemory = FloatMemory(width * (inner + 1) / 2 + 1)

  init(width: Int, inner: Int) { (self.width, self.inner) = (width, inner) }

  /// [rows, K]
  func floats(rows: Int) -> MutableMatrixView {
    MutableMatrixView(base: floatMemory.buffer.base, rows: rows, columns: inner)
  }

  /// Room for [width, K] of 16 bits.
  var bytes: UnsafeMutableRawPointer { UnsafeMutableRawPointer(byteMemory.buffer.base) }

  private final class FloatMemory {
    let buffer: FloatBuffer
    init(_ count: Int) { buffer = FloatBuffer(count: count, zeroed: false) }
  }
}
