import Checkpoints
import Kernels
import SystemPackage

/// A training: epochs of steps, an evaluation behind each, and a run folder in which all of it can be found, and gone on with.
public final class Trainer {
  public let settings: TrainerSettings
  public let store: ParameterStore
  public private(set) var progress = TrainingProgress()
  private let train: any SampleSource
  private let validation: (any SampleSource)?
  private let folder: RunFolder
  private let modelConfiguration: JSONValue
  private let identity: String
  private let pass: BatchPass
  private let optimizer: Optimizer
  private let report: (TrainingEvent) -> Void
  private var lastState = ContinuousClock.now

  /// - Parameters:
  ///   - store: the weights at the start.
  ///   - validation: what the training is watched by; nil for nothing.
  ///   - modelConfiguration: timm's `config.json` of the model.
  ///   - identity: what must be the same for the run to be resumed.
  ///   - report: told what happens, on the thread that calls `run`.
  /// - Throws: `TrainingError.data` where there are fewer samples than a step takes.
  public init(
    _ settings: TrainerSettings, store: ParameterStore, train: any SampleSource,
    validation: (any SampleSource)?, folder: RunFolder, modelConfiguration: JSONValue, identity: RunIdentity,
    report: @escaping (TrainingEvent) -> Void = { _ in }
  ) throws(TrainingError) {
    self.settings = settings
    self.store = store
    self.train = train
    self.validation = validation
    self.folder = folder
    self.modelConfiguration = modelConfiguration
    self.report = report
    var identity = identity
    identity.add("training samples", train.fingerprint)
    identity.add("validation samples", validation?.fingerprint ?? "none")
    self.identity = identity.text
    pass = BatchPass(
      store, threads: settings.threads, rates: settings.dropout, recomputes: settings.recomputes,
      headOnly: settings.headOnly, precision: settings.precision, seed: settings.seed)
    optimizer = Optimizer(settings.optimizer, threads: settings.threads, headOnly: settings.headOnly)
    guard stepsPerEpoch > 0 else {
      throw .data(
        reason: "\(train.count) images are fewer than a step takes: batches of \(settings.batchSize)"
          + (settings.accumulation > 1 ? ", \(settings.accumulation) of them" : ""))
    }
  }

  /// Samples that one step of the optimiser sees.
  private var samplesPerStep: Int { settings.batchSize * settings.accumulation }
  /// What does not fill a step is left out; which samples these are differs from epoch to epoch.
  public var stepsPerEpoch: Int { train.count / samplesPerStep }
  public var totalSteps: Int { stepsPerEpoch * settings.epochs }

  /// What became of a run.
  public enum Outcome: Sendable, Equatable {
    case finished
    /// Stopped by the user; the state is written.
    case cancelled
  }

  /// Trains to the end, or until cancelled.
  /// - Parameters:
  ///   - resuming: whether the folder's state is gone on with; otherwise a new run is begun.
  ///   - isCancelled: asked after each step, and between the batches of an evaluation.
  /// - Throws: `TrainingError.diverged` where the loss is not finite, `CheckpointError` and `TrainingError.run` where the folder cannot be
  ///   written, and what the samples' source throws. The last state that was written stays.
  public func run(resuming: Bool, isCancelled: () -> Bool = { false }) throws -> Outcome {
    try folder.create()
    if resuming {
      progress = try folder.readState(into: store, identity: identity)
    } else {
      store.resetAverages()
    }
    let metrics = try MetricsLog(folder.metrics, keeping: progress.metricsBytes)
    let board = settings.writesTensorBoard ? try TensorBoardFile(folder: folder.tensorBoard) : nil
    if resuming {
      // A kill between the two may have left the model of an earlier or a later epoch.
      if progress.epoch > 0, progress.stepInEpoch == 0 { try writeLast() }
    } else {
      try saveState(metrics)
    }
    report(.began(progress, stepsPerEpoch: stepsPerEpoch, totalSteps: totalSteps))
    while progress.epoch < settings.epochs {
      if try trainEpoch(metrics, board, isCancelled) == .cancelled { return .cancelled }
      if try finishEpoch(metrics, board, isCancelled) == .cancelled { return .cancelled }
    }
    return .finished
  }

  // MARK: An epoch

  private func trainEpoch(
    _ metrics: MetricsLog, _ board: TensorBoardFile?, _ isCancelled: () -> Bool
  ) throws -> Outcome {
    let loader = loader(train, requests: AnyIterator(requests()))
    defer { loader.stop() }
    while progress.stepInEpoch < stepsPerEpoch {
      let start = ContinuousClock.now
      let (totals, norm, rate) = try step(loader)
      let seconds = (ContinuousClock.now - start) / .seconds(1)
      progress.step += 1
      progress.stepInEpoch += 1
      progress.totals += totals
      progress.seconds += seconds
      report(
        .step(
          progress, loss: totals.meanLoss, rate: rate, imagesPerSecond: Double(totals.samples) / seconds))
      if settings.logEvery > 0, progress.step.isMultiple(of: settings.logEvery) {
        let line = MetricsLine(
          .step, step: progress.step, epoch: progress.epoch + 1,
          values: [
            ("train_loss", totals.meanLoss), ("learning_rate", rate), ("gradient_norm", norm),
            ("images_per_second", Double(totals.samples) / seconds),
          ])
        try metrics.append(line)
        try board?.append(
          step: progress.step,
          scalars: [
            ("loss/step", totals.meanLoss), ("learning_rate", rate), ("gradient_norm", norm),
          ])
      }
      if isCancelled() {
        try saveState(metrics)
        return .cancelled
      }
      if (ContinuousClock.now - lastState) / .seconds(1) >= settings.stateSeconds {
        try saveState(metrics)
      }
    }
    return .finished
  }

  /// The batches of the rest of the epoch.
  private func requests() -> some IteratorProtocol<BatchLoader.Request> {
    let (epoch, first) = (progress.epoch, progress.stepInEpoch * settings.accumulation)
    let order = EpochOrder.permutation(count: train.count, seed: settings.seed, epoch: epoch)
    let size = settings.batchSize
    let perEpoch = stepsPerEpoch * settings.accumulation
    return (first..<perEpoch).lazy.map { batch in
      BatchLoader.Request(
        indices: Array(order[batch * size..<(batch + 1) * size]), epoch: epoch,
        step: epoch * perEpoch + batch)
    }.makeIterator()
  }

  /// One step of the optimiser.
  private func step(_ loader: BatchLoader) throws -> (totals: Totals, norm: Double, rate: Double) {
    pass.resetGradients()
    var totals = Totals()
    for part in 0..<settings.accumulation {
      guard let batch = try loader.next() else { throw TrainingError.data(reason: "the samples ended early") }
      totals += pass.accumulate(
        batch, weight: 1 / Float(samplesPerStep), step: progress.step,
        firstSample: part * settings.batchSize, epoch: progress.epoch)
    }
    let rate = settings.schedule.rate(
      step: progress.step, stepsPerEpoch: stepsPerEpoch, totalSteps: totalSteps,
      peak: settings.optimizer.learningRate)
    guard totals.loss.isFinite else { throw diverged(totals.meanLoss) }
    let norm = optimizer.step(store, step: progress.step, rate: rate)
    guard norm.isFinite else { throw diverged(norm) }
    return (totals, norm, rate)
  }

  private func diverged(_ loss: Double) -> TrainingError {
    .diverged(step: progress.step + 1, loss: loss, checkpoint: folder.hasModel ? folder.last : nil)
  }

  /// Evaluates and writes what belongs to an epoch.
  private func finishEpoch(
    _ metrics: MetricsLog, _ board: TensorBoardFile?, _ isCancelled: () -> Bool
  ) throws -> Outcome {
    let epoch = progress.epoch + 1
    var values: [(name: String, value: Double)] = [
      ("train_loss", progress.totals.meanLoss), ("train_top1", progress.totals.top1Share),
      ("train_top5", progress.totals.top5Share),
    ]
    var isBest = false
    if let validation, epoch == settings.epochs || epoch.isMultiple(of: settings.evaluateEvery) {
      guard let totals = try evaluate(validation, isCancelled: isCancelled) else {
        // The state behind the epoch's last step: who goes on from it evaluates first.
        try saveState(metrics)
        return .cancelled
      }
      guard totals.samples > 0 else {
        throw TrainingError.data(reason: "none of the \(validation.count) validation images can be read")
      }
      values += [
        ("validation_loss", totals.meanLoss), ("validation_top1", totals.top1Share),
        ("validation_top5", totals.top5Share),
      ]
      isBest = totals.top1Share > progress.bestTop1 ?? -1
      if isBest { (progress.bestTop1, progress.bestEpoch) = (totals.top1Share, epoch) }
    }
    let rate = settings.schedule.rate(
      step: progress.step - 1, stepsPerEpoch: stepsPerEpoch, totalSteps: totalSteps,
      peak: settings.optimizer.learningRate)
    values += [
      ("learning_rate", rate), ("seconds", (progress.seconds * 10).rounded() / 10),
    ]
    try metrics.append(MetricsLine(.epoch, step: progress.step, epoch: epoch, values: values))
    try board?.append(
      step: progress.step,
      scalars: values.map { name, value in
        (
          name.replacingFirst("train_", with: "train/").replacingFirst("validation_", with: "validation/"),
          value
        )
      })
    progress.epoch = epoch
    progress.stepInEpoch = 0
    let finished = progress
    progress.totals = Totals()
    if isBest { try folder.writeModel(store, configuration: modelConfiguration, to: folder.best) }
    try writeLast()
    try saveState(metrics)
    report(.epoch(finished, values: values, isBest: isBest))
    return .finished
  }

  /// The sums over all samples of a source, with the weights that the result is made of; nil where it was cancelled.
  private func evaluate(_ source: any SampleSource, isCancelled: () -> Bool) throws -> Totals? {
    let size = max(32, settings.batchSize)
    let (count, epoch) = (source.count, progress.epoch)
    let requests = stride(from: 0, to: count, by: size).lazy.map { first in
      BatchLoader.Request(indices: Array(first..<min(first + size, count)), epoch: epoch, step: nil)
    }
    let loader = loader(source, requests: AnyIterator(requests.makeIterator()))
    defer { loader.stop() }
    var totals = Totals()
    while let batch = try loader.next() {
      if isCancelled() { return nil }
      totals += pass.evaluate(batch)
    }
    return totals
  }

  private func loader(_ source: any SampleSource, requests: AnyIterator<BatchLoader.Request>) -> BatchLoader {
    let c = store.layout.architecture.configuration
    return BatchLoader(
      source, pixelCount: c.inChannels * c.imageSize.height * c.imageSize.width, requests: requests,
      threads: settings.threads)
  }

  // MARK: The folder

  private func writeLast() throws {
    try folder.writeModel(store, configuration: modelConfiguration, to: folder.last)
  }

  private func saveState(_ metrics: MetricsLog) throws {
    try metrics.synchronize()
    progress.metricsBytes = metrics.byteCount
    if train.hasLeftOut || validation?.hasLeftOut == true { progress.hasLeftOut = true }
    try folder.writeState(store, progress: progress, identity: identity)
    lastState = ContinuousClock.now
  }
}

/// What a training tells while it goes on.
public enum TrainingEvent: Sendable {
  case began(TrainingProgress, stepsPerEpoch: Int, totalSteps: Int)
  case step(TrainingProgress, loss: Double, rate: Double, imagesPerSecond: Double)
  case epoch(TrainingProgress, values: [(name: String, value: Double)], isBest: Bool)
}

extension String {
  fileprivate func replacingFirst(_ prefix: String, with other: String) -> String {
    hasPrefix(prefix) ? other + dropFirst(prefix.count) : self
  }
}
