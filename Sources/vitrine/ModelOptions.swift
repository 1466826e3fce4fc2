import ArgumentParser
import Checkpoints
import Images
import Kernels
import Pipeline
import SystemPackage
import VisionTransformer

/// The model and the changes to its preprocessing: shared by every command that reads images.
struct ModelOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "The checkpoint: a local folder, or a .safetensors, .npz, .pth, .pt or .bin file; nothing is downloaded.",
      valueName: "MODEL"))
  var model: PathArgument

  @OptionGroup var architecture: ArchitectureOption

  @OptionGroup var limits: LimitOptions

  @OptionGroup(title: "Preprocessing, instead of the checkpoint's own")
  var preprocessing: PreprocessingOptions

  /// Opens the checkpoint and loads the model; what had to be assumed goes to the terminal.
  /// - Parameters:
  ///   - run: how it will be run; nil where it will not, and no weight is read.
  func load(
    labels: VisionTransformer.Options.LabelSource = .none, run: ComputeOptions?, terminal: Terminal
  ) throws -> VisionTransformer {
    try KernelVariant.validateEnvironment()
    var options = VisionTransformer.Options(
      architecture: architecture.architecture, transform: preprocessing.overrides,
      precision: run?.precision,
      threads: run?.threads.count ?? 1, describesOnly: run == nil, labels: labels)
    options.betweenParts = ProgramMemory.trim
    ProgramMemory.trim()
    let model = try VisionTransformer(Checkpoint(self.model.path, limits: limits.limits), options: options)
    for warning in model.warnings { terminal.logger.warning("\(warning)") }
    ProgramMemory.trim()
    return model
  }
}

extension ModelOptions {
  /// Refuses outputs that would overwrite the model, an input or one another.
  func checkOutputs(_ outputs: [FilePath?], _ model: VisionTransformer, inputs: [PathArgument?]) throws {
    try OutputCheck.check(outputs.compactMap { $0 }, needed: model.files + inputs.compactMap { $0?.path })
  }
}

/// The architecture, where the user knows better.
struct ArchitectureOption: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "timm's name of the architecture; overrules what the checkpoint says.", valueName: "NAME"))
  var architecture: String?
}

/// How much a checkpoint's files may hold: shared by every command that reads one.
struct LimitOptions: ParsableArguments {
  @Option(
    name: .customLong("limit"), parsing: .singleValue,
    help: ArgumentHelp(
      "Let the checkpoint's files hold more than any published model needs: header-bytes, tensors, depth of nesting (at most \(LimitArgument.maxDepth)), or text-bytes of a name. For files that are trusted.",
      valueName: "NAME=N"))
  var changes: [LimitArgument] = []

  var limits: FileLimits {
    var limits = FileLimits.standard
    for change in changes { limits[change.limit] = change.value }
    return limits
  }
}

/// A limit and its value, written `NAME=N`.
struct LimitArgument: ExpressibleByArgument {
  /// What the stack has room for.
  static let maxDepth = 1000

  let limit: FileLimits.Limit
  let value: Int

  init?(argument: String) {
    let parts = argument.split(separator: "=", omittingEmptySubsequences: false)
    guard parts.count == 2, let limit = FileLimits.Limit(rawValue: String(parts[0])),
      let value = Int(parts[1]),
      value > 0, limit != .depth || value <= Self.maxDepth
    else { return nil }
    (self.limit, self.value) = (limit, value)
  }
}

/// Overrides of the checkpoint's own preprocessing.
struct PreprocessingOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Image size in pixels; position embeddings are resampled to it.", valueName: "N|HEIGHTxWIDTH"))
  var size: ImageSize?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Share of the resized image's edge that the crop keeps, above 0, at most 1.", valueName: "F"))
  var cropFraction: Double?

  @Option(
    name: .long,
    help: """
      center: short edge resized, the middle kept; squash: the whole image, out of shape; border: the whole image, padded.
      """)
  var cropMode: CropMode?

  @Option(name: .long, help: "The filter for resizing, as Pillow has it.")
  var interpolation: Interpolation?

  @Option(name: .long, help: ArgumentHelp("Mean of each channel, such as 0.5,0.5,0.5.", valueName: "R,G,B"))
  var mean: ChannelValues?

  @Option(
    name: .long,
    help: ArgumentHelp("Standard deviation of each channel, such as 0.5,0.5,0.5.", valueName: "R,G,B"))
  var std: ChannelValues?

  @Flag(
    name: .customLong("no-exif-orientation"),
    help: "Take pixels as they are stored, not turned upright, as timm does.")
  var ignoresExifOrientation = false

  @Flag(
    name: .long,
    help:
      "Decode JPEG photos to a half, a quarter or an eighth of their sides where that is still as large as they are resized to: faster, but not what the original sees."
  )
  var fastDecode = false

  @Option(
    name: .long,
    help: ArgumentHelp("Refuse images of more pixels, before memory is taken for them.", valueName: "N"))
  var maxPixels = DecodingOptions().maxPixels

  @Option(
    name: .long,
    help: ArgumentHelp("Refuse image files of more bytes, before they are read.", valueName: "N"))
  var maxBytes = DecodingOptions().maxBytes

  func validate() throws {
    guard maxPixels > 0 else { throw ValidationError("--max-pixels must be above 0") }
    guard maxBytes > 0 else { throw ValidationError("--max-bytes must be above 0") }
    if let cropFraction, !(cropFraction > 0 && cropFraction <= 1) {
      throw ValidationError("--crop-fraction must be above 0, and at most 1")
    }
    if let std, !std.values.allSatisfy({ $0 > 0 }) {
      throw ValidationError("--std must be three numbers above 0")
    }
  }

  var overrides: TransformOverrides {
    TransformOverrides(
      size: size, cropFraction: cropFraction, cropMode: cropMode, interpolation: interpolation,
      mean: mean?.values,
      std: std?.values)
  }

  var decoding: DecodingOptions {
    DecodingOptions(
      appliesExifOrientation: !ignoresExifOrientation, maxPixels: maxPixels, maxBytes: maxBytes,
      mayReduce: fastDecode)
  }
}

/// Three numbers, one a channel, written `R,G,B`.
struct ChannelValues: ExpressibleByArgument {
  let values: [Double]

  init?(argument: String) {
    let values = argument.split(separator: ",", omittingEmptySubsequences: false).map {
      Double($0.drop { $0 == " " })
    }
    guard values.count == 3, values.allSatisfy({ $0?.isFinite == true }) else { return nil }
    self.values = values.compactMap { $0 }
  }
}

extension ImageSize: ExpressibleByArgument {
  /// `224`, or `HEIGHTxWIDTH`.
  public init?(argument: String) {
    let sides = argument.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
    guard sides.count <= 2, let height = sides[0], let width = sides.count == 2 ? sides[1] : height,
      (1...16_384).contains(height), (1...16_384).contains(width)
    else { return nil }
    self.init(height: height, width: width)
  }
}

extension CropMode: ExpressibleByArgument {}
extension Interpolation: ExpressibleByArgument {}
