import Checkpoints
import SystemPackage

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Reads configurations strictly: over the default values, with every key checked by name.
extension TrainingConfiguration {
  /// - Parameters:
  ///   - document: the file's contents.
  ///   - changes: `key=value`, the key with dots, the value in JSON or else a text.
  /// - Throws: `TrainingError.configuration` with the key.
  public init(_ document: JSONValue, changes: [String] = []) throws {
    var document = document
    for change in changes { document = try Self.applying(change, to: document) }
    guard let given = document.object else {
      throw TrainingError.configuration(key: "", reason: "the configuration must be a JSON object")
    }
    if let version = given["version"], version != .number(Double(Self.version)) {
      throw TrainingError.configuration(
        key: "version", reason: "this file is of version \(Self.text(version)); \(Self.version) is read here")
    }
    var merged = try JSONValue(encoding: TrainingConfiguration())
    for key in Self.optionalKeys {
      merged = merged.setting(key.split(separator: ".").map(String.init), .null)
    }
    merged = try Self.merge(document, over: merged, path: [])
    do {
      self = try JSONDecoder().decode(TrainingConfiguration.self, from: JSONEncoder().encode(merged))
    } catch let error as DecodingError {
      throw TrainingError.configuration(key: error.key, reason: error.reason)
    } catch EncodingError.invalidValue(_, let context) {
      // JSON as Python writes it has infinite numbers and such that are none; no setting is one.
      throw TrainingError.configuration(
        key: context.codingPath.map(\.stringValue).joined(separator: "."), reason: "expected a finite number")
    }
    try checkContradictions(document, defaults: JSONValue(encoding: TrainingConfiguration()))
    try checkRanges()
  }

  /// The document with `key=value` in it.
  private static func applying(_ change: String, to document: JSONValue) throws(TrainingError) -> JSONValue {
    let parts = change.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2, !parts[0].isEmpty else {
      throw .configuration(key: change, reason: "expected key=value, such as optimizer.learning_rate=0.001")
    }
    let value = try? JSONDecoder().decode(JSONValue.self, from: Data(parts[1].utf8))
    return document.setting(parts[0].split(separator: ".").map(String.init), value ?? .string(parts[1]))
  }

  /// `given` over `defaults`; objects are merged key by key.
  private static func merge(
    _ given: JSONValue, over defaults: JSONValue, path: [String]
  ) throws(TrainingError) -> JSONValue {
    let key = path.joined(separator: ".")
    guard case .object(let known) = defaults, !openKeys.contains(key) else { return given }
    guard case .object(let members) = given else {
      throw .configuration(key: key, reason: "expected an object, not \(text(given))")
    }
    var result = known
    for (name, value) in members.sorted(by: { $0.key < $1.key }) {
      let inner = path + [name]
      guard let before = known[name] else {
        throw .configuration(
          key: inner.joined(separator: "."),
          reason: "there is no such key; known here: \(known.keys.sorted().joined(separator: ", "))")
      }
      result[name] = try merge(value, over: before, path: inner)
    }
    return .object(result)
  }

  /// Keys that were given a value of their own although they have no effect.
  private func checkContradictions(_ given: JSONValue, defaults: JSONValue) throws(TrainingError) {
    func value(_ key: String, of document: JSONValue) -> JSONValue? {
      key.split(separator: ".").reduce(document) { $0?[String($1)] }
    }
    // A default value is no contradiction: a run's own config.json, in which all of them stand, is a configuration, too.
    func has(_ key: String) -> Bool {
      let given = value(key, of: given)
      return given != nil && given != value(key, of: defaults)
    }
    let kind = optimizer.kind
    let rules: [(key: String, isUseless: Bool, reason: String)] =
      ["optimizer.beta1", "optimizer.beta2", "optimizer.epsilon"].map {
        ($0, kind == .sgd, "it is AdamW's, but \"optimizer.kind\" is \"sgd\"")
      }
      + ["optimizer.momentum", "optimizer.nesterov"].map {
        ($0, kind == .adamW, "it is SGD's and Muon's, but \"optimizer.kind\" is \"adamw\"")
      }
      + ["schedule.decay_epochs", "schedule.decay_factor"].map {
        ($0, schedule.kind != .step, "it is for the schedule \"step\", not \"\(schedule.kind.rawValue)\"")
      } + [
        (
          "schedule.final_rate", schedule.kind == .step || schedule.kind == .constant,
          "the schedule \"\(schedule.kind.rawValue)\" has no end to reach"
        ),
        (
          "schedule.warm_up_start", schedule.warmUpEpochs == 0,
          "there is no warm-up (\"schedule.warm_up_epochs\")"
        ),
        (
          "dropout.patch_epochs", dropout.patch == 0, "no patches are dropped (\"dropout.patch\")"
        ),
        (
          "recompute", recompute && freeze == .backbone,
          "a frozen backbone keeps no activations that could be computed again"
        ),
        (
          "optimizer.kind", kind == .muon && freeze == .backbone,
          "Muon moves the matrices of the blocks, which are frozen; \"adamw\" and \"sgd\" train a head"
        ),
        (
          "optimizer.layer_decay", optimizer.layerDecay != 1 && freeze == .backbone,
          "of a frozen backbone only the head is trained"
        ),
      ]
    if let rule = rules.first(where: { $0.isUseless && has($0.key) }) {
      throw .configuration(key: rule.key, reason: rule.reason)
    }
  }

  private func checkRanges() throws(TrainingError) {
    func check(_ key: String, _ isPossible: Bool, _ requirement: String) throws(TrainingError) {
      guard isPossible else { throw .configuration(key: key, reason: "must be \(requirement)") }
    }
    try check("epochs", (1...1_000_000).contains(epochs), "from 1 to 1,000,000")
    try check("batch_size", (1...65_536).contains(batchSize), "from 1 to 65,536")
    try check("accumulation", (1...65_536).contains(accumulation), "from 1 to 65,536")
    try check("label_smoothing", (0..<1).contains(labelSmoothing), "at least 0 and below 1")
    try check("log_every", logEvery >= 0, "at least 0")
    try check("evaluate_every", evaluateEvery >= 1, "at least 1")
    try check("data.max_bad_images", data.maxBadImages >= 0, "at least 0")
    try check("data.cache_mib", (0...1_048_576).contains(data.cacheMiB), "from 0 to 1,048,576")
    if let share = data.validation {
      try check("data.validation", share > 0 && share < 1, "above 0 and below 1")
    }
    let o = optimizer
    try check("optimizer.learning_rate", o.learningRate > 0 && o.learningRate.isFinite, "above 0")
    try check("optimizer.weight_decay", o.weightDecay >= 0 && o.weightDecay.isFinite, "at least 0")
    try check("optimizer.beta1", (0..<1).contains(o.beta1), "at least 0 and below 1")
    try check("optimizer.beta2", (0..<1).contains(o.beta2), "at least 0 and below 1")
    try check("optimizer.epsilon", o.epsilon > 0 && o.epsilon < 1, "above 0 and below 1")
    try check("optimizer.momentum", (0..<1).contains(o.momentum), "at least 0 and below 1")
    try check("optimizer.nesterov", !o.nesterov || o.momentum > 0, "false without a momentum")
    try check("optimizer.layer_decay", o.layerDecay > 0 && o.layerDecay <= 1, "above 0 and at most 1")
    if let norm = o.clipNorm { try check("optimizer.clip_norm", norm > 0, "above 0") }
    if let decay = o.averageDecay {
      try check("optimizer.average_decay", (0..<1).contains(decay), "at least 0 and below 1")
    }
    let s = schedule
    try check(
      "schedule.warm_up_epochs", s.warmUpEpochs >= 0 && s.warmUpEpochs < Double(epochs),
      "at least 0 and fewer than the epochs")
    try check("schedule.warm_up_start", s.warmUpStart >= 0 && s.warmUpStart.isFinite, "at least 0")
    try check("schedule.final_rate", s.finalRate >= 0 && s.finalRate.isFinite, "at least 0")
    try check("schedule.decay_epochs", s.decayEpochs > 0, "above 0")
    try check("schedule.decay_factor", s.decayFactor > 0 && s.decayFactor <= 1, "above 0 and at most 1")
    for (key, rate) in [
      ("embedding", dropout.embedding), ("projection", dropout.projection), ("attention", dropout.attention),
      ("path", dropout.path), ("head", dropout.head), ("patch", Float(dropout.patch)),
    ] {
      try check("dropout.\(key)", (0..<1).contains(rate), "at least 0 and below 1")
    }
    if let epochs = dropout.patchEpochs { try check("dropout.patch_epochs", epochs >= 1, "at least 1") }
  }

  fileprivate static func text(_ value: JSONValue) -> String {
    (try? JSONEncoder().encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? ""
  }
}

extension JSONValue {
  /// The document with a value at a path of keys; what is no object on the way becomes one.
  fileprivate func setting(_ path: [String], _ value: JSONValue) -> JSONValue {
    guard let key = path.first else { return value }
    var members = object ?? [:]
    members[key] = (members[key] ?? .object([:])).setting(Array(path.dropFirst()), value)
    return .object(members)
  }
}

extension DecodingError {
  private var context: Context? {
    switch self {
    case .typeMismatch(_, let context), .valueNotFound(_, let context), .keyNotFound(_, let context),
      .dataCorrupted(let context):
      context
    @unknown default: nil
    }
  }

  fileprivate var key: String { context?.codingPath.map(\.stringValue).joined(separator: ".") ?? "" }

  fileprivate var reason: String {
    switch self {
    case .typeMismatch(let type, _): "expected \(Self.name(type))"
    case .valueNotFound(let type, _): "expected \(Self.name(type)), not null"
    default: context?.debugDescription ?? "not as expected"
    }
  }

  private static func name(_ type: any Any.Type) -> String {
    switch type {
    case is Bool.Type: "true or false"
    case is Int.Type, is UInt64.Type: "a whole number"
    case is Double.Type, is Float.Type: "a number"
    case is String.Type: "a text"
    default: "another kind of value"
    }
  }
}
