import Checkpoints
import Images
import SystemPackage

/// A trained Vision Transformer: architecture, weights, preprocessing and labels of one checkpoint.
///
/// The model itself is immutable and shared; each worker runs it through an `InferenceSession` of its own.
public final class VisionTransformer: Sendable {
  public let configuration: ViTConfiguration
  /// What turns an image into the network's input, with the caller's overrides.
  public let transform: EvaluationTransform
  /// The classes' names by index; nil where none are known.
  public let labels: [String]?
  /// The checkpoint's path.
  public let path: FilePath
  /// The checkpoint's tensors and the scheme of their names.
  public let tensors: NamedTensors
  /// What had to be assumed to read the checkpoint, one sentence each.
  public let warnings: [String]
  /// The input's patches, rows and columns.
  public let grid: ImageSize
  let parameters: Parameters
  /// Position embeddings of the patches for `grid`: [grid.height * grid.width, D].
  let patchPositions: [Float]

  /// What the caller knows better than the checkpoint.
  public struct Options: Sendable {
    /// timm's name of the architecture, for a checkpoint that does not tell, or tells wrong.
    public var architecture: String?
    /// Changes to the checkpoint's preprocessing.
    public var transform = TransformOverrides()
    /// A file of labels.
    public var labels: FilePath?

    public init(
      architecture: String? = nil, transform: TransformOverrides = TransformOverrides(),
      labels: FilePath? = nil
    ) {
      self.architecture = architecture
      self.transform = transform
      self.labels = labels
    }
  }

  /// Loads a model: reads the architecture, checks every tensor, maps the weights.
  /// - Throws: `CheckpointError`, `ModelError` or `TransformConfigurationError` with the path and the tensor or field.
  public init(_ checkpoint: Checkpoint, options: Options = Options()) throws {
    let tensors = try NamedTensors(checkpoint.container, path: checkpoint.path)
    self.tensors = tensors
    var reader = ConfigurationReader(
      checkpoint: checkpoint, tensors: tensors, architecture: options.architecture)
    let configuration = try reader.read()
    self.configuration = configuration
    path = checkpoint.path
    let preprocessing = try Preprocessing(
      checkpoint, configuration: configuration, architecture: options.architecture)
    transform = try preprocessing.transform.applying(options.transform)
    warnings = reader.warnings + [preprocessing.warning].compactMap { $0 }
    guard let grid = configuration.grid(for: transform.size) else {
      throw ModelError.imageSize(transform.size, patchSize: configuration.patchSize)
    }
    self.grid = grid
    let parameters = try Parameters(tensors, configuration: configuration)
    self.parameters = parameters
    patchPositions = PositionEmbedding.resample(
      parameters.patchPositions, dim: configuration.embedDim, from: configuration.gridSize, to: grid,
      method: configuration.positionResampling)
    if let file = options.labels {
      guard configuration.numClasses > 0 else { throw ModelError.noHead(path: checkpoint.path) }
      labels = try Labels.read(file, numClasses: configuration.numClasses)
    } else {
      labels = try Labels.of(
        checkpoint.configuration, path: checkpoint.configurationPath, numClasses: configuration.numClasses)
    }
  }

  /// Number of parameters of the forward pass.
  public var parameterCount: Int { parameters.count }

  /// N: tokens of one image.
  public var numTokens: Int { configuration.numPrefixTokens + grid.height * grid.width }
}
