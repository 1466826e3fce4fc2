import SystemPackage

/// One tensor as a container describes it.
public struct TensorInfo: Sendable, Equatable {
  public let name: String
  public let type: ScalarType
  /// Dimensions in row-major order; empty for a scalar.
  public let shape: [Int]

  public init(name: String, type: ScalarType, shape: [Int]) {
    (self.name, self.type, self.shape) = (name, type, shape)
  }

  /// Number of elements.
  public var count: Int { shape.reduce(1, *) }

  /// Why a tensor of a type that Vitrine does not know is not among a container's tensors.
  /// - Parameter type: the type as the file calls it.
  static func unreadableType(_ type: String) -> String {
    "it is of type \(type), which Vitrine does not read; weights must be F64, F32, F16 or BF16"
  }
}

/// The elements of one tensor, row-major and little-endian, and what keeps them in memory: the mapped file where the bytes can
/// be used as they lie, else a copy that was inflated or put in order.
public struct TensorElements: Sendable {
  private let address: UInt
  private let count: Int
  let owner: any AnyObject & Sendable

  /// - Parameters:
  ///   - bytes: the elements, valid while `owner` lives.
  ///   - owner: what holds them.
  init(_ bytes: UnsafeRawBufferPointer, owner: any AnyObject & Sendable) {
    address = UInt(bitPattern: bytes.baseAddress)
    count = bytes.count
    self.owner = owner
  }

  /// Calls `body` with the elements, which have any alignment. They stay where they are while this value, or a copy of it, lives.
  public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    defer { withExtendedLifetime(owner) {} }
    return try body(
      UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: address), count: count))
  }
}

extension TensorElements {
  /// Tells the system that nobody will read the elements for now: pages of a mapped file leave memory, and come back from the
  /// file where somebody does.
  public func letGo() {
    guard owner is MappedFile else { return }
    withUnsafeBytes { MappedFile.letGo($0) }
  }
}

/// A file, or several, that hold named tensors.
///
/// Everything above this protocol is the same for each container; a new kind of file is a new conformance, a case of
/// `ContainerFormat` and a line in `Checkpoint.openByContents`. Opening reads descriptions only; elements are read, and where need be inflated, one tensor at a time.
public protocol TensorContainer: Sendable {
  /// What the container is called in messages, such as "safetensors".
  var format: String { get }
  /// The tensors by name.
  var tensors: [String: TensorInfo] { get }
  /// What the file has under a tensor's name that cannot be read as one, such as elements of an unknown type: the name, and the
  /// reason as a sentence. It matters only to a model that needs one of them, and is empty by default.
  var unreadable: [String: String] { get }
  /// Free-form text that travels with the tensors (safetensors' `__metadata__`).
  var metadata: [String: String] { get }
  /// The file that holds the tensor.
  func path(of tensor: TensorInfo) -> FilePath
  /// The tensor's elements: `tensor.count` of them, of `tensor.type`.
  /// - Throws: `CheckpointError` where they turn out to be damaged.
  func elements(of tensor: TensorInfo) throws(CheckpointError) -> TensorElements
  /// The files that the tensors are mapped from; none by default.
  var mappedFiles: [MappedFile] { get }
  /// The tensors as they are stored, those included that only say what others are worth; by default, the tensors.
  var storedTensors: [TensorInfo] { get }
  /// The tensor as integers, where it is a layer's weight that is stored as such; nil by default.
  /// - Throws: `CheckpointError` where they turn out to be damaged.
  func quantized(_ tensor: TensorInfo) throws(CheckpointError) -> QuantizedWeight?
}

extension TensorContainer {
  public var unreadable: [String: String] { [:] }
  public var mappedFiles: [MappedFile] { [] }
  public var storedTensors: [TensorInfo] { Array(tensors.values) }
  public func quantized(_ tensor: TensorInfo) throws(CheckpointError) -> QuantizedWeight? { nil }

  /// Makes sure, once tensors have been read, that nobody wrote to their files meanwhile.
  /// - Throws: `CheckpointError.unreadable` where somebody did.
  public func checkUnchanged() throws(CheckpointError) {
    for file in mappedFiles { try file.checkUnchanged() }
  }
}
