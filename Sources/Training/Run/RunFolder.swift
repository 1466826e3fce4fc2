import Checkpoints
import SystemPackage

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The folder of a run:
///
/// - `config.json`: the configuration, resolved
/// - `metrics.jsonl`: a line each epoch and every so many steps
/// - `history.png`: the metrics of the epochs, drawn by the command line after each
/// - `last/`, `best/`: the model after the last and the best evaluated epoch, in timm's form
/// - `last/state.safetensors`: all that a resumed run needs, in one file that is replaced as a whole
/// - `tensorboard/`: event files, where wanted
///
/// A run that is killed at any moment leaves a whole state behind: it is written under another name, brought to the disk and renamed.
/// What comes before it in time (lines of metrics) is cut back to it; what comes after (the model in `last/`) is written again.
public struct RunFolder: Sendable {
  public let path: FilePath

  public init(_ path: FilePath) {
    self.path = path
  }

  public var configuration: FilePath { path.appending("config.json") }
  public var metrics: FilePath { path.appending("metrics.jsonl") }
  public var history: FilePath { path.appending("history.png") }
  public var last: FilePath { path.appending("last") }
  public var best: FilePath { path.appending("best") }
  public var state: FilePath { last.appending("state.safetensors") }
  public var tensorBoard: FilePath { path.appending("tensorboard") }

  public var hasState: Bool { FileSystem.exists(state) }
  /// Whether there is a model in `last/`: not before the end of the first epoch.
  public var hasModel: Bool { FileSystem.exists(last.appending(Self.modelName)) }
  /// Whether there is anything of a run.
  public var isUsed: Bool { [configuration, metrics, state].contains(where: FileSystem.exists) }

  /// Makes the folders.
  /// - Throws: `CheckpointError.unwritable`.
  public func create() throws(CheckpointError) {
    for folder in [path, last, best] { try FileSystem.makeFolder(folder) }
  }

  // MARK: Models

  private static let modelName = "model.safetensors"

  /// Writes a model: weights by timm's names, then its `config.json`.
  /// - Throws: `CheckpointError.unwritable`; what was there stays whole.
  public func writeModel(
    _ store: ParameterStore, configuration: JSONValue, to folder: FilePath
  ) throws {
    let kind = store.resultKind
    let tensors = store.layout.savedTensors
    let byName = Dictionary(tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    let writer = try SafetensorsWriter(
      folder.appending(Self.modelName),
      tensors: tensors.map { TensorInfo(name: $0.name, type: .float32, shape: $0.shape) })
    for info in writer.tensors {
      guard let tensor = byName[info.name] else { continue }
      try store.withElements(of: tensor, kind) { try writer.append(UnsafeRawBufferPointer($0)) }
    }
    try configuration.write(to: folder.appending("config.json"))
    try writer.finish()
  }

  // MARK: State

  private static let progressKey = "vitrine.progress"
  private static let identityKey = "vitrine.run"

  /// Writes the state of a training.
  /// - Parameter identity: what must be the same for the training to go on: its configuration and data.
  /// - Throws: `CheckpointError.unwritable`; the state that was there stays.
  public func writeState(_ store: ParameterStore, progress: TrainingProgress, identity: String) throws {
    let encoded = try JSONEncoder().encode(progress)
    var parts: [String: (Parameter, ParameterStore.Kind)] = [:]
    for kind in store.stateKinds {
      for parameter in store.layout.parameters {
        parts["\(kind.rawValue).\(parameter.name)"] = (parameter, kind)
      }
    }
    let writer = try SafetensorsWriter(
      state, tensors: parts.map { TensorInfo(name: $0.key, type: .float32, shape: $0.value.0.shape) },
      metadata: [
        "format": "pt", Self.progressKey: String(decoding: encoded, as: UTF8.self),
        Self.identityKey: identity,
      ])
    for info in writer.tensors {
      guard let (parameter, kind) = parts[info.name] else { continue }
      try store.withTensor(parameter, kind) { try writer.append(UnsafeRawBufferPointer($0)) }
    }
    try writer.finish()
  }

  /// Reads the state of a training into a store.
  /// - Throws: `CheckpointError` where the file is damaged, `TrainingError.run` where it is that of another training.
  public func readState(into store: ParameterStore, identity: String) throws -> TrainingProgress {
    let file = try SafetensorsFile(state)
    guard let text = file.metadata[Self.progressKey], let saved = file.metadata[Self.identityKey] else {
      throw TrainingError.run(path: state, reason: "not the state of a training")
    }
    let before = RunIdentity.updated(saved, like: identity)
    guard before == identity else {
      throw TrainingError.run(path: state, reason: RunIdentity.difference(before, identity))
    }
    let progress: TrainingProgress
    do {
      progress = try JSONDecoder().decode(TrainingProgress.self, from: Data(text.utf8))
    } catch {
      throw TrainingError.run(path: state, reason: "its progress cannot be read: \(error)")
    }
    for kind in store.stateKinds {
      for parameter in store.layout.parameters {
        let name = "\(kind.rawValue).\(parameter.name)"
        guard let info = file.tensors[name] else {
          throw CheckpointError.missingTensor(path: state, tensor: name)
        }
        guard info.shape == parameter.shape, info.type == .float32 else {
          throw CheckpointError.wrongShape(
            path: state, tensor: name, expected: parameter.shape, actual: info.shape)
        }
        file.elements(of: info).withUnsafeBytes { bytes in
          store.withTensor(parameter, kind) { UnsafeMutableRawBufferPointer($0).copyMemory(from: bytes) }
        }
      }
    }
    return progress
  }
}

/// What must stay the same for a run to go on: named facts, and which of them differ.
public struct RunIdentity: Sendable {
  private var facts: [String: String] = [:]

  public init() {}

  public mutating func add(_ name: String, _ value: String) { facts[name] = value }

  /// One line a fact.
  public var text: String {
    facts.sorted { $0.key < $1.key }.map { "\($0.key)\t\($0.value)" }.joined(separator: "\n")
  }

  /// Keys of a fact that change no result.
  static let indifferent = ["data": ["max_bad_images", "cache_mib"]]

  /// What an earlier version saved, as it would be saved now: without what no longer counts, and with what it did not know yet.
  static func updated(_ saved: String, like now: String) -> String {
    var identity = RunIdentity()
    identity.facts = facts(saved)
    if identity.facts["pretrained_cfg"] == nil {
      identity.facts["pretrained_cfg"] = facts(now)["pretrained_cfg"]
    }
    for (name, keys) in indifferent {
      guard let text = identity.facts[name], !text.isEmpty,
        let value = try? JSONDecoder().decode(JSONValue.self, from: Data(text.utf8)),
        var members = value.object
      else { continue }
      for key in keys { members[key] = nil }
      if let rest = try? JSONValue.object(members).compactText { identity.facts[name] = rest }
    }
    return identity.text
  }

  private static func facts(_ text: String) -> [String: String] {
    Dictionary(
      text.split(separator: "\n").map { line in
        let parts = line.split(separator: "\t", maxSplits: 1, omittingEmptySubsequences: false)
        return (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
      }, uniquingKeysWith: { first, _ in first })
  }

  static func difference(_ a: String, _ b: String) -> String {
    let (before, now) = (facts(a), facts(b))
    let names = Set(before.keys).union(now.keys).filter { before[$0] != now[$0] }.sorted()
    let changes = names.map { "\($0) was \(before[$0] ?? "not there") and is \(now[$0] ?? "not there")" }
    return "the run was begun otherwise: \(changes.joined(separator: "; "))"
  }
}
