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

  /// Calls `body` with the elements in row-major order, run by run. No more than this one tensor is in memory for it.
  /// - Throws: `CheckpointError.nonFinite` where one is NaN or infinite, and what `body` throws.
  func read(
    from tensors: NamedTensors, _ body: (UnsafeBufferPointer<Float>) throws -> Void
  ) throws {
    for piece in pieces {
      switch piece {
      case .values(let values):
        try values.withUnsafeBufferPointer(body)
      case .source(let canonical, let share):
        try Self.read(canonical, share, from: tensors, body)
      }
    }
  }

  private static func read(
    _ canonical: String, _ share: TensorPart.Share?, from tensors: NamedTensors,
    _ body: (UnsafeBufferPointer<Float>) throws -> Void
  ) throws {
    var reader = WeightReader(tensors)
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
    withExtendedLifetime(reader.storage) {}
  }
}
