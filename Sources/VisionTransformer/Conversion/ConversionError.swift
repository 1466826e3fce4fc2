import Checkpoints
import SystemPackage

/// Why a model cannot be written for another library.
public enum ConversionError: Error, Equatable {
  /// The library's models have no such thing.
  case notExpressible(path: FilePath, library: String, feature: String, remedy: String?)
  /// A weight is too large for the type that was asked for.
  case overflow(path: FilePath, tensor: String, type: ScalarType)
  /// The folder holds a model already, or a part of one.
  case exists(folder: FilePath, file: String)
  /// What was written does not read as the same model.
  case unfaithful(path: FilePath, library: String, fields: [String])
}

extension ConversionError: CustomStringConvertible {
  public var description: String { presentable(sentence) }

  private var sentence: String {
    switch self {
    case .notExpressible(let path, let library, let feature, let remedy):
      "\(path): \(library) cannot express \(feature)" + (remedy.map { "; \($0)" } ?? "")
    case .overflow(let path, let tensor, let type):
      "\(path): tensor \"\(tensor)\" holds values that \(type.rawValue) cannot; use --dtype f32"
        + (type == .float16 ? " or bf16" : "")
    case .exists(let folder, let file):
      "\(folder): holds a \(file) already; give another folder, or --overwrite"
    case .unfaithful(let path, let library, let fields):
      "\(path): in \(library)'s form the model would be another one (\(fields.joined(separator: ", "))); "
        + "nothing was written"
    }
  }
}
