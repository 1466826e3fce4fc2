import SystemPackage

/// What can be wrong with the files of a checkpoint. Each description is one sentence with the path, the tensor and
/// the expected and actual values where they apply.
public enum CheckpointError: Error, Equatable {
  /// The file or folder could not be opened or read.
  case unreadable(path: FilePath, reason: String)
  /// The folder holds no weights that Vitrine reads.
  /// `inside`: names of folders in it that have weights.
  case noWeights(folder: FilePath, expected: [String], inside: [String])
  /// The folder holds several files that could be the weights.
  case severalWeights(folder: FilePath, names: [String])
  /// The file is none of the containers that Vitrine reads.
  case unknownContainer(path: FilePath, hint: String)
  /// The container's own structure is broken.
  case malformed(path: FilePath, reason: String)
  /// A tensor's description contradicts itself or the file.
  case malformedTensor(path: FilePath, tensor: String, reason: String)
  /// A tensor that the architecture needs is there, but in a form that Vitrine does not read.
  case unreadableTensor(path: FilePath, tensor: String, reason: String)
  /// A JSON file is not what it should be.
  case malformedJSON(path: FilePath, reason: String)
  /// The names follow none of the known naming schemes.
  case unknownNaming(path: FilePath, examples: [String])
  /// A tensor that the architecture needs is not there.
  case missingTensor(path: FilePath, tensor: String)
  /// Tensors that the architecture has no use for; ignoring them would give wrong results without a word.
  case unexpectedTensors(path: FilePath, tensors: [String])
  /// A tensor's shape does not fit the rest of the model.
  case wrongShape(path: FilePath, tensor: String, expected: [Int], actual: [Int])
  /// A tensor's element type cannot be used as a weight.
  case unsupportedType(path: FilePath, tensor: String, type: String)
  /// A weight is NaN or infinite.
  case nonFinite(path: FilePath, tensor: String)
  /// The system refused memory for the weights.
  case outOfMemory(path: FilePath, bytes: Int)
  /// A file could not be written.
  case unwritable(path: FilePath, reason: String)
}

extension CheckpointError: CustomStringConvertible {
  /// One sentence on one line. What it quotes, the file says: it may be long, and may hold anything.
  public var description: String { presentable(sentence) }

  private var sentence: String {
    switch self {
    case .unreadable(let path, let reason):
      "\(path): \(reason)"
    case .noWeights(let folder, let expected, let inside):
      inside.isEmpty
        ? "\(folder): no weights in this folder; expected one of \(expected.joined(separator: ", "))"
        : "\(folder): no weights in this folder, but in those within it: \(list(inside)); name one of them"
    case .severalWeights(let folder, let names):
      "\(folder): several files in this folder could be the weights: \(list(names)); name one of them"
    case .unknownContainer(let path, let hint):
      "\(path): not a checkpoint that Vitrine reads\(hint.isEmpty ? "" : ": \(hint)")"
    case .malformed(let path, let reason):
      "\(path): \(reason)"
    case .malformedTensor(let path, let tensor, let reason),
      .unreadableTensor(let path, let tensor, let reason):
      "\(path): tensor \"\(tensor)\": \(reason)"
    case .malformedJSON(let path, let reason):
      "\(path): \(reason)"
    case .unknownNaming(let path, let examples):
      "\(path): not a Vision Transformer with names of \(NamingScheme.libraries); its tensors are named "
        + list(examples)
    case .missingTensor(let path, let tensor):
      "\(path): tensor \"\(tensor)\" is missing"
    case .unexpectedTensors(let path, let tensors):
      "\(path): the architecture has no place for \(list(tensors)); this variant of the Vision Transformer "
        + "is not supported"
    case .wrongShape(let path, let tensor, let expected, let actual):
      "\(path): tensor \"\(tensor)\" has shape \(actual), expected \(expected)"
    case .unsupportedType(let path, let tensor, let type):
      "\(path): tensor \"\(tensor)\" is of type \(type); weights must be F64, F32, F16 or BF16"
    case .outOfMemory(let path, let bytes):
      "\(path): no memory for the weights: the system refused \(bytes) bytes"
    case .nonFinite(let path, let tensor):
      "\(path): tensor \"\(tensor)\" holds NaN or infinite values; the checkpoint is damaged or training diverged"
    case .unwritable(let path, let reason):
      "\(path): cannot write: \(reason)"
    }
  }
}

/// The first few names in quotes, and how many more there are.
private func list(_ names: [String], shown: Int = 4) -> String {
  let head = names.prefix(shown).map { "\"\($0)\"" }.joined(separator: ", ")
  return names.count > shown ? "\(head) and \(names.count - shown) more" : head
}
