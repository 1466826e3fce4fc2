/// How much the description of a checkpoint may hold, so that a file that is damaged or made to do harm cannot fill memory or the stack before
/// it is found out. The standard limits are far above what any published model needs; who trusts a file that is above one can raise it.
public struct FileLimits: Sendable, Equatable {
  public enum Limit: String, CaseIterable, Sendable {
    /// Bytes of what describes the tensors: a safetensors header (100,000,000, as in the reference implementation), its metadata, a
    /// zip archive's directory and a JSON file (16 MiB each).
    case headerBytes = "header-bytes"
    /// Tensors of one file (16,384).
    case tensors
    /// Values within values: 100 in JSON, 64 dictionaries in a state dictionary.
    case depth
    /// Bytes of a name: 1024 in safetensors, 512 in a PyTorch file.
    case textBytes = "text-bytes"

    /// The end of the message about what is above the limit.
    var remedy: String { "; if you trust the file, raise the limit with --limit \(rawValue)=N" }
  }

  /// The limits as they are.
  public static let standard = FileLimits()

  private var changed: [Limit: Int] = [:]

  public init() {}

  /// A limit that is not the standard one; nil for those that are.
  public subscript(limit: Limit) -> Int? {
    get { changed[limit] }
    set { changed[limit] = newValue }
  }

  subscript(limit: Limit, standard standard: Int) -> Int { changed[limit] ?? standard }
}
