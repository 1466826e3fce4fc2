import Checkpoints
import Images

/// Everything that decides a training but the data and the weights at the start, as its JSON file has it.
///
/// Keys that are left out have the values below; a key that is unknown, or that has no effect beside the others, is refused.
public struct TrainingConfiguration: Codable, Sendable, Equatable {
  /// The version of this form.
  public static let version = 1

  public var version = Self.version
  public var model = Model()
  public var preprocessing = Preprocessing()
  /// What happens to each training image.
  public var augmentation: [AugmentationStep] = []
  /// Mixup and CutMix.
  public var mixing = MixingConfiguration.none
  public var labelSmoothing = 0.0
  public var data = DataSettings()
  public var epochs = 100
  /// Images that go through the network together.
  public var batchSize = 64
  /// Batches whose gradients make one step of the optimiser.
  public var accumulation = 1
  public var seed: UInt64 = 0
  public var optimizer = OptimizerSettings()
  public var schedule = Schedule()
  public var dropout = DropoutRates()
  /// What is not trained: "backbone", all but the heads; nil for nothing.
  public var freeze: Freeze?
  /// Whether activations are computed again in the backward pass: less memory, a third more work.
  public var recompute = false
  /// Of the matrix products: with bf16 both sides are rounded to bfloat16; all else stays in float32.
  public var precision = TrainingPrecision.fp32
  /// Steps between two lines of metrics; 0 for lines of epochs alone.
  public var logEvery = 50
  /// Epochs between two evaluations.
  public var evaluateEvery = 1

  public enum TrainingPrecision: String, NamedChoice, Sendable {
    case fp32
    case bf16
  }

  /// What weights are drawn as; see `Initialization`.
  public enum WeightInitialization: String, NamedChoice, Sendable {
    case timm
    case mimetic
  }

  public enum Freeze: String, NamedChoice, Sendable {
    case backbone
  }

  /// The network, in timm's terms.
  public struct Model: Codable, Sendable, Equatable {
    /// Of timm's table; nil where a model is given to begin with.
    public var architecture: String?
    /// Arguments of timm's constructor. With a model to begin with: `img_size`, to which positions are resampled.
    public var modelArgs: [String: JSONValue] = [:]
    /// The weights at the start where no model is given to begin with.
    public var initialization = WeightInitialization.timm

    enum CodingKeys: String, CodingKey {
      case architecture, initialization
      case modelArgs = "model_args"
    }
  }

  /// What happens to each image in evaluation, and the normalisation in training; nil for that of the model to begin with, or else timm's
  /// values for new models. By timm's names.
  public struct Preprocessing: Codable, Sendable, Equatable {
    public var interpolation: String?
    public var cropFraction: Double?
    public var cropMode: String?
    public var mean: [Double]?
    public var std: [Double]?

    enum CodingKeys: String, CodingKey {
      case interpolation, mean, std
      case cropFraction = "crop_pct"
      case cropMode = "crop_mode"
    }
  }

  public struct DataSettings: Codable, Sendable, Equatable {
    /// Share of the training images that is held out for validation; nil for the part of its own (val/ or test/).
    public var validation: Double?
    /// Unreadable images that are put up with.
    public var maxBadImages = 0
    /// Memory for decoded images, in MiB.
    public var cacheMiB = 1024

    enum CodingKeys: String, CodingKey {
      case validation
      case maxBadImages = "max_bad_images"
      case cacheMiB = "cache_mib"
    }
  }

  enum CodingKeys: String, CodingKey {
    case version, model, preprocessing, augmentation, mixing, data, epochs, accumulation, seed, optimizer
    case schedule, dropout, freeze, recompute, precision
    case labelSmoothing = "label_smoothing"
    case batchSize = "batch_size"
    case logEvery = "log_every"
    case evaluateEvery = "evaluate_every"
  }

  public init() {}

  /// Keys that may be there although their default value is null.
  static let optionalKeys = [
    "model.architecture", "preprocessing.interpolation", "preprocessing.crop_pct", "preprocessing.crop_mode",
    "preprocessing.mean", "preprocessing.std", "data.validation", "optimizer.clip_norm",
    "optimizer.average_decay", "dropout.patch_epochs", "freeze",
  ]

  /// Objects whose keys are checked by those who read them.
  static let openKeys = ["model.model_args", "mixing"]
}

extension OptimizerSettings {
  enum CodingKeys: String, CodingKey {
    case kind, beta1, beta2, epsilon, momentum, nesterov
    case learningRate = "learning_rate"
    case weightDecay = "weight_decay"
    case clipNorm = "clip_norm"
    case layerDecay = "layer_decay"
    case averageDecay = "average_decay"
  }
}

extension Schedule {
  enum CodingKeys: String, CodingKey {
    case kind
    case warmUpEpochs = "warm_up_epochs"
    case warmUpStart = "warm_up_start"
    case finalRate = "final_rate"
    case decayEpochs = "decay_epochs"
    case decayFactor = "decay_factor"
  }
}
