import Kernels

/// A trainable tensor: its name and shape as timm has them, and its place in the flat buffers.
public struct Parameter: Sendable, Equatable {
  /// What a tensor is for; decides weight decay and initialisation.
  public enum Role: Sendable, Equatable {
    /// The weight of a linear layer.
    case weight
    /// The projection of patches, a convolution in timm.
    case patchWeight
    case patchBias
    case bias
    case normScale
    case normShift
    case layerScale
    case positions
    case classToken
    case otherToken
  }

  public let name: String
  public let shape: [Int]
  public let role: Role
  /// For layer-wise decay of the learning rate, as timm numbers them: 0 in front of the blocks, 1 to L for the blocks, the last of them
  /// with the norm behind it, then the head.
  public let layer: Int
  let slot: Slot

  public var count: Int { slot.rows * slot.columns }

  /// Weights decay; biases, norms, scales, positions and tokens do not.
  public var decays: Bool { role == .weight || role == .patchWeight }

  /// Whether it belongs to a classifier.
  public var isHead: Bool { name.hasPrefix("head.") || name.hasPrefix("head_dist.") }
}

/// The place of a tensor in a flat buffer, as the matrix [rows, columns] that the network computes with.
struct Slot: Sendable, Equatable {
  let offset: Int
  let rows: Int
  let columns: Int

  var count: Int { rows * columns }
}

/// A flat buffer with a value for each parameter: weights, or their gradients.
struct ParameterValues: @unchecked Sendable {
  let base: UnsafeMutablePointer<Float>

  /// The tensor [rows, columns], for reading.
  subscript(slot: Slot) -> MatrixView {
    MatrixView(base: base + slot.offset, rows: slot.rows, columns: slot.columns)
  }

  func mutable(_ slot: Slot) -> MutableMatrixView {
    MutableMatrixView(base: base + slot.offset, rows: slot.rows, columns: slot.columns)
  }

  func pointer(_ slot: Slot) -> UnsafeMutablePointer<Float> { base + slot.offset }
  func pointer(_ slot: Slot?) -> UnsafeMutablePointer<Float>? { slot.map { base + $0.offset } }
}
