import ArgumentParser
import Images
import Pipeline
import VisionTransformer

/// One run of a command over many images: signals, progress, messages and exit status, which are the same for all of them.
struct BatchRun {
  let model: VisionTransformer
  let options: RunOptions
  let decoding: DecodingOptions
  let terminal: Terminal
  let cancellation: Cancellation

  /// Runs the inputs.
  /// - Parameters:
  ///   - walker: the inputs, which may have been begun already.
  ///   - before: what an earlier run, continued by this one, has done.
  ///   - infer: see `InferencePipeline.run`.
  ///   - deliver: receives each result in order.
  /// - Throws: `ExitCode` for any status but 0, and what `deliver` throws but a closed pipe.
  func run<Value: Sendable>(
    _ walker: PathWalker, before: ResumePoint? = nil,
    infer: @escaping @Sendable (InferenceSession, [Image]) -> [Value?],
    deliver: @escaping (InferencePipeline.Item<Value>) throws -> Void
  ) throws {
    let inputs = SharedWalker(walker)
    let (options, terminal) = (self.options, self.terminal)
    let counting: @Sendable () -> PathWalker = { options.walker(Cancellation()) }
    let progress = ProgressBar(
      terminal: terminal, doneBefore: before?.inputs ?? 0, counting: options.areFiles ? counting : nil)
    let pipeline = InferencePipeline(model: model, options: options.pipelineOptions(decoding))
    let summary: InferencePipeline.Summary
    do {
      defer { progress.finish() }
      summary = try pipeline.run(
        inputs, looksAhead: options.areFiles, cancellation: cancellation, infer: infer
      ) { item in
        if case .failure(let error) = item.outcome {
          terminal.logger.error("\(item.path): \(error)")
          progress.advance(failed: true)
        } else {
          progress.advance(failed: false)
        }
        try deliver(item)
      }
    } catch PipelineError.closedPipe {
      return
    }
    report(summary, inputs: inputs.walker, progress: progress)
    if summary.processed == 0, before?.inputs ?? 0 == 0, !summary.isCancelled {
      terminal.logger.warning("no paths on standard input")
    }
    if let error = inputs.walker.listError { throw PipelineError.pathList(reason: error) }
    if let status = Signals.exitStatus, summary.isCancelled { throw ExitCode(status) }
    if summary.failed + (before?.failed ?? 0) > 0 { throw ExitCode(2) }
  }

  private func report(_ summary: InferencePipeline.Summary, inputs: PathWalker, progress: ProgressBar) {
    if inputs.skippedCount > 0 {
      let files = inputs.skippedCount == 1 ? "1 file" : "\(inputs.skippedCount) files"
      terminal.logger.info("passed over \(files) in folders: not images by name")
    }
    guard terminal.isInteractive, summary.processed > 1 else { return }
    let failed = summary.failed > 0 ? ", \(summary.failed) failed" : ""
    let stopped = summary.isCancelled ? ", interrupted" : ""
    terminal.logger.info(
      "\(summary.processed) images, \(progress.rate(of: summary.processed))\(failed)\(stopped)")
  }
}

/// A walker whose state can be looked at after the run.
private final class SharedWalker: IteratorProtocol {
  private(set) var walker: PathWalker

  init(_ walker: PathWalker) {
    self.walker = walker
  }

  func next() -> Input? { walker.next() }
}
