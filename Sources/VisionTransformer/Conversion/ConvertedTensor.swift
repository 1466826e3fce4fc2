import Checkpoints
import Kernels

/// A tensor to be written: its name and shape in the target, and what it is made of.
struct ConvertedTensor {
  let name: String
  let shape: [Int]
  /// Pieces that follow each other by rows.
  var pieces: [Piece]

  enum Piece {
    /// A tensor of the source by timm's name, or some of its rows.
    case source(String, share: TensorPart.Share?)
    /// Values that were computed.
    case values([Float])
  }

  init(_ name: String, shape: [Int], _ pieces: Piece...) {
    (self.name, self.shape, self.pieces) = (name, shape, pieces)
  }

  /// The one tensor of the source that it is, or some rows of; nil where it is put together.
  var onlySource: (canonical: String, share: TensorPart.Share?)? {
    guard pieces.count == 1, case .source(let canonical, let share) = pieces[0] else { return nil }
    return (canonical, share)
  }

  /// Calls `body` with the elements in row-major order, run by run. No more than this one tensor is in memory for it.
  /// - Parameter substitutes: what takes the place of some tensors of the source.
  /// - Throws: `CheckpointError.nonFinite` where one is NaN or infinite, and what `body` throws.
  func read(
    from tensors: NamedTensors, substitutes: LayerSubstitutes? = nil,
    _ body: (UnsafeBufferPointer<Float>) throws -> Void
  ) throws {
    for piece in pieces {
      switch piece {
      case .values(let values):
        try values.withUnsafeBufferPointer(body)
      case .source(let canonical, let share):
        try Self.read(canonical, share, from: tensors, substitutes, body)
      }
    }
  }

  private static func read(
    _ canonical: String, _ share: TensorPart.Share?, from tensors: NamedTensors,
    _ substitutes: LayerSubstitutes?, _ body: (UnsafeBufferPointer<Float>) throws -> Void
  ) throws {
    var reader = WeightReader(tensors, substitutes: substitutes)
    defer { reader.letGo() }
    let shape = tensors.shape(of: canonical) ?? []
    let rows = shape.first ?? 1
    // A vector is cut like a matrix of one column.
    let matrices = try reader.matrices(
      canonical, shape: shape, columns: shape.count == 1 ? rows : max(shape.dropFirst().reduce(1, *), 1))
    try reader.weights.checkFinite()
    let width = shape.count <= 1 ? 1 : shape.dropFirst().reduce(1, *)
    var skipped = share.map { rows / $0.total * $0.first * width } ?? 0
    var left = share.map { rows / $0.total * $0.count * width } ?? rows * width
    for matrix in matrices {
      let elements = UnsafeBufferPointer(start: matrix.base, count: matrix.rows * matrix.columns)
      let start = min(skipped, elements.count)
      let end = min(start + left, elements.count)
      skipped -= start
      left -= end - start
      if end > start { try body(UnsafeBufferPointer(rebasing: elements[start..<end])) }
    }
  }
}
