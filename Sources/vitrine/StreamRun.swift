import ArgumentParser
import Images
import Kernels
import Pipeline
import Synchronization
import VisionTransformer

/// One run of inputs through the network with what the terminal shows of it: progress, and errors as they come.
struct StreamRun {
  let model: VisionTransformer
  let options: InferencePipeline.Options
  let terminal: Terminal
  let cancellation: Cancellation

  /// Runs the inputs.
  /// - Parameters:
  ///   - looksAhead, infer, deliver: see `InferencePipeline.run`.
  /// - Returns: nil where the reader of the results has closed the pipe.
  /// - Throws: what `deliver` throws but a closed pipe.
  func run<Value: Sendable>(
    _ inputs: some IteratorProtocol<Input>, looksAhead: Bool, progress: ProgressBar,
    infer: @escaping @Sendable (InferenceSession, [Image]) -> [Value?],
    deliver: @escaping (InferencePipeline.Item<Value>) throws -> Void
  ) throws -> InferencePipeline.Summary? {
    let deliver = telling(progress, deliver)
    return try watched(progress) { pipeline in
      try pipeline.run(
        inputs, looksAhead: looksAhead, cancellation: cancellation, keepsPhotos: false,
        worker: trimming(pipeline.worker(infer)), deliver: deliver)
    }
  }

  /// The same with workers of the caller's making, which are given the images as they were decoded, too.
  /// - Parameters:
  ///   - workerBytes: see `InferencePipeline.Options`.
  ///   - worker: see `InferencePipeline.run`.
  func run<Value: Sendable>(
    _ inputs: some IteratorProtocol<Input>, looksAhead: Bool, progress: ProgressBar, workerBytes: Double,
    worker: @escaping @Sendable (Compute) -> InferencePipeline.Work<Value>,
    deliver: @escaping (InferencePipeline.Item<Value>) throws -> Void
  ) throws -> InferencePipeline.Summary? {
    let deliver = telling(progress, deliver)
    return try watched(progress) { pipeline in
      var pipeline = pipeline
      pipeline.options.workerBytes = workerBytes
      return try pipeline.run(
        inputs, looksAhead: looksAhead, cancellation: cancellation, keepsPhotos: true,
        worker: trimming(worker), deliver: deliver)
    }
  }

  /// Trims the program's memory where the first worker starts, and around the first batch.
  private func trimming<Value>(
    _ worker: @escaping @Sendable (Compute) -> InferencePipeline.Work<Value>
  ) -> @Sendable (Compute) -> InferencePipeline.Work<Value> {
    let (isFirstWorker, isFirstBatch) = (FirstCall(), FirstCall())
    return { compute in
      if isFirstWorker.take() { ProgramMemory.trim() }
      let work = worker(compute)
      return { photos, prepared in
        guard isFirstBatch.take() else { return work(photos, prepared) }
        ProgramMemory.trim()
        defer { ProgramMemory.trim() }
        return work(photos, prepared)
      }
    }
  }

  private func watched(
    _ progress: ProgressBar, _ run: (InferencePipeline) throws -> InferencePipeline.Summary
  ) throws -> InferencePipeline.Summary? {
    defer { progress.finish() }
    do {
      return try run(InferencePipeline(model: model, options: options))
    } catch PipelineError.closedPipe {
      return nil
    }
  }

  /// Shows progress, and errors as they come, before each result goes on.
  private func telling<Value>(
    _ progress: ProgressBar, _ deliver: @escaping (InferencePipeline.Item<Value>) throws -> Void
  ) -> (InferencePipeline.Item<Value>) throws -> Void {
    let terminal = terminal
    return { item in
      if case .failure(let error) = item.outcome {
        terminal.logger.error("\(item.path): \(error)")
        progress.advance(failed: true)
      } else {
        progress.advance(failed: false)
      }
      try deliver(item)
    }
  }

  /// Says how many images there were, where somebody watches.
  func report(_ summary: InferencePipeline.Summary, progress: ProgressBar) {
    guard terminal.isInteractive, summary.processed > 1 else {
      if summary.isCancelled { terminal.logger.warning("interrupted after \(summary.processed) images") }
      return
    }
    let failed = summary.failed > 0 ? ", \(summary.failed) failed" : ""
    let stopped = summary.isCancelled ? ", interrupted" : ""
    terminal.logger.info(
      "\(summary.processed) images, \(progress.rate(of: summary.processed))\(failed)\(stopped)")
  }

  /// The exit status of a run that was interrupted or in which images failed; nil for one that was not.
  /// - Parameter failedBefore: images that failed in an earlier run, continued by this one.
  static func status(_ summary: InferencePipeline.Summary, failedBefore: Int = 0) -> ExitCode? {
    if let status = Signals.exitStatus, summary.isCancelled { return ExitCode(status) }
    return summary.failed + failedBefore > 0 ? ExitCode(2) : nil
  }
}

/// Tells the first of several calls, from any thread.
private final class FirstCall: Sendable {
  private let isTaken = Atomic(false)

  /// Whether this is it.
  func take() -> Bool {
    !isTaken.exchange(true, ordering: .relaxed)
  }
}
