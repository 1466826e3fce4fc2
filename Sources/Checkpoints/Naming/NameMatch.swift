/// One attempt to read a container with one scheme and prefix.
struct NameMatch {
  let scheme: NamingScheme
  let prefix: String
  private(set) var parts: [String: [TensorPart]] = [:]
  private(set) var incomplete: [String: String] = [:]
  private(set) var depth = 0
  private(set) var ignored: [String] = []
  private(set) var unexpected: [String] = []
  /// Whether the classifier goes by a name that users give, not the library.
  private(set) var hasCustomHead = false

  /// Of one of timm's tensors: the parts that were found, by alternative and place.
  private typealias Found = [Int: [Int: TensorPart]]

  /// Nil where the names show no Vision Transformer of this scheme.
  init?(scheme: NamingScheme, prefix: String, names: [String], container: any TensorContainer) {
    self.scheme = scheme
    self.prefix = prefix
    var found: [String: Found] = [:]
    var origins: [String: (rule: Int, indices: [Int])] = [:]
    var unmatched: [String] = []
    let outer = NamingScheme.outerPrefixes(of: prefix)
    var isSigned = scheme.signature.isEmpty

    for name in names {
      guard let tensor = container.tensors[name] else { continue }
      var isMatched = false
      for base in outer where name.hasPrefix(base) {
        let (key, numbers) = NamePattern.parse(name.dropFirst(base.count))
        if base == prefix {
          isSigned = isSigned || scheme.signature.contains { $0.key == key && $0.indices(of: numbers) != nil }
        }
        for place in scheme.index[key] ?? [] {
          let rule = scheme.rules[place.rule]
          // A classifier sits beside the backbone, all else is in it.
          guard base == prefix || rule.isOutside || scheme.mixesPrefixes else { continue }
          let source = rule.alternatives[place.alternative][place.part]
          guard let indices = source.pattern.indices(of: numbers) else { continue }
          for (canonical, all, layer) in Self.targets(rule, indices, tensor) {
            // Of two tensors that would be the same one, neither is known to be the right one: the second has no place.
            guard found[canonical]?[place.alternative]?[place.part] == nil else { continue }
            found[canonical, default: [:]][place.alternative, default: [:]][place.part] = TensorPart(
              tensor: tensor, layout: source.layout, layer: layer, share: source.share)
            origins[canonical] = (place.rule, all)
            isMatched = true
          }
        }
        if isMatched { break }
      }
      if !isMatched { unmatched.append(name) }
    }
    guard isSigned else { return nil }

    var used: Set<String> = []
    for (canonical, alternatives) in found {
      guard let (rule, indices) = origins[canonical] else { continue }
      take(canonical, alternatives, rule: scheme.rules[rule], indices: indices, used: &used)
    }
    for canonical in found.keys where canonical.hasPrefix("blocks.") {
      let index = canonical.dropFirst("blocks.".count).prefix { $0 != "." }
      depth = max(depth, (Int(index) ?? -1) + 1)
    }
    guard parts[NamingScheme.anchor] != nil, depth > 0 else { return nil }
    let losers = Set(found.values.flatMap { $0.values.flatMap(\.values) }.map(\.tensor.name)).subtracting(
      used)
    for name in unmatched + losers.sorted() {
      if scheme.isHarmless(name, prefix: prefix) { ignored.append(name) } else { unexpected.append(name) }
    }
    ignored.sort()
    unexpected.sort()
  }

  /// Whether this reading explains more of the file: fewer tensors without a place, then more of them used.
  func isBetter(than other: NameMatch) -> Bool {
    if unexpected.count != other.unexpected.count { return unexpected.count < other.unexpected.count }
    return parts.count > other.parts.count
  }

  /// Takes the first alternative that is whole; notes what is missing where none is.
  private mutating func take(
    _ canonical: String, _ alternatives: Found, rule: NamingScheme.Rule, indices: [Int],
    used: inout Set<String>
  ) {
    for (index, sources) in rule.alternatives.enumerated() {
      guard let found = alternatives[index], found.count == sources.count else { continue }
      let whole = sources.indices.compactMap { found[$0] }
      parts[canonical] = whole
      used.formUnion(whole.map(\.tensor.name))
      if index >= rule.alternatives.count - rule.numCustom { hasCustomHead = true }
      return
    }
    for (index, sources) in rule.alternatives.enumerated() {
      guard let found = alternatives[index] else { continue }
      let missing = sources.indices.first { found[$0] == nil }.map { sources[$0].pattern.text } ?? ""
      incomplete[canonical] = prefix + (NamePattern.fill(missing, with: indices) ?? missing)
      used.formUnion(found.values.map(\.tensor.name))
      return
    }
  }

  /// timm's names that a tensor of the file stands for: one, or one a layer where the file keeps all layers in one tensor.
  private static func targets(
    _ rule: NamingScheme.Rule, _ indices: [Int], _ tensor: TensorInfo
  ) -> [(canonical: String, indices: [Int], layer: Int?)] {
    guard indices.isEmpty, rule.canonical.contains("#") else {
      return NamePattern.fill(rule.canonical, with: indices).map { [($0, indices, nil)] } ?? []
    }
    let layers = min(tensor.shape.first ?? 0, NamePattern.indexLimit)
    return (0..<layers).compactMap { layer in
      NamePattern.fill(rule.canonical, with: [layer]).map { ($0, [layer], layer) }
    }
  }
}

extension NamingScheme.Rule {
  /// Whether the tensor may stand beside the backbone instead of in it.
  var isOutside: Bool {
    ["head", "pre_logits", "visual_projection"].contains { canonical.hasPrefix($0) }
  }
}

extension NamingScheme {
  /// The prefixes under which the names have a patch embedding, shortest first; a handful at most.
  func prefixes(in names: [String]) -> [String] {
    var prefixes: Set<String> = []
    for anchor in anchors {
      for name in names where name.hasSuffix(anchor) {
        let prefix = name.dropLast(anchor.count)
        guard prefix.isEmpty || prefix.hasSuffix(".") || prefix.hasSuffix("/") else { continue }
        // What encloses a prefix is tried with every name, too; modules are not nested that deep.
        guard prefix.utf8.count(where: { $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "/") }) <= 8 else {
          continue
        }
        prefixes.insert(String(prefix))
      }
    }
    return Array(prefixes.sorted { ($0.count, $0) < ($1.count, $1) }.prefix(8))
  }

  /// A prefix and those that enclose it, longest first.
  static func outerPrefixes(of prefix: String) -> [String] {
    var prefixes = [prefix]
    var remaining = prefix[...]
    while !remaining.isEmpty {
      remaining = remaining.dropLast()
      while let last = remaining.last, last != ".", last != "/" { remaining = remaining.dropLast() }
      prefixes.append(String(remaining))
    }
    return prefixes
  }
}
