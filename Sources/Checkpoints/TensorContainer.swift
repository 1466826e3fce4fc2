import SystemPackage

/// One tensor as a container describes it.
public struct TensorInfo: Sendable, Equatable {
  public let name: String
  public let type: ScalarType
  /// Dimensions in row-major order; empty for a scalar.
  public let shape: [Int]
  /// The elements' place in the container's file, in bytes.
  let range: Range<Int>

  /// Number of elements.
  public var count: Int { shape.reduce(1, *) }
}

/// A file, or several, that hold named tensors.
///
/// Everything above this protocol is the same for each container; a new kind of file is a new conformance and a line in
/// `Checkpoint.openFile`.
public protocol TensorContainer: Sendable {
  /// What the container is called in messages, such as "safetensors".
  var format: String { get }
  /// The tensors by name.
  var tensors: [String: TensorInfo] { get }
  /// Free-form text that travels with the tensors (safetensors' `__metadata__`).
  var metadata: [String: String] { get }
  /// The file that holds the tensor.
  func path(of tensor: TensorInfo) -> FilePath
  /// The tensor's elements, row-major and little-endian, valid while the container lives.
  func bytes(of tensor: TensorInfo) -> UnsafeRawBufferPointer
}
