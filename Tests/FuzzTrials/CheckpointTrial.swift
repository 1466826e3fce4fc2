import Checkpoints
import SystemPackage

/// Opens a file of weights, reads them, and looks for a Vision Transformer among their names.
struct CheckpointTrial {
  typealias Finding = FuzzTrial.Finding

  private let parser: FuzzTrial.Parser

  /// Elements that are read of one input, in bytes: a sound file may have more than there is time for.
  private static let elementLimit = 1 << 20

  init(_ parser: FuzzTrial.Parser) {
    self.parser = parser
  }

  /// - Throws: `Finding`, or the error with which the file is refused.
  func run(_ bytes: UnsafeRawBufferPointer) throws {
    let file = MappedFile(borrowing: bytes, path: "input")
    let container: any TensorContainer
    switch parser {
    case .safetensors: container = try quantized(SafetensorsFile(file))
    case .npz: container = try NpzFile(ZipArchive(file))
    case .pytorch: container = try PyTorchFile(file)
    default:
      _ = try JSONFile.value(of: file)
      return
    }
    try read(container, of: file)
    try name(container)
  }

  /// With weights that are integers as such.
  private func quantized(_ file: SafetensorsFile) throws(CheckpointError) -> any TensorContainer {
    let quantized = try QuantizedTensors(file)
    _ = try quantized?.scheme()
    return quantized ?? file
  }

  /// Reads the elements of every tensor.
  private func read(_ container: any TensorContainer, of file: MappedFile) throws(Finding) {
    var remaining = Self.elementLimit
    for (name, tensor) in container.tensors {
      try require(name == tensor.name && container.unreadable[name] == nil, "\(name) is listed as two")
      try require(container.path(of: tensor) == file.path, "\(name) is of another file")
      let expected = tensor.count * tensor.type.byteCount
      guard expected <= remaining else { continue }
      remaining -= expected
      switch Result(catching: { () throws(CheckpointError) in try container.elements(of: tensor) }) {
      case .success(let elements):
        let count = elements.withUnsafeBytes { bytes in
          // Every byte, so that one that is not there is noticed.
          var sum: UInt8 = 0
          for byte in bytes { sum &+= byte }
          return withUnsafePointer(to: &sum) { _ in bytes.count }
        }
        try require(count == expected, "\(count) bytes of \(tensor)")
      case .failure(let error): try check(error)
      }
    }
  }

  /// Looks for a Vision Transformer among the names.
  private func name(_ container: any TensorContainer) throws(Finding) {
    let tensors: NamedTensors
    do throws(CheckpointError) {
      tensors = try NamedTensors(container, path: "input")
    } catch {
      return try check(error)
    }
    for name in tensors.names {
      guard let parts = tensors.parts(of: name), !parts.isEmpty else {
        throw Finding(description: "\(name) has no parts")
      }
      for part in parts {
        try require(container.tensors[part.tensor.name] == part.tensor, "\(part) is not in the file")
      }
      do throws(CheckpointError) {
        if let shape = tensors.shape(of: name) { try tensors.require(name, shape: shape) }
      } catch {
        try check(error)
      }
      _ = (tensors.foreignName(of: name), tensors.path(of: name), tensors.containsLike(name))
    }
    try check(tensors.missing("blocks.\(tensors.depth).attn.qkv.weight"))
  }

  private func check(_ error: CheckpointError) throws(Finding) { try FuzzTrial.check(error) }

  private func require(_ condition: Bool, _ message: @autoclosure () -> String) throws(Finding) {
    try FuzzTrial.require(condition, message())
  }
}
