import ArgumentParser
import Checkpoints
import Images
import Kernels
import Pipeline
import SystemPackage
import VisionTransformer

struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure how fast a model runs here: images/s, latency, share of what the cores can do.",
    discussion: """
      The network alone is measured, on random images that are in memory and prepared; nothing is read but the \
      weights. Two batches of each thread come first and do not count.

      throughput: each thread carries whole batches of its own, as classify does over many images; images/s and GFLOP/s \
      are from here. latency: all threads share the layers of one batch, and the next comes when it is through, as \
      classify does with a single image; the percentiles are from here. With one thread the two are the same, and are \
      measured once.

      The peak is what the same number of threads reaches by multiply-adds in registers, measured before and after. \
      The machine should be idle: what others compute meanwhile shows in all other figures.

      Examples:
        vitrine bench --architecture vit_base_patch16_224 --batch-size 8
        vitrine bench --model FOLDER --threads 1 --profile
      """)

  @Option(
    name: .long, help: ArgumentHelp("The checkpoint: a local folder or file.", valueName: "MODEL"))
  var model: PathArgument?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "timm's name of an architecture. With --model it overrules what the checkpoint says; alone it stands for a model of random weights.",
      valueName: "NAME"))
  var architecture: String?

  @OptionGroup var limits: LimitOptions

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Image size in pixels; position embeddings are resampled to it.", valueName: "N|HEIGHTxWIDTH"))
  var size: ImageSize?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Arithmetic of the network (default: fp32, or what a quantised model was made for).",
      valueName: "precision"))
  var precision: Precision?

  @Option(name: .long, help: ArgumentHelp("Images that go through the network together.", valueName: "N"))
  var batchSize = 1

  @OptionGroup var threads: ThreadsOption

  @Option(name: .long, help: "What to measure.")
  var mode = Mode.both

  @Option(name: .long, help: ArgumentHelp("Duration of each measurement (default: 3).", valueName: "S"))
  var seconds: Double?

  @Option(
    name: .long, help: ArgumentHelp("Batches of each measurement, instead of a duration.", valueName: "N"))
  var iterations: Int?

  @Flag(name: .long, help: "Also say which operations the time goes to.")
  var profile = false

  @Flag(name: .long, help: "Print one JSON object.")
  var json = false

  @Flag(name: .long, help: "No progress bar or notes; warnings and errors are still shown.")
  var quiet = false

  enum Mode: String, ExpressibleByArgument, CaseIterable {
    case both, throughput, latency
  }

  func validate() throws {
    guard model != nil || architecture != nil else {
      throw ValidationError("give --model, or --architecture for a model of random weights")
    }
    guard (1...1024).contains(batchSize) else { throw ValidationError("--batch-size must be from 1 to 1024") }
    guard seconds == nil || iterations == nil else {
      throw ValidationError("give --seconds or --iterations, not both")
    }
    if let seconds, !(seconds > 0 && seconds <= 86_400) {
      throw ValidationError("--seconds must be above 0, and at most 86400")
    }
    if let iterations, !(1...1_000_000_000).contains(iterations) {
      throw ValidationError("--iterations must be above 0")
    }
  }

  func run() throws {
    let terminal = Terminal(quiet: quiet)
    let cancellation = Signals.install()
    let started = ContinuousClock.now
    let model = try load(terminal)
    let loading = (ContinuousClock.now - started) / .seconds(1)
    let threads = self.threads.count
    let benchmark = Benchmark(
      model,
      options: .init(
        threads: threads, batchSize: batchSize,
        limit: iterations.map { .batches($0) } ?? .seconds(seconds ?? 3), measuresOperations: profile))

    let precision = model.precision
    var peak = Peak.measure(precision, threads: threads, repetitions: 3)
    var results: [BenchmarkResult] = []
    for mode in modes(threads: threads) {
      defer { terminal.show(bar: "") }
      results.append(
        try benchmark.run(mode, cancellation: cancellation) { share in
          terminal.show(bar: ProgressBar.text(mode.rawValue, share: share))
        })
    }
    if let status = Signals.exitStatus { throw ExitCode(status) }
    // The better of two, one at each end: between them the machine may have changed its mind.
    if let later = Peak.measure(precision, threads: threads, repetitions: 3) {
      peak = peak.map { $0.gflops > later.gflops ? $0 : later } ?? later
    }
    let report = BenchReport(
      model, precision: precision, threads: threads, loading: loading, results: results, peak: peak)
    try StandardStreams.print(json ? report.json : report.text)
  }

  private func modes(threads: Int) -> [Benchmark.Mode] {
    switch mode {
    case .throughput: [.throughput]
    case .latency: [.latency]
    case .both: threads == 1 ? [.latency] : [.throughput, .latency]
    }
  }

  private func load(_ terminal: Terminal) throws -> VisionTransformer {
    try KernelVariant.validateEnvironment()
    let options = VisionTransformer.Options(
      architecture: architecture, transform: TransformOverrides(size: size), precision: precision,
      threads: threads.count, labels: .none)
    guard let path = self.model?.path else {
      return try VisionTransformer(randomWeightsOf: architecture ?? "", options: options)
    }
    let model = try VisionTransformer(Checkpoint(path, limits: limits.limits), options: options)
    for warning in model.warnings { terminal.logger.warning("\(warning)") }
    return model
  }
}
