import Checkpoints
import Images
import SystemPackage

/// A checkpoint of any library in timm's terms: what a training begins with.
package struct TimmSource {
  /// timm's name of the architecture.
  package let architecture: String
  /// The arguments of timm's constructor that make the model.
  package let arguments: [String: JSONValue]
  package let configuration: ViTConfiguration
  /// The preprocessing in the form of timm's `pretrained_cfg`.
  package let preprocessing: TimmPretrainedConfiguration
  /// What timm does otherwise than the source, one sentence each.
  package let notes: [String]
  private let source: ConversionSource
  private let tensors: [String: ConvertedTensor]

  /// - Throws: `ConversionError` where timm has no such model, `ModelError` and `CheckpointError` as in opening a model.
  package init(_ path: FilePath, architecture: String?, limits: FileLimits = .standard) throws {
    let checkpoint = try Checkpoint(path, limits: limits)
    let model = try VisionTransformer(
      checkpoint, options: .init(architecture: architecture, describesOnly: true, labels: .none))
    source = try ConversionSource(model, checkpoint: checkpoint, architecture: architecture)
    let plan = try TimmConversion(source).plan()
    self.architecture = plan.architecture
    let file = plan.files.first { $0.name == "config.json" }?.contents
    arguments = file?["model_args"]?.object ?? [:]
    configuration = model.configuration
    preprocessing = model.transform.timmConfiguration
    notes = model.warnings + plan.notes
    tensors = Dictionary(plan.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// The shape of a tensor by timm's name; nil where there is none.
  package func shape(_ name: String) -> [Int]? { tensors[name]?.shape }

  /// The elements of a tensor by timm's name; empty where there is none.
  /// - Throws: `CheckpointError` where it is damaged or not finite, or the file was changed since it was opened.
  package func floats(_ name: String) throws -> [Float] {
    var values: [Float] = []
    try tensors[name]?.read(from: source.tensors) { values += $0 }
    try source.tensors.container.checkUnchanged()
    return values
  }

  /// The positions for another grid, prefix tokens kept: float32 [positioned tokens + patches, D].
  /// - Parameter positioned: how many prefix tokens have a position in the model that is made; where the source's are other tokens, its table is
  ///   returned as it is.
  package func positions(for grid: ImageSize, positioned: Int) throws -> [Float] {
    let values = try floats("pos_embed")
    let prefix = positioned * configuration.embedDim
    let patches = configuration.gridSize.height * configuration.gridSize.width * configuration.embedDim
    guard values.count == prefix + patches else { return values }
    return Array(values.prefix(prefix))
      + PositionEmbedding.resample(
        Array(values.dropFirst(prefix)), dim: configuration.embedDim, from: configuration.gridSize, to: grid,
        method: configuration.positionResampling)
  }
}
