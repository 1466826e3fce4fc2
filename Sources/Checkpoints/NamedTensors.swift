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
  /// The file's tensors that make up each of timm's; several are stacked by rows.
  private let parts: [String: [TensorInfo]]
  private let path: FilePath

  /// Recognises the naming scheme: the one whose rules cover most of the file's tensors.
  /// - Throws: `CheckpointError.unknownNaming` where none has a place for a patch embedding.
  public init(_ container: any TensorContainer, path: FilePath) throws(CheckpointError) {
    var best: Match?
    for scheme in NamingScheme.all {
      for prefix in scheme.prefixes(in: container).sorted(by: { $0.count < $1.count }).prefix(8) {
        let match = Match(scheme: scheme, prefix: prefix, container: container)
        if best.map({ match.used.count > $0.used.count }) ?? true { best = match }
      }
    }
    guard let best else {
      if container.tensors.isEmpty, let (name, reason) = container.unreadable.min(by: { $0.key < $1.key }) {
        throw .unreadableTensor(path: path, tensor: name, reason: reason)
      }
      throw .unknownNaming(path: path, examples: container.tensors.keys.sorted())
    }
    self.container = container
    self.path = path
    self.scheme = best.scheme
    self.prefix = best.prefix
    self.parts = best.parts
    self.depth = best.depth
    let irrelevant = Set(best.scheme.ignored.map { best.prefix + $0 })
    let unused = container.tensors.keys.filter { !best.used.contains($0) }.sorted()
    self.ignored = unused.filter { irrelevant.contains($0) }
    self.unexpected = unused.filter { !irrelevant.contains($0) }
  }

  public func contains(_ name: String) -> Bool { parts[name] != nil }

  /// The file's tensors that make up the one that timm calls `name`.
  public func sources(of name: String) -> [TensorInfo]? { parts[name] }

  /// The shape of the tensor that timm calls `name`, stacked from its parts; nil where it is not there.
  public func shape(of name: String) -> [Int]? {
    guard let parts = parts[name], let first = parts.first else { return nil }
    guard parts.count > 1, !first.shape.isEmpty else { return first.shape }
    return [parts.reduce(0) { $0 + ($1.shape.first ?? 0) }] + first.shape.dropFirst()
  }

  /// What the file calls, or would call, the tensor that timm calls `name`.
  public func foreignName(of name: String) -> String {
    if let first = parts[name]?.first { return first.name }
    let (pattern, block) = NamingScheme.pattern(of: name)
    let source = scheme.rules.first { $0.canonical == pattern }?.sources.first?.first
    guard let source else { return name }
    return prefix + NamingScheme.fill(source, block: block)
  }

  /// The file that holds the tensor; the checkpoint's own path where none does.
  public func path(of name: String) -> FilePath {
    parts[name]?.first.map { container.path(of: $0) } ?? path
  }

  /// The error for a tensor that is not there, or not in a form that can be read.
  public func missing(_ name: String) -> CheckpointError {
    if let (tensor, reason) = unreadablePart(of: name) {
      return .unreadableTensor(path: path, tensor: tensor, reason: reason)
    }
    return .missingTensor(path: path, tensor: foreignName(of: name))
  }

  /// The first tensor in the file that would be part of the one that timm calls `name`, if its elements could be read.
  private func unreadablePart(of name: String) -> (tensor: String, reason: String)? {
    guard !container.unreadable.isEmpty else { return nil }
    let (pattern, block) = NamingScheme.pattern(of: name)
    let sources = scheme.rules.first { $0.canonical == pattern }?.sources ?? []
    for source in sources.joined() {
      let tensor = prefix + NamingScheme.fill(source, block: block)
      if let reason = container.unreadable[tensor] { return (tensor, reason) }
    }
    return nil
  }

  /// Checks a tensor's shape. Several parts must each have an equal share of the rows.
  /// - Throws: `CheckpointError` where it is missing or has another shape.
  public func require(_ name: String, shape: [Int]) throws(CheckpointError) {
    guard let parts = parts[name] else { throw missing(name) }
    for part in parts {
      var expected = shape
      if parts.count > 1, let rows = shape.first { expected[0] = rows / parts.count }
      guard part.shape == expected else {
        throw .wrongShape(
          path: container.path(of: part), tensor: part.name, expected: expected, actual: part.shape)
      }
    }
  }
}

/// One attempt to read a container with one scheme and prefix.
private struct Match {
  let scheme: NamingScheme
  let prefix: String
  var parts: [String: [TensorInfo]] = [:]
  var used: Set<String> = []
  var depth = 0

  init(scheme: NamingScheme, prefix: String, container: any TensorContainer) {
    self.scheme = scheme
    self.prefix = prefix
    while scheme.hasBlock(depth, prefix: prefix, in: container) { depth += 1 }
    // A gap must show as a missing tensor, so look beyond it.
    let stems = scheme.blockStems.map { prefix + $0 }
    let indices = container.tensors.keys.lazy.compactMap { NamingScheme.blockIndex(of: $0, stems: stems) }
    // An index beyond the number of tensors is no block's.
    depth = max(depth, indices.filter { $0 < container.tensors.count }.max().map { $0 + 1 } ?? 0)
    for rule in scheme.rules {
      if rule.canonical.contains("#") {
        for block in 0..<depth { resolve(rule, block: block, container: container) }
      } else {
        resolve(rule, block: nil, container: container)
      }
    }
  }

  private mutating func resolve(_ rule: NamingScheme.Rule, block: Int?, container: any TensorContainer) {
    let bases = block == nil && rule.canonical.hasPrefix("head") ? scheme.outerPrefixes(of: prefix) : [prefix]
    for base in bases {
      for source in rule.sources {
        let tensors = source.compactMap { container.tensors[base + NamingScheme.fill($0, block: block)] }
        guard tensors.count == source.count else { continue }
        parts[NamingScheme.fill(rule.canonical, block: block)] = tensors
        used.formUnion(tensors.map(\.name))
        return
      }
    }
  }
}

extension NamingScheme {
  /// Puts a block's index into a pattern.
  static func fill(_ pattern: String, block: Int?) -> String {
    guard let block else { return pattern }
    return pattern.split(separator: "#" as Character, omittingEmptySubsequences: false).joined(
      separator: "\(block)")
  }

  /// The pattern of one of timm's names, and its block.
  static func pattern(of canonical: String) -> (pattern: String, block: Int?) {
    let fields = canonical.split(separator: ".")
    guard fields.count > 2, fields[0] == "blocks", let block = Int(fields[1]) else { return (canonical, nil) }
    return ((["blocks", "#"] + fields.dropFirst(2)).joined(separator: "."), block)
  }

  /// The prefixes under which the container has a patch embedding.
  func prefixes(in container: any TensorContainer) -> Set<String> {
    guard let name = rules.first(where: { $0.canonical == "patch_embed.proj.weight" })?.sources[0][0] else {
      return []
    }
    return Set(
      container.tensors.keys.lazy
        .filter { $0 == name || $0.hasSuffix("." + name) }
        .map { String($0.dropLast(name.count)) })
  }

  /// Whether the container has the first norm of a block.
  func hasBlock(_ block: Int, prefix: String, in container: any TensorContainer) -> Bool {
    rules.first { $0.canonical == "blocks.#.norm1.weight" }?.sources.contains { source in
      container.tensors[prefix + Self.fill(source[0], block: block)] != nil
    } ?? false
  }

  /// The block that a name in the file belongs to, given what stands before the block's index.
  static func blockIndex(of name: String, stems: [String]) -> Int? {
    guard let stem = stems.first(where: name.hasPrefix(_:)) else { return nil }
    return Int(name.dropFirst(stem.count).prefix(while: \.isNumber))
  }

  /// What stands before the block's index, such as `encoder.layer.`.
  var blockStems: Set<String> {
    Set(
      rules.filter { $0.canonical.contains("#") }.flatMap { $0.sources.joined() }
        .compactMap {
          $0.split(separator: "#" as Character, omittingEmptySubsequences: false).first.map(String.init)
        })
  }

  /// A prefix and those that enclose it: a classifier sits beside the backbone, not in it.
  func outerPrefixes(of prefix: String) -> [String] {
    var prefixes = [prefix]
    var fields = prefix.split(separator: ".")
    while !fields.isEmpty {
      fields.removeLast()
      prefixes.append(fields.map { "\($0)." }.joined())
    }
    return prefixes
  }
}
