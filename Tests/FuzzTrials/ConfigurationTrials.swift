import Checkpoints
import SystemPackage
import TestSupport
import Training
import VisionTransformer

/// Opens a sound model beside a configuration that may be anything: `{"weights": ..., "config": ..., "preprocessor": ...}`, where
/// the weights are one of the fixtures' models by name, and the others stand for the files beside it.
enum ModelTrial {
  /// One of each library and kind.
  private static let weights: [String: any TensorContainer] = Dictionary(
    uniqueKeysWithValues: ["timm-token", "timm-avg", "timm-map", "hf-vit", "hf-deit", "hf-dinov2"].compactMap
    {
      name in (try? Fixtures.checkpoint(name)).map { (name, $0.container) }
    })

  /// - Throws: `FuzzTrial.Finding`, or the error with which the configuration is refused.
  static func run(_ bytes: UnsafeRawBufferPointer) throws {
    let input = try JSONFile.value(of: MappedFile(borrowing: bytes, path: "input"))
    guard let container = input["weights"]?.string.flatMap({ weights[$0] }) ?? weights["timm-token"] else {
      throw FuzzTrial.Finding(description: "the models of the fixtures are missing")
    }
    let checkpoint = Checkpoint(
      container, path: "input", configuration: input["config"], preprocessor: input["preprocessor"])
    let model = try VisionTransformer(checkpoint, options: .init(threads: 1, describesOnly: true))
    let configuration = model.configuration
    try FuzzTrial.require(
      configuration.embedDim > 0 && configuration.numHeads > 0
        && configuration.embedDim.isMultiple(of: configuration.numHeads) && configuration.normEpsilon > 0
        && configuration.normEpsilon.isFinite,
      "an impossible configuration: \(configuration)")
    try FuzzTrial.require(
      model.labels.map { $0.count == configuration.numClasses } ?? true, "labels without classes")
    try FuzzTrial.require(model.grid.height > 0 && model.grid.width > 0, "a grid of no patches")
  }
}

/// Reads a configuration of a training, writes it and reads it again.
enum TrainingTrial {
  /// - Throws: `FuzzTrial.Finding`, or the error with which the configuration is refused.
  static func run(_ bytes: UnsafeRawBufferPointer) throws {
    let document = try JSONFile.value(of: MappedFile(borrowing: bytes, path: "input"))
    let configuration = try TrainingConfiguration(document)
    let written = try JSONValue(encoding: configuration)
    let again = try TrainingConfiguration(RunRecord(configuration: configuration, from: nil).document)
    try FuzzTrial.require(again == configuration, "read again as another: \(written)")
    if let architecture = configuration.model.architecture {
      let model = try TimmModel(
        architecture: architecture, arguments: configuration.model.modelArgs, path: "input")
      try FuzzTrial.require(
        model.configuration.gridSize.height > 0 && model.configuration.gridSize.width > 0,
        "a grid of no patches")
      _ = try TrainableArchitecture(model)
    }
    _ = try TrainingTransform(
      configuration.augmentation, size: .init(height: 32, width: 32), mean: [0.5, 0.5, 0.5],
      std: [0.5, 0.5, 0.5])
  }
}
