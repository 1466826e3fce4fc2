import Checkpoints
import SystemPackage

/// What fuzzing does with one input, and what must hold whatever the input is.
package struct CheckpointTrial {
  /// The parsers, by the names of their corpora.
  package enum Parser: String, CaseIterable, Sendable {
    case safetensors, npz, pytorch, json
  }

  /// A rule that does not hold.
  package struct Finding: Error, CustomStringConvertible {
    package let description: String
  }

  package let parser: Parser

  /// Elements that are read of one input, in bytes: a sound file may have more than there is time for.
  private static let elementLimit = 1 << 20
  /// A message is one sentence, not a copy of the file.
  private static let messageLimit = 8 << 10

  package init(_ parser: Parser) {
    self.parser = parser
  }

  /// Reads the input as a file of the parser's format; that it is refused is as good as that it is read.
  /// - Throws: `Finding`.
  package func run(_ bytes: UnsafeRawBufferPointer) throws(Finding) {
    // A file without any bytes is never mapped.
    guard !bytes.isEmpty else { return }
    let file = MappedFile(borrowing: bytes, path: "input")
    let result: Result<(any TensorContainer)?, CheckpointError> = Result { () throws(CheckpointError) in
      switch parser {
      case .safetensors: try quantized(SafetensorsFile(file))
      case .npz: try NpzFile(ZipArchive(file))
      case .pytorch: try PyTorchFile(file)
      case .json: try value(of: file)
      }
    }
    switch result {
    case .success(let container?):
      try read(container, of: file)
      try name(container)
    case .success(nil): break
    case .failure(let error): try check(error)
    }
  }

  /// With weights that are integers as such.
  private func quantized(_ file: SafetensorsFile) throws(CheckpointError) -> any TensorContainer {
    let quantized = try QuantizedTensors(file)
    _ = try quantized?.scheme()
    return quantized ?? file
  }

  private func value(of file: MappedFile) throws(CheckpointError) -> (any TensorContainer)? {
    _ = try JSONFile.value(of: file)
    return nil
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

  private func check(_ error: CheckpointError) throws(Finding) {
    let message = "\(error)"
    try require(message.utf8.count <= Self.messageLimit, "a message of \(message.utf8.count) bytes")
    try require(message.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }, "a message with control characters")
  }

  private func require(_ condition: Bool, _ message: @autoclosure () -> String) throws(Finding) {
    guard condition else { throw Finding(description: message()) }
  }
}
