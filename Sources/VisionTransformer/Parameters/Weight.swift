import Checkpoints
import Kernels
import SystemPackage

/// A tensor of the file as it was read.
struct Weight: Sendable {
  /// As the file calls it.
  let name: String
  let path: FilePath
  let matrix: MatrixView
}

extension [Weight] {
  /// - Throws: `CheckpointError.nonFinite` where one is NaN or infinite.
  func checkFinite() throws(CheckpointError) {
    for weight in self where !Elements.allFinite(weight.matrix) {
      throw .nonFinite(path: weight.path, tensor: weight.name)
    }
  }
}

/// What holds the elements of a weight.
enum WeightOwner: Sendable {
  case mapped(TensorElements)
  case converted(ConvertedWeight)
}

/// Elements in memory of their own.
final class ConvertedWeight: Sendable {
  private let buffer: FloatBuffer

  init(_ buffer: consuming FloatBuffer) {
    self.buffer = buffer
  }
}
