import Checkpoints
import Images
import Kernels
import SystemPackage
import VisionTransformer

/// A configuration, data and perhaps a model to begin with, made into everything that a `Trainer` takes.
public struct TrainingSetup {
  public let configuration: TrainingConfiguration
  public let store: ParameterStore
  public let train: DatasetSamples
  public let validation: DatasetSamples?
  /// timm's `config.json` of the model.
  public let modelConfiguration: JSONValue
  public let identity: RunIdentity
  /// What the user should know, one sentence each.
  public let notes: [String]

  /// - Parameters:
  ///   - path: where the configuration lies; for messages.
  ///   - data: the data set.
  ///   - model: a checkpoint to begin with; nil for weights drawn at random.
  ///   - limits: what that checkpoint's files are held to.
  ///   - threads: for drawing weights.
  ///   - reportBadImage: told of each image that cannot be read.
  /// - Throws: `TrainingError`, and what opening data and model throws.
  public init(
    _ configuration: TrainingConfiguration, path: FilePath, data: DatasetSource, model: FilePath?,
    limits: FileLimits = .standard, threads: Int,
    reportBadImage: @escaping @Sendable (_ name: String, _ reason: String) -> Void
  ) throws {
    self.configuration = configuration
    let sets = try data.trainingSets(validationShare: configuration.data.validation, seed: configuration.seed)
    let classes = sets.train.classNames
    let source = try model.map {
      try TimmSource($0, architecture: configuration.model.architecture, limits: limits)
    }
    let timm = try Self.model(configuration, source: source, numClasses: classes.count, path: path)
    let architecture = try TrainableArchitecture(timm)
    guard architecture.configuration.inChannels == 3 else {
      throw TrainingError.notTrainable(part: "a network of \(architecture.configuration.inChannels) channels")
    }
    try Self.checkMemory(architecture.configuration, moments: configuration.optimizer.moments)
    store = ParameterStore(
      ParameterLayout(architecture), moments: configuration.optimizer.moments,
      averages: configuration.optimizer.averageDecay != nil)
    let fresh = try Self.initialize(
      store, from: source, timm: timm, as: configuration.model.initialization, seed: configuration.seed,
      threads: threads)
    notes =
      (source?.notes ?? [])
      + (fresh.isEmpty || source == nil
        ? [] : ["drawn at random, not taken from the model: \(fresh.joined(separator: ", "))"])

    let transform = try Self.transform(
      configuration, source: source, size: architecture.configuration.imageSize)
    let bytes = configuration.data.cacheMiB << 20
    let badImages = BadImages(limit: configuration.data.maxBadImages, report: reportBadImage)
    let cached = sets.validation == nil ? 1 : 2
    func tolerant(_ dataset: any ImageDataset) -> TolerantDataset {
      TolerantDataset(bytes > 0 ? CachedDataset(dataset, limit: bytes / cached) : dataset, badImages)
    }
    let augmentation = try TrainingTransform(
      configuration.augmentation, size: transform.size, mean: transform.normalization.mean,
      std: transform.normalization.std)
    let seed = configuration.seed
    train = DatasetSamples(
      tolerant(sets.train), .augmentation(augmentation), mixing: BatchMixing(configuration.mixing),
      labelSmoothing: Float(configuration.labelSmoothing), seed: seed)
    validation = sets.validation.map {
      DatasetSamples(tolerant($0), .evaluation(transform), seed: seed)
    }
    modelConfiguration = Self.timmConfiguration(timm, transform: transform, classes: classes)

    var identity = RunIdentity()
    for (key, value) in try JSONValue(encoding: configuration).object ?? [:] {
      // Lines of metrics and the way the gradients are computed may change.
      guard !["log_every", "recompute"].contains(key) else { continue }
      identity.add(key, try Self.text(Self.identifying(value, of: key)))
    }
    identity.add("model_args", try Self.text(.object(timm.arguments)))
    identity.add("pretrained_cfg", try Self.text(modelConfiguration["pretrained_cfg"] ?? .null))
    self.identity = identity
  }

  /// Without keys that change nothing in the results, and without those that came when there were runs already, where they have no effect, so
  /// that these runs go on.
  private static func identifying(_ value: JSONValue, of key: String) -> JSONValue {
    guard var members = value.object else { return value }
    for name in RunIdentity.indifferent[key] ?? [] { members[name] = nil }
    let later: [String: JSONValue] =
      switch key {
      case "model": ["initialization": .string(TrainingConfiguration.WeightInitialization.timm.rawValue)]
      case "dropout": ["patch": .number(0)]
      default: [:]
      }
    for (name, value) in later where members[name] == value { members[name] = nil }
    return .object(members)
  }

  private static func text(_ value: JSONValue) throws -> String { try value.compactText }

  /// The network that is trained.
  private static func model(
    _ configuration: TrainingConfiguration, source: TimmSource?, numClasses: Int, path: FilePath
  ) throws -> TimmModel {
    guard let architecture = source?.architecture ?? configuration.model.architecture else {
      throw TrainingError.configuration(
        key: "model.architecture", reason: "give one of timm's architectures here, or a model with --from")
    }
    var arguments = (source?.arguments ?? [:]).merging(configuration.model.modelArgs) { $1 }
    if let given = arguments["num_classes"], source == nil, given != .number(Double(numClasses)) {
      throw TrainingError.configuration(
        key: "model.model_args.num_classes",
        reason: "\(try text(given)), but the data set has \(numClasses) classes; leave it out")
    }
    arguments["num_classes"] = .number(Double(numClasses))
    return try TimmModel(architecture: architecture, arguments: arguments, path: path)
  }

  /// Refuses a model whose weights, gradients and moments the machine has no memory for.
  private static func checkMemory(
    _ c: ViTConfiguration, moments: ParameterStore.Moments
  ) throws(TrainingError) {
    let (width, inner) = (Double(c.embedDim), Double(c.mlpDim) * (c.gatedMLP ? 3 : 2))
    let count = Double(c.depth) * width * (4 * width + inner) + width * Double(c.numClasses)
    let bytes = 4 * count * (moments == .two ? 4 : 3)
    let available = Double(Machine.addressBytes)
    guard bytes <= available else {
      throw .data(
        reason:
          "a model of this size takes \(ModelError.gigabytes(bytes)) and more to train, but there are only "
          + "\(ModelError.gigabytes(available)); give a smaller embed_dim or depth")
    }
  }

  /// Draws the weights, and takes those of the source.
  /// - Returns: the names of tensors that the source does not have in this form.
  private static func initialize(
    _ store: ParameterStore, from source: TimmSource?, timm: TimmModel,
    as initialization: TrainingConfiguration.WeightInitialization, seed: UInt64, threads: Int
  ) throws -> [String] {
    Initialization.initialize(store, seed: seed, layerScale: timm.layerScale)
    guard let source else {
      if initialization == .mimetic {
        Initialization.imitateTrained(store, seed: seed, pool: ThreadPool(threadCount: threads))
      }
      return store.layout.savedTensors.map(\.name)
    }
    guard initialization == .timm else {
      throw TrainingError.configuration(
        key: "model.initialization",
        reason: "the weights are those of the model given to begin with; leave this out")
    }
    let configuration = store.layout.architecture.configuration
    var fresh: [String] = []
    for tensor in store.layout.savedTensors {
      guard let values = try source.values(of: tensor, configuration) else {
        fresh.append(tensor.name)
        continue
      }
      store.withElements(of: tensor) { _ = $0.update(fromContentsOf: values) }
    }
    return fresh
  }

  /// What happens to images in evaluation.
  private static func transform(
    _ configuration: TrainingConfiguration, source: TimmSource?, size: ImageSize
  ) throws -> EvaluationTransform {
    // timm's values for new models, but the whole image: what a small network is fed has no margin to spare.
    var values =
      source?.preprocessing
      ?? TimmPretrainedConfiguration(
        interpolation: "bicubic", cropFraction: 1, cropMode: "center", mean: [0.5, 0.5, 0.5],
        std: [0.5, 0.5, 0.5])
    let given = configuration.preprocessing
    values.inputSize = [3, size.height, size.width]
    values.interpolation = given.interpolation ?? values.interpolation
    values.cropFraction = given.cropFraction ?? values.cropFraction
    values.cropMode = given.cropMode ?? values.cropMode
    values.mean = given.mean ?? values.mean
    values.std = given.std ?? values.std
    do {
      return try EvaluationTransform(timm: values)
    } catch {
      throw TrainingError.configuration(key: "preprocessing.\(error.field)", reason: "\(error)")
    }
  }

  /// timm's `config.json`.
  private static func timmConfiguration(
    _ model: TimmModel, transform: EvaluationTransform, classes: [String]
  ) -> JSONValue {
    func number(_ value: Int) -> JSONValue { .number(Double(value)) }
    let (c, timm) = (model.configuration, transform.timmConfiguration)
    let size = c.imageSize
    return .object([
      "architecture": .string(model.architecture), "num_classes": number(c.numClasses),
      "num_features": number(c.embedDim), "global_pool": .string(c.globalPool.rawValue),
      "model_args": .object(
        model.arguments.merging(["img_size": .array([number(size.height), number(size.width)])]) { $1 }),
      "label_names": .array(classes.map(JSONValue.string)),
      "pretrained_cfg": .object([
        "custom_load": .bool(false), "num_classes": number(c.numClasses),
        "input_size": .array([number(c.inChannels), number(size.height), number(size.width)]),
        "fixed_input_size": .bool(model.arguments["dynamic_img_size"]?.bool != true),
        "interpolation": .string(transform.interpolation.rawValue),
        "crop_pct": .number(timm.cropFraction ?? 1), "crop_mode": .string(timm.cropMode ?? "center"),
        "mean": .array((timm.mean ?? []).map(JSONValue.number)),
        "std": .array((timm.std ?? []).map(JSONValue.number)), "pool_size": .null,
        "first_conv": .string("patch_embed.proj"),
        "classifier": c.hasDistillationHead
          ? .array([.string("head"), .string("head_dist")]) : .string("head"),
      ]),
    ])
  }
}
