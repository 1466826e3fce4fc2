import SystemPackage

/// The tensors of a checkpoint under timm's names, whatever they are called in the file.
public struct NamedTensors: Sendable {
  public let container: any TensorContainer
  /// The naming scheme that was recognised.
  public let scheme: NamingScheme
  /// What stands before every name of the backbone, such as `vit.`; often empty.
  public let prefix: String
  /// Number of blocks: one more than the largest block index.
  public let depth: Int
  /// Names in the file that no rule of the scheme covers and that are not known to be irrelevant, sorted.
  public let unexpected: [String]
  /// Names in the file that the scheme knows to be irrelevant for every result, sorted.
  public let ignored: [String]
  /// Whether the classifier goes by a name that users give, not the library.
  public let hasCustomHead: Bool
  /// The file's tensors that make up each of timm's; several are stacked by rows.
  private let parts: [String: [TensorPart]]
  /// timm's names without the indices of blocks.
  private let kinds: Set<String>
  /// By timm's name: a tensor that is missing although others that belong to it are there.
  private let incomplete: [String: String]
  /// The checkpoint's path.
  public let path: FilePath

  /// Recognises the naming scheme: the one that leaves fewest of the file's tensors without a place.
  /// - Throws: `CheckpointError.unknownNaming` where none has a place for a patch embedding and blocks.
  public init(_ container: any TensorContainer, path: FilePath) throws(CheckpointError) {
    let names = container.tensors.keys.sorted()
    var best: NameMatch?
    for scheme in NamingScheme.candidates(for: names) {
      for prefix in scheme.prefixes(in: names) {
        guard let match = NameMatch(scheme: scheme, prefix: prefix, names: names, container: container) else {
          continue
        }
        if best.map({ match.isBetter(than: $0) }) ?? true { best = match }
      }
    }
    guard let best else {
      if names.isEmpty, let (name, reason) = container.unreadable.min(by: { $0.key < $1.key }) {
        throw .unreadableTensor(path: path, tensor: name, reason: reason)
      }
      throw .unknownNaming(path: path, examples: names)
    }
    self.container = container
    self.path = path
    scheme = best.scheme
    prefix = best.prefix
    parts = best.parts
    kinds = Set(best.parts.keys.map(NamePattern.kind))
    incomplete = best.incomplete
    depth = best.depth
    ignored = best.ignored
    hasCustomHead = best.hasCustomHead
    unexpected = best.unexpected
  }

  /// Whether one of the ignored names tells what only its presence can tell.
  public func shows(_ sign: NamingScheme.Sign) -> Bool { scheme.shows(sign, in: ignored, prefix: prefix) }

  public func contains(_ name: String) -> Bool { parts[name] != nil }

  /// Whether a tensor is there whose name differs at most by the index of a block.
  public func containsLike(_ name: String) -> Bool { kinds.contains(NamePattern.kind(of: name)) }

  /// timm's names of all tensors that are there, sorted.
  public var names: [String] { parts.keys.sorted() }

  /// The file's tensors that make up the one that timm calls `name`.
  public func parts(of name: String) -> [TensorPart]? { parts[name] }

  /// The shape of the tensor that timm calls `name`, stacked from its parts; nil where it is not there.
  public func shape(of name: String) -> [Int]? {
    guard let parts = parts[name], let first = parts.first?.shape else { return nil }
    guard parts.count > 1, !first.isEmpty else { return first }
    var rows = 0
    for part in parts {
      let (sum, overflow) = rows.addingReportingOverflow(part.shape.first ?? 0)
      rows = overflow ? .max : sum
    }
    return [rows] + first.dropFirst()
  }

  /// What the file calls, or would call, the tensor that timm calls `name`.
  public func foreignName(of name: String) -> String {
    if let first = parts[name]?.first { return first.tensor.name }
    if let missing = incomplete[name] { return missing }
    for rule in scheme.rules {
      guard let indices = NamePattern.indices(of: name, in: rule.canonical) else { continue }
      let source = rule.alternatives.first?.first?.pattern.text
      return source.flatMap { NamePattern.fill($0, with: indices) }.map { prefix + $0 } ?? name
    }
    return name
  }

  /// The file that holds the tensor; the checkpoint's own path where none does.
  public func path(of name: String) -> FilePath {
    parts[name]?.first.map { container.path(of: $0.tensor) } ?? path
  }

  /// The error for a tensor that is not there, or not in a form that can be read.
  public func missing(_ name: String) -> CheckpointError {
    for rule in container.unreadable.isEmpty ? [] : scheme.rules {
      guard let indices = NamePattern.indices(of: name, in: rule.canonical) else { continue }
      for source in rule.alternatives.joined() {
        guard let tensor = NamePattern.fill(source.pattern.text, with: indices).map({ prefix + $0 }),
          let reason = container.unreadable[tensor]
        else { continue }
        return .unreadableTensor(path: path, tensor: tensor, reason: reason)
      }
    }
    return .missingTensor(path: path, tensor: foreignName(of: name))
  }

  /// Checks a tensor's shape. Several parts must each have an equal share of the rows.
  /// - Throws: `CheckpointError` where it is missing or has another shape.
  public func require(_ name: String, shape: [Int]) throws(CheckpointError) {
    guard let parts = parts[name] else { throw missing(name) }
    for part in parts {
      var expected = shape
      if parts.count > 1, let rows = shape.first { expected[0] = rows / parts.count }
      guard part.shape == expected else {
        // A share's rows are not what the file shows; whole tensors are described as they lie there.
        let stored = part.share == nil ? part.stored(expected) : expected
        let actual = part.share == nil ? part.storedShape : part.shape
        throw .wrongShape(
          path: container.path(of: part.tensor), tensor: part.tensor.name, expected: stored, actual: actual)
      }
    }
  }
}
