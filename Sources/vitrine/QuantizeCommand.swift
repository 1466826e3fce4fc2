import ArgumentParser
import Checkpoints
import Figures
import Images
import Kernels
import Pipeline
import Quantization
import SystemPackage
import Training
import VisionTransformer

struct Quantize: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Turn a trained model into one of integers, and measure what it costs.",
    discussion: """
      The folder gets model.safetensors with integers for the layers' weights, config.json, and what it cost as \
      quantization.json and, layer by layer, quantization.png. All commands read it as any model; what it is made of is in docs/int8-format.md.

      w8a8: weights and activations in 8 bits, activations at scales found for each token. w8a8-static: at scales \
      calibrated beforehand. w8: 8-bit weights for storage, computed in bfloat16 or float32. w4: 4-bit weights for storage, \
      computed as 8-bit.

      The calibration images should be such as the model will see; 128 are enough, and labels are not needed. Every fifth is \
      held out, and the result compared on these; of fewer than ten, all calibrate and compare. With \
      --min-cosine or --max-drop the layers with the largest errors stay floats until the bound holds.

      Examples:
        vitrine quantize MODEL --calibration photos/ --output DIR
        vitrine quantize MODEL --calibration photos/ --evaluate DATA --max-drop 0.1 --output DIR
      """)

  @Argument(help: ArgumentHelp("The checkpoint, of floats.", valueName: "MODEL"))
  var model: PathArgument

  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp("Images and folders to calibrate with.", valueName: "PATH"))
  var calibration: [PathArgument] = []

  @Option(name: .long, help: ArgumentHelp("The folder; made where it is not there.", valueName: "DIR"))
  var output: PathArgument

  @Option(name: .long, help: "What becomes integers.")
  var scheme = QuantizationScheme.w8a8

  @Option(
    name: .long,
    help: ArgumentHelp("Images that are read for the calibration (default: up to 128).", valueName: "N"))
  var images: Int?

  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp(
      "Layers that stay floats, by timm's names, such as head, blocks.0 or blocks.*.mlp.fc2.",
      valueName: "NAME"
    ))
  var keep: [String] = []

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Keep the worst layers in floats until the mean cosine of the features to float32's is at least this.",
      valueName: "C"))
  var minCosine: Double?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Keep the worst layers in floats until at most so many points of top-1 are lost on --evaluate's images.",
      valueName: "P"))
  var maxDrop: Double?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "A labelled data set, as vitrine evaluate takes it, for top-1 and top-5 before and after.",
      valueName: "DATA"))
  var evaluate: PathArgument?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Names of --evaluate's classes, one a line (default: its own, or its folders' in order).",
      valueName: "FILE"))
  var classes: PathArgument?

  @OptionGroup var labels: LabelsOption

  @Option(name: .long, help: "How w8a8-static finds the range of a layer's input (default: mse).")
  var observer: RangeObserver?

  @Option(
    name: .long,
    help: ArgumentHelp("Weights that share a scale with w4: 32 or 64 (default: 64).", valueName: "N"))
  var groupSize: Int?

  @Flag(
    name: .customLong("no-smoothing"),
    help: "Do not move what is hard to round from the activations into the weights.")
  var leavesOutSmoothing = false

  @Flag(
    name: .customLong("no-bias-correction"),
    help: "Do not take the layers' mean errors out through their biases.")
  var leavesOutBiasCorrection = false

  @Flag(
    name: .customLong("no-compensation"),
    help: "Round each weight to the nearest, without making up for the errors of the others.")
  var leavesOutCompensation = false

  @OptionGroup var architecture: ArchitectureOption

  @OptionGroup var limits: LimitOptions

  @Flag(name: .long, help: "Replace a model that is in the folder.")
  var overwrite = false

  @OptionGroup var threads: ThreadsOption

  @Flag(name: .long, help: "No progress bar or table; warnings and errors are still shown.")
  var quiet = false

  @OptionGroup(title: "Preprocessing for the calibration, instead of the checkpoint's own")
  var preprocessing: PreprocessingOptions

  private static let usualImages = 128
  /// All of them are held in memory.
  private static let maxImages = 10_000

  func validate() throws {
    guard !calibration.isEmpty else { throw ValidationError("give --calibration with images or folders") }
    guard calibration.allSatisfy({ $0.path != "-" }) else {
      throw ValidationError("--calibration takes files and folders, not a list on standard input")
    }
    guard images.map((1...Self.maxImages).contains) ?? true else {
      throw ValidationError("--images must be from 1 to \(Self.maxImages)")
    }
    if let groupSize {
      guard QuantizationGroups.sizes.contains(groupSize) else {
        throw ValidationError("--group-size must be 32 or 64")
      }
      guard scheme == .w4 else { throw ValidationError("--group-size needs --scheme w4") }
    }
    guard observer == nil || scheme == .w8a8Static else {
      throw ValidationError("--observer needs --scheme w8a8-static: the others find ranges as they compute")
    }
    guard !leavesOutSmoothing || scheme.computesIntegers else {
      throw ValidationError("--no-smoothing: \(scheme.rawValue) rounds no activations, and smooths none")
    }
    if let minCosine, !(minCosine > 0 && minCosine <= 1) {
      throw ValidationError("--min-cosine must be above 0, and at most 1")
    }
    guard evaluate != nil || classes == nil && labels.file == nil else {
      throw ValidationError("--classes and --labels are for the images of --evaluate")
    }
    if let maxDrop {
      guard maxDrop >= 0, maxDrop <= 100 else { throw ValidationError("--max-drop must be from 0 to 100") }
      guard evaluate != nil else {
        throw ValidationError("--max-drop needs labelled images: give --evaluate")
      }
    }
  }

  private var quantizationOptions: QuantizationOptions {
    var options = QuantizationOptions()
    options.scheme = scheme
    if let observer { options.observer = observer }
    if let groupSize { options.groupSize = groupSize }
    options.keep = keep
    options.smooths = !leavesOutSmoothing
    options.correctsBiases = !leavesOutBiasCorrection
    options.compensates = !leavesOutCompensation
    (options.minCosine, options.maxDrop) = (minCosine, maxDrop)
    return options
  }

  func run() throws {
    try KernelVariant.validateEnvironment()
    let started = ContinuousClock.now
    let terminal = Terminal(quiet: quiet)
    let cancellation = Signals.install()
    let threadCount = threads.count
    let checkpoint = try Checkpoint(model.path, limits: limits.limits)
    let quantizer = try Quantizer(
      checkpoint, architecture: architecture.architecture, transform: preprocessing.overrides,
      labels: labels.source,
      options: quantizationOptions, threads: threadCount, cancellation: cancellation)
    try checkOutputs(quantizer.model)
    for warning in quantizer.warnings { terminal.logger.warning("\(warning)") }
    do {
      try run(quantizer, threadCount: threadCount, started: started, terminal, cancellation)
    } catch is CancellationError {
      terminal.show(bar: "")
      throw ExitCode(Signals.exitStatus ?? 1)
    }
  }

  private func run(
    _ quantizer: Quantizer, threadCount: Int, started: ContinuousClock.Instant, _ terminal: Terminal,
    _ cancellation: Cancellation
  ) throws {
    defer { terminal.show(bar: "") }
    let calibration = try CalibrationImages(
      self.calibration.map(\.path), count: images ?? Self.usualImages, model: quantizer.model,
      options: .init(threads: threadCount, decoding: preprocessing.decoding), cancellation: cancellation
    ) { terminal.show(bar: ProgressBar.text("reading images", share: $0)) }
    for failure in calibration.failures { terminal.logger.warning("\(failure.path): \(failure.reason)") }
    if let images, calibration.count < images {
      terminal.logger.warning(
        "\(calibration.count) images to calibrate with; --images asks for \(images)")
    }
    let labelled = try labelledImages(quantizer.model, threadCount, terminal, cancellation)
    var labelledFailed = false
    func accuracy(
      _ model: VisionTransformer, on labelled: DatasetRun
    ) throws -> QuantizationReport.Accuracy {
      guard let (summary, evaluation) = try labelled.run(model) else { throw CancellationError() }
      if summary.isCancelled { throw CancellationError() }
      if summary.failed > 0 { labelledFailed = true }
      let report = evaluation.report
      return .init(images: report.images, top1: report.top1 ?? 0, top5: report.top5 ?? 0)
    }
    let result = try quantizer.run(
      calibration,
      accuracy: labelled.map { labelled in { model in try accuracy(model, on: labelled) } },
      progress: { terminal.show(bar: ProgressBar.text($0.rawValue, share: $1)) })
    terminal.show(bar: "")
    let speed = try speed(quantizer.model, result.model, threadCount, cancellation)
    if cancellation.isCancelled { throw CancellationError() }

    var (table, hasChart) = ("", false)
    let notes = try quantizer.write(result, to: output.path, overwriting: overwrite) { bytes in
      let report = quantizer.report(
        result, calibrationImages: calibration.images.count, bytes: bytes,
        imagesPerSecond: speed, seconds: (ContinuousClock.now - started) / .seconds(1))
      table = report.table
      let chart = try Canvas.isAvailable ? QuantizationChart(report: report).figure?.draw().encodedPNG() : nil
      hasChart = chart != nil
      return [(Self.reportName, try JSONValue(encoding: report).document), (Self.chartName, chart)]
    }
    if !Canvas.isAvailable {
      terminal.logger.warning("\(Self.chartName) is not drawn: \(FigureError.unavailable)")
    } else if !hasChart {
      terminal.logger.warning("\(Self.chartName) is not drawn: no layer of the blocks is quantised")
    }
    for note in notes { terminal.logger.warning("\(model.path): \(note)") }
    for (name, reason) in result.kept where reason == .error {
      terminal.logger.info("\(name) stays floats: its error is too large for the bound")
    }
    if !quiet { try StandardStreams.print(table) }
    if !calibration.failures.isEmpty || labelledFailed { throw ExitCode(2) }
  }

  private static let reportName = "quantization.json"
  private static let chartName = "quantization.png"

  private func checkOutputs(_ model: VisionTransformer) throws {
    let reports = [Self.reportName, Self.chartName].map { output.path.appending($0) }
    let files = Quantizer.files(in: output.path) + reports
    try OutputCheck.check(files, needed: model.files + [classes, labels.file].compactMap { $0?.path })
    // Said before the work, not after it.
    try OutputCheck.checkWritable(folder: output.path)
    if !overwrite, let file = files.first(where: { fileStatus($0) != nil }) {
      throw ConversionError.exists(folder: output.path, file: file.lastComponent?.string ?? "")
    }
  }

  private func labelledImages(
    _ model: VisionTransformer, _ threads: Int, _ terminal: Terminal, _ cancellation: Cancellation
  ) throws -> DatasetRun? {
    guard let evaluate else { return nil }
    guard model.configuration.numClasses > 0 else { throw ModelError.noHead(path: model.path) }
    let decoding = preprocessing.decoding
    let source = try DatasetSource(evaluate.path, classes: classes?.path, decoding: decoding)
    return try DatasetRun(
      source, at: evaluate.path, model: model, options: .init(threads: threads, decoding: decoding),
      terminal: terminal, cancellation: cancellation)
  }

  /// Images/s of both in turns.
  private func speed(
    _ model: VisionTransformer, _ quantized: VisionTransformer, _ threads: Int, _ cancellation: Cancellation
  ) throws -> QuantizationReport.Change<Double> {
    var best = (before: 0.0, after: 0.0)
    let options = Benchmark.Options(threads: threads, limit: .seconds(0.5))
    let clock = ContinuousClock()
    let start = clock.now
    // Twice, unless that takes long.
    for round in 0..<2 where !cancellation.isCancelled && (round == 0 || clock.now - start < .seconds(4)) {
      let before = try Benchmark(model, options: options).run(.throughput, cancellation: cancellation)
      let after = try Benchmark(quantized, options: options).run(.throughput, cancellation: cancellation)
      best = (max(best.before, before.imagesPerSecond), max(best.after, after.imagesPerSecond))
    }
    return .init(before: best.before, after: best.after)
  }
}

extension QuantizationScheme: ExpressibleByArgument {}
extension RangeObserver: ExpressibleByArgument {}
