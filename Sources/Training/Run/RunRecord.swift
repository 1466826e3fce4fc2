import Checkpoints
import SystemPackage

/// `config.json` of a run: the configuration, resolved, and the model that it began with.
public struct RunRecord: Sendable {
  /// In the form of a configuration file.
  public let document: JSONValue
  /// The model that the run began with.
  public let model: FilePath?

  private static let modelKey = "from"

  public init(configuration: TrainingConfiguration, from model: FilePath?) throws {
    document = try JSONValue(encoding: configuration)
    self.model = model
  }

  /// - Throws: `CheckpointError` where the file cannot be read.
  public init(reading path: FilePath) throws {
    let all = try Self.document(path)
    model = all[Self.modelKey]?.string.map { FilePath($0) }
    guard case .object(var members) = all else {
      document = all
      return
    }
    members[Self.modelKey] = nil
    document = .object(members)
  }

  /// The contents of a JSON file.
  /// - Throws: `CheckpointError` where it cannot be read.
  public static func document(_ path: FilePath) throws -> JSONValue {
    try JSONFile.value(of: MappedFile(path))
  }

  /// - Throws: `CheckpointError.unwritable`.
  public func write(to path: FilePath) throws {
    var members = document.object ?? [:]
    if let model { members[Self.modelKey] = .string(model.string) }
    try JSONValue.object(members).write(to: path)
  }
}

extension TrainerSettings {
  public init(_ configuration: TrainingConfiguration) {
    self.init()
    epochs = configuration.epochs
    batchSize = configuration.batchSize
    accumulation = configuration.accumulation
    seed = configuration.seed
    optimizer = configuration.optimizer
    schedule = configuration.schedule
    dropout = configuration.dropout
    logEvery = configuration.logEvery
    evaluateEvery = configuration.evaluateEvery
    recomputes = configuration.recompute
    precision = configuration.precision == .bf16 ? .bf16 : .fp32
    headOnly = configuration.freeze == .backbone
  }
}
