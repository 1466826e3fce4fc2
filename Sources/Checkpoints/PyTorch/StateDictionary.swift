import SystemPackage

/// The state dictionary of a PyTorch file, which may lie within a training checkpoint.
struct StateDictionary {
  /// What the file calls it, such as `model_ema` or `model.state_dict`; nil where it is the whole file.
  let name: String?
  /// Whether it is the attributes of a TorchScript module.
  let isModule: Bool
  /// The tensors by name; nested dictionaries and modules are joined by dots.
  let tensors: [String: PickleValue]

  /// Where training checkpoints keep it, in this order.
  static let keys = ["state_dict_ema", "model_ema", "state_dict", "model", "teacher"]
  fileprivate static let longestKey = keys.map(\.utf8.count).max() ?? 0
  /// Entries that are looked at, so that dictionaries that are shared and shared again are not walked for ever.
  private static let entryLimit = 1 << 18

  /// - Parameter limits: what the file is held to.
  /// - Throws: `CheckpointError` where there is none, or where it has two tensors of one name.
  init(of document: PickleDocument, path: FilePath, limits: FileLimits) throws(CheckpointError) {
    let finder = Finder(document: document)
    guard let (root, isModule) = finder.mapping(document.root) else {
      throw .malformed(
        path: path,
        reason: "the file holds \(document.kind(document.root)), not a state dictionary; "
          + "save one with torch.save(model.state_dict(), ...)")
    }
    self.isModule = isModule
    if isModule {
      (name, tensors) = (nil, try Self.flatten(root, of: document, path: path, limits: limits))
      guard !tensors.isEmpty else {
        throw .malformed(path: path, reason: "the TorchScript module holds no tensors")
      }
      return
    }
    let members = finder.members(of: root)
    for key in Self.keys {
      guard let outer = members[key] else { continue }
      if finder.hasTensors(outer) {
        (name, tensors) = (key, try Self.flatten(outer, of: document, path: path, limits: limits))
        return
      }
      let innerMembers = finder.members(of: outer)
      for inner in Self.keys {
        guard let dictionary = innerMembers[inner], finder.hasTensors(dictionary) else { continue }
        (name, tensors) = (
          "\(key).\(inner)", try Self.flatten(dictionary, of: document, path: path, limits: limits)
        )
        return
      }
      let nested = try Self.flatten(outer, of: document, path: path, limits: limits)
      if !nested.isEmpty {
        (name, tensors) = (key, nested)
        return
      }
    }
    if finder.hasTensors(root) {
      (name, tensors) = (nil, try Self.flatten(root, of: document, path: path, limits: limits))
      return
    }
    // Training code of one's own has names of its own; where just one member holds tensors, it can be no other.
    let candidates = finder.membersWithTensors(of: root)
    if candidates.count == 1, let (key, dictionary) = candidates.first {
      (name, tensors) = (key, try Self.flatten(dictionary, of: document, path: path, limits: limits))
      return
    }
    func list(_ keys: [String]) -> String {
      keys.isEmpty ? "none" : keys.map { "\"\($0)\"" }.joined(separator: ", ")
    }
    throw .malformed(
      path: path,
      reason: candidates.isEmpty
        ? "no state dictionary was found: the file's keys are \(list(finder.keys(of: root))), expected tensors or one of "
          + Self.keys.joined(separator: ", ")
        : "several members could be the state dictionary: \(list(candidates.map(\.key))); save the right one on its own"
    )
  }

  /// One dictionary on the way down.
  private struct Level {
    let dictionary: PickleValue
    var entries: PickleDocument.Entries
    /// What stands before the names of its entries, with a dot at its end.
    let prefix: String
  }

  private static func flatten(
    _ root: PickleValue, of document: PickleDocument, path: FilePath, limits: FileLimits
  ) throws(CheckpointError) -> [String: PickleValue] {
    func failure(_ reason: String) -> CheckpointError {
      .malformed(path: path, reason: "the state dictionary \(reason)")
    }
    let nameLimit = limits[.textBytes, standard: 512]
    let tensorLimit = limits[.tensors, standard: 1 << 14]
    // Dictionaries within dictionaries.
    let depthLimit = limits[.depth, standard: 64]
    let finder = Finder(document: document)
    var tensors: [String: PickleValue] = [:]
    var levels = [Level(dictionary: root, entries: document.entries(root), prefix: "")]
    var seen = 0
    while let last = levels.indices.last {
      guard let (key, value) = levels[last].entries.next() else {
        levels.removeLast()
        continue
      }
      seen += 1
      guard seen <= entryLimit else { throw failure("has more than \(entryLimit) entries") }
      let isTensor = document.isTensor(value)
      let nested = isTensor ? nil : finder.mapping(value)
      guard isTensor || nested != nil else { continue }
      guard let key = document.string(key, limit: nameLimit) ?? document.int(key).map(String.init) else {
        throw failure(
          "has \(document.kind(key)) as a key, or a name of more than \(nameLimit) bytes\(FileLimits.Limit.textBytes.remedy)"
        )
      }
      // What a module keeps beside its parameters under this name is its own business.
      if key == "_extra_state" || key.hasSuffix("._extra_state") { continue }
      let name = levels[last].prefix + key
      guard name.utf8.count <= nameLimit else {
        throw failure("has a name of more than \(nameLimit) bytes\(FileLimits.Limit.textBytes.remedy)")
      }
      if let nested {
        guard !levels.contains(where: { $0.dictionary == nested.value }) else {
          throw failure("contains itself at \"\(name)\"")
        }
        guard levels.count < depthLimit else {
          throw failure("is nested more than \(depthLimit) levels deep\(FileLimits.Limit.depth.remedy)")
        }
        levels.append(
          Level(dictionary: nested.value, entries: document.entries(nested.value), prefix: name + "."))
      } else {
        guard tensors.updateValue(value, forKey: name) == nil else {
          throw .malformedTensor(
            path: path, tensor: name, reason: "the state dictionary has two of this name")
        }
        guard tensors.count <= tensorLimit else {
          throw failure("has more than \(tensorLimit) tensors\(FileLimits.Limit.tensors.remedy)")
        }
      }
    }
    return tensors
  }
}

/// Looks around in the dictionaries of a pickle.
private struct Finder {
  let document: PickleDocument

  /// A dictionary, or the attributes of a TorchScript module.
  func mapping(_ value: PickleValue) -> (value: PickleValue, isModule: Bool)? {
    if document.isDictionary(value) { return (value, false) }
    guard let (name, _, state) = document.call(value), PickleGlobals.role(of: name) == .module,
      let state, document.isDictionary(state)
    else { return nil }
    return (state, true)
  }

  /// What is kept under the keys of state dictionaries, where it is a mapping; of several under one key the last, as in Python.
  func members(of dictionary: PickleValue) -> [String: PickleValue] {
    var members: [String: PickleValue] = [:]
    for (key, value) in document.entries(dictionary) {
      guard let key = document.string(key, limit: StateDictionary.longestKey),
        StateDictionary.keys.contains(key)
      else { continue }
      members[key] = mapping(value)?.value
    }
    return members
  }

  func hasTensors(_ dictionary: PickleValue) -> Bool {
    document.entries(dictionary).contains { document.isTensor($0.value) }
  }

  /// The members that are mappings with tensors of their own; a handful at most. The state of an optimizer has none: it keeps its tensors
  /// further down.
  func membersWithTensors(of dictionary: PickleValue) -> [(key: String, dictionary: PickleValue)] {
    var found: [(key: String, dictionary: PickleValue)] = []
    // One dictionary may be there many times.
    var seen: Set<PickleValue> = []
    for (key, value) in document.entries(dictionary) where found.count < 8 {
      guard let mapping = mapping(value), seen.insert(mapping.value).inserted, hasTensors(mapping.value),
        let key = document.string(key, limit: 64)
      else { continue }
      found.append((key, mapping.value))
    }
    return found
  }

  /// The first few keys, for a message.
  func keys(of dictionary: PickleValue, shown: Int = 12) -> [String] {
    document.entries(dictionary).prefix(shown).map { key, _ in
      document.string(key, limit: 64) ?? document.int(key).map(String.init) ?? document.kind(key)
    }
  }
}
