import ArgumentParser
import Checkpoints
import Kernels
import Pipeline
import SystemPackage
import Training

struct Train: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train a model from scratch, or fine-tune one.",
    discussion: """
      DATA is a folder of class folders (perhaps in train/, val/ and test/), or CIFAR-10 or CIFAR-100 as published.

      The run's folder receives config.json, metrics.jsonl, a picture of it in history.png, and the models last/ and best/ in timm's form. A run that was \
      interrupted, or killed at any moment, goes on with --resume to the same weights, bit by bit.
      """)

  @Option(
    name: .long,
    help: ArgumentHelp("The configuration, such as samples/configs/cifar10-small.json.", valueName: "C.json"))
  var config: FileArgument?

  @Option(name: .long, help: ArgumentHelp("The data set.", valueName: "DATA"))
  var data: PathArgument

  @Option(name: .long, help: ArgumentHelp("The run's folder.", valueName: "RUN"))
  var output: PathArgument

  @Option(name: .long, help: ArgumentHelp("A model to begin with.", valueName: "MODEL"))
  var from: PathArgument?

  @OptionGroup var limits: LimitOptions

  @Option(
    name: .long, parsing: .singleValue,
    help: ArgumentHelp(
      "Change a key of the configuration, such as optimizer.learning_rate=0.0005.", valueName: "key=value"))
  var set: [String] = []

  @Option(name: .long, help: "Train the heads alone: a linear probe.")
  var freeze: TrainingConfiguration.Freeze?

  @Flag(name: .long, help: "Compute activations again in the backward pass: less memory, a third more work.")
  var recompute = false

  @Option(name: .long, help: "Arithmetic of the matrix products: fp32, or bf16 with weights in fp32.")
  var precision: TrainingConfiguration.TrainingPrecision?

  @Option(name: .long, help: ArgumentHelp("Unreadable images to put up with.", valueName: "N"))
  var maxBadImages: Int?

  @Flag(name: .long, help: "Go on with the run in --output where it stopped.")
  var resume = false

  @Flag(name: .long, help: "Also write event files for TensorBoard, in RUN/tensorboard.")
  var tensorboard = false

  @OptionGroup var threads: ThreadsOption

  @Flag(
    name: .long, help: "No progress bar and no lines for the epochs; warnings and errors are still shown.")
  var quiet = false

  func validate() throws {
    if !resume, config == nil { throw ValidationError("give --config, or --resume with a run in --output") }
  }

  func run() throws {
    try KernelVariant.validateEnvironment()
    let terminal = Terminal(quiet: quiet)
    let cancellation = Signals.install()
    let folder = RunFolder(output.path)
    if resume {
      guard folder.isUsed else {
        throw TrainingError.run(
          path: folder.path, reason: "no run to go on with: there is no \(folder.configuration)")
      }
    } else if folder.isUsed {
      throw TrainingError.run(
        path: folder.path, reason: "there is a run already; go on with --resume, or name another folder")
    }
    let (configuration, path, model) = try readConfiguration(folder)
    let logger = terminal.logger
    let threads = threads.count
    let setup = try TrainingSetup(
      configuration, path: path, data: DatasetSource(data.path), model: model, limits: limits.limits,
      threads: threads
    ) { name, reason in
      logger.warning("\(name): \(reason); skipped")
    }
    for note in setup.notes { logger.info("\(note)") }
    if setup.validation == nil {
      logger.warning("no validation images: there is no val/ or test/, and no data.validation")
    }

    var settings = TrainerSettings(configuration)
    settings.threads = threads
    settings.writesTensorBoard = tensorboard
    let display = TrainingDisplay(terminal)
    let picture = HistoryPicture(folder, logger)
    let trainer = try Trainer(
      settings, store: setup.store, train: setup.train, validation: setup.validation, folder: folder,
      modelConfiguration: setup.modelConfiguration, identity: setup.identity
    ) { event in
      display.show(event)
      if case .epoch = event { picture.refresh() }
    }
    // A run that was killed before its first state has nothing to go on with: it begins anew.
    let goesOn = resume && folder.hasState
    if !goesOn {
      try folder.create()
      try RunRecord(configuration: configuration, from: model).write(to: folder.configuration)
      logger.info(
        "\(setup.store.layout.count) parameters, \(setup.train.count) training images, \(trainer.totalSteps) steps"
      )
    }
    let outcome = try trainer.run(resuming: goesOn) { cancellation.isCancelled }
    display.finish()
    if outcome == .cancelled {
      logger.warning("interrupted after step \(trainer.progress.step); go on with --resume")
      throw ExitCode(Signals.exitStatus ?? 130)
    }
    if let top1 = trainer.progress.bestTop1, let epoch = trainer.progress.bestEpoch {
      logger.info("best: epoch \(epoch), top-1 \(TrainingDisplay.percent(top1)); \(folder.best)")
    }
    if trainer.progress.hasLeftOut == true { throw ExitCode(2) }
  }

  /// The configuration with the changes of the command line: the run's own where it is gone on with.
  private func readConfiguration(
    _ folder: RunFolder
  ) throws -> (TrainingConfiguration, path: FilePath, model: FilePath?) {
    var changes = set
    if let freeze { changes.append("freeze=\"\(freeze.rawValue)\"") }
    if let precision { changes.append("precision=\"\(precision.rawValue)\"") }
    if recompute { changes.append("recompute=true") }
    if let maxBadImages { changes.append("data.max_bad_images=\(maxBadImages)") }
    let record = resume ? try RunRecord(reading: folder.configuration) : nil
    let path = config?.path ?? folder.configuration
    let document = try config.map { try RunRecord.document($0.path) } ?? record?.document ?? .object([:])
    return (
      try TrainingConfiguration(document, changes: changes), path,
      // A run can be gone on with from anywhere.
      model: from.map { absolute($0.path) } ?? record?.model
    )
  }
}

extension TrainingConfiguration.Freeze: ExpressibleByArgument {}
extension TrainingConfiguration.TrainingPrecision: ExpressibleByArgument {}
