import Checkpoints
import Images
import Kernels
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
  /// Whether the model cannot be run, because its weights were not read.
  public let describesOnly: Bool
  private let configurationFiles: [FilePath]
  /// What the files were held to.
  package let fileLimits: FileLimits
  /// Of the matrix products.
  public let precision: Precision
  let parameters: Parameters
  /// Position embeddings of the patches for `grid`: [grid.height * grid.width, D].
  let patchPositions: [Float]

  /// What the caller knows better than the checkpoint.
  public struct Options: Sendable {
    /// timm's name of the architecture, for a checkpoint that does not tell, or tells wrong.
    public var architecture: String?
    /// Changes to the checkpoint's preprocessing.
    public var transform = TransformOverrides()
    /// What the numbers of the matrix products are; nil for those that the checkpoint was made for: float32, or the integers of a
    /// quantised one.
    public var precision: Precision?
    /// Threads that read and pack the weights.
    public var threads = CPU.usableCores
    /// Opens the model to be looked at, not to be run: no weight is read or converted.
    public var describesOnly = false
    /// Where the classes' names come from.
    public var labels = LabelSource.checkpoint
    /// Called twice where weights are read, on the caller's thread: before them, and behind those of the first block, which others follow that need
    /// less code. A program can let go of memory here.
    public var betweenParts: (@Sendable () -> Void)?
    /// What takes the place of some of the checkpoint's tensors.
    package var substitutes: LayerSubstitutes?

    public enum LabelSource: Sendable {
      /// The checkpoint's own, or ImageNet-1k's for a model of 1,000 classes that has none.
      case checkpoint
      case file(FilePath)
      /// Nobody asks for them.
      case none
    }

    public init(
      architecture: String? = nil, transform: TransformOverrides = TransformOverrides(),
      precision: Precision? = nil, threads: Int = CPU.usableCores, describesOnly: Bool = false,
      labels: LabelSource = .checkpoint
    ) {
      self.architecture = architecture
      self.transform = transform
      self.precision = precision
      self.threads = threads
      self.describesOnly = describesOnly
      self.labels = labels
    }
  }

  /// Opens a model: reads the architecture, checks every tensor's type and shape, reads the weights and packs them for the
  /// products of the precision. The files are not needed afterwards.
  /// - Throws: `CheckpointError`, `ModelError` or `TransformConfigurationError` with the path and the tensor or field.
  public init(_ checkpoint: Checkpoint, options: Options = Options()) throws {
    try ConfigurationReader.checkNames(checkpoint, architecture: options.architecture)
    let tensors = try NamedTensors(checkpoint.container, path: checkpoint.path)
    self.tensors = tensors
    var reader = ConfigurationReader(
      checkpoint: checkpoint, tensors: tensors, architecture: options.architecture,
      size: options.transform.size)
    let configuration = try reader.read()
    self.configuration = configuration
    let named = options.architecture ?? checkpoint.configuration?["architecture"]?.string
    architectureName =
      named ?? checkpoint.configuration?["model_type"]?.string ?? reader.likeness?.name
    family =
      named.map { "timm's \($0)" } ?? checkpoint.configuration?["model_type"]?.string.map {
        "transformers' \($0)"
      }
      ?? reader.likeness.map { "like timm's \($0.name)" }
    (path, fileLimits) = (checkpoint.path, checkpoint.limits)
    let preprocessing = try Preprocessing(
      checkpoint, library: tensors.scheme.library, configuration: configuration,
      architecture: options.architecture, likeness: reader.likeness)
    transform = try preprocessing.transform.applying(options.transform)
    warnings = reader.warnings + [preprocessing.warning].compactMap { $0 }
    // Some models were trained on sizes that leave a margin of pixels; a size that the user asks for should leave none.
    let mayLeaveMargin = options.transform.size == nil && configuration.stem == nil
    guard let grid = configuration.grid(for: transform.size),
      mayLeaveMargin || configuration.patchesFill(transform.size)
    else {
      throw ModelError.imageSize(transform.size, patchSize: configuration.patchSize)
    }
    self.grid = grid
    // The positions are resampled as the model is opened.
    let needed = 4 * Double(configuration.embedDim) * Double(grid.height) * Double(grid.width)
    guard needed <= Double(Machine.addressBytes) else {
      throw ModelError.memory(
        size: transform.size, tokens: configuration.numPrefixTokens + grid.height * grid.width, batchSize: 1,
        workers: 1, needed: needed, available: Double(Machine.addressBytes))
    }
    configurationFiles = [checkpoint.configurationPath, checkpoint.preprocessorConfigurationPath]
    describesOnly = options.describesOnly
    precision = options.precision ?? checkpoint.standardPrecision
    switch options.labels {
    case .none: labels = nil
    case .file(let file):
      guard configuration.numClasses > 0 else { throw ModelError.noHead(path: checkpoint.path) }
      labels = try Labels.read(file, numClasses: configuration.numClasses)
    case .checkpoint:
      labels = try Labels.of(
        checkpoint.configuration, path: checkpoint.configurationPath, numClasses: configuration.numClasses)
    }
    let betweenParts = options.describesOnly ? nil : options.betweenParts
    betweenParts?()
    let parameters = try Parameters(
      tensors, configuration: configuration, precision: precision,
      pool: options.describesOnly ? nil : ThreadPool(threadCount: max(1, options.threads)),
      describesOnly: options.describesOnly, substitutes: options.substitutes,
      afterFirstBlock: betweenParts)
    try checkpoint.container.checkUnchanged()
    self.parameters = parameters
    patchPositions =
      switch configuration.positions {
      case .learned:
        PositionEmbedding.resample(
          parameters.patchPositions, dim: configuration.embedDim, from: configuration.gridSize, to: grid,
          method: configuration.positionResampling)
      case .sinCos2D: PositionEmbedding.sinCos2D(dim: configuration.embedDim, grid: grid)
      case .none: []
      }
  }

  /// The same model with something else in the place of some tensors of one part of the network; what lies elsewhere is shared.
  /// - Parameters:
  ///   - model: can be run, and has nothing else than its checkpoint's tensors in that part.
  ///   - substitutes: of tensors in that part; others are not looked at.
  ///   - place: where the tensors are.
  ///   - pool: threads that pack.
  /// - Throws: `CheckpointError`.
  package init(
    _ model: VisionTransformer, substitutes: LayerSubstitutes, in place: QuantizableLayer.Place,
    pool: ThreadPool?
  ) throws(CheckpointError) {
    precondition(!model.describesOnly, "the model was opened to be looked at, not to be run")
    (configuration, transform, labels) = (model.configuration, model.transform, model.labels)
    (path, tensors, warnings, grid) = (model.path, model.tensors, model.warnings, model.grid)
    (describesOnly, configurationFiles) = (model.describesOnly, model.configurationFiles)
    (fileLimits, precision) = (model.fileLimits, model.precision)
    (family, architectureName, patchPositions) = (model.family, model.architectureName, model.patchPositions)
    if case .block(let index) = place {
      parameters = try model.parameters.replacingBlock(
        index, model.tensors, configuration: model.configuration, precision: model.precision, pool: pool,
        substitutes: substitutes)
    } else {
      parameters = try Parameters(
        model.tensors, configuration: model.configuration, precision: model.precision, pool: pool,
        describesOnly: false, substitutes: substitutes, sharing: model.parameters)
    }
  }

  /// What the architecture is called: timm's name, or transformers' model type; where neither is known, the architecture of timm that the
  /// tensors are like.
  public let family: String?

  /// The name in `family` alone.
  public let architectureName: String?

  /// Names of the file's tensors that no result depends on, sorted.
  public var unusedTensors: [String] {
    let used = parameters.tensorNames
    return (tensors.container.tensors.keys.filter { !used.contains($0) } + tensors.container.unreadable.keys)
      .sorted()
  }

  /// Number of parameters of the forward pass.
  public var parameterCount: Int { parameters.count }

  /// Memory that sessions may take beside the weights, in bytes; up to half of it is room that an arena gains by growing.
  /// - Parameters:
  ///   - batchSize: images that go through the network together.
  ///   - workers: sessions that run at the same time.
  public func scratchBytes(batchSize: Int, workers: Int) -> Double {
    let (rows, d) = (Double(batchSize * numTokens), Double(configuration.embedDim))
    let hidden = Double(configuration.mlpDim) * (configuration.gatedMLP ? 2 : 1)
    // The residual stream; beside it normed tokens, what is widest of qkv with the heads and the MLP's hidden layer, and a branch.
    let layers = rows * (3 * d + max(4 * d, hidden) + (configuration.layerScale ? d : 0))
    let pixels = Double(transform.size.height * transform.size.width)
    // A stem works on maps of a quarter of the pixels in 64 channels, later of a sixteenth in 256: input, output and two between.
    // Patches are projected in double precision, one image at a time: in floats, three times the pixels and twice the rest.
    let projection = 2 * d * Double(grid.height * grid.width + configuration.patchDim)
    let embedding =
      configuration.stem == nil ? 3 * Double(configuration.inChannels) * pixels + projection : 48 * pixels
    return 2 * 4 * Double(workers) * (layers + embedding)
  }

  /// - Throws: `ModelError.memory` where sessions would take more memory than the machine has.
  /// - Parameter extra: bytes that each session's owner keeps beside it.
  public func checkMemory(batchSize: Int, workers: Int, extra: Double = 0) throws(ModelError) {
    let needed = scratchBytes(batchSize: batchSize, workers: workers) + extra * Double(workers)
    let available = Double(Machine.memoryBytes)
    guard needed <= available else {
      throw .memory(
        size: transform.size, tokens: numTokens, batchSize: batchSize, workers: workers, needed: needed,
        available: available)
    }
  }

  /// The files that the model is mapped from or was read from.
  public var files: [FilePath] {
    Set(tensors.container.tensors.values.map { tensors.container.path(of: $0) }) + configurationFiles
  }

  /// N: tokens of one image.
  public var numTokens: Int { configuration.numPrefixTokens + grid.height * grid.width }
}

extension Checkpoint {
  /// The precision for which the weights were made.
  fileprivate var standardPrecision: Precision {
    quantization?.standardPrecision ?? .fp32
  }
}

extension QuantizationScheme {
  /// The precision that models of the scheme are run in.
  package var standardPrecision: Precision { computesIntegers ? .int8 : .nearFloat }
}

extension Precision {
  /// The fastest one here that rounds nothing but products: bfloat16, or float32 where the variant in use has no products of that.
  static var nearFloat: Precision { bf16.isNative ? .bf16 : .fp32 }
}
