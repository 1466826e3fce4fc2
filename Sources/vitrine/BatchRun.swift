import ArgumentParser
import Images
import Kernels
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
  ///   - finish: makes something of all results together, before the exit status tells of those that failed.
  /// - Throws: `ExitCode` for any status but 0, and what `deliver` throws but a closed pipe.
  func run<Value: Sendable>(
    _ walker: PathWalker, before: ResumePoint? = nil,
    infer: @escaping @Sendable (InferenceSession, [Image]) -> [Value?],
    deliver: @escaping (InferencePipeline.Item<Value>) throws -> Void, finally finish: () throws -> Void = {}
  ) throws {
    try run(walker, before: before, finally: finish) { stream, inputs, progress in
      try stream.run(
        inputs, looksAhead: options.areFiles, progress: progress, infer: infer, deliver: deliver)
    }
  }

  /// The same with workers of the caller's making, which are given the images as they were decoded, too.
  /// - Parameters: see `InferencePipeline.run`.
  func run<Value: Sendable>(
    _ walker: PathWalker, workerBytes: Double,
    worker: @escaping @Sendable (Compute) -> InferencePipeline.Work<Value>,
    deliver: @escaping (InferencePipeline.Item<Value>) throws -> Void, finally finish: () throws -> Void = {}
  ) throws {
    try run(walker, before: nil, finally: finish) { stream, inputs, progress in
      try stream.run(
        inputs, looksAhead: options.areFiles, progress: progress, workerBytes: workerBytes, worker: worker,
        deliver: deliver)
    }
  }

  private func run(
    _ walker: PathWalker, before: ResumePoint?, finally finish: () throws -> Void,
    _ body: (StreamRun, SharedWalker, ProgressBar) throws -> InferencePipeline.Summary?
  ) throws {
    let inputs = SharedWalker(walker)
    let options = self.options
    let counting: @Sendable () -> PathWalker = { options.walker(Cancellation()) }
    let progress = ProgressBar(
      terminal: terminal, doneBefore: before?.inputs ?? 0, counting: options.areFiles ? counting : nil)
    let run = StreamRun(
      model: model, options: options.compute.pipelineOptions(decoding), terminal: terminal,
      cancellation: cancellation)
    guard let summary = try body(run, inputs, progress) else { return }
    try finish()
    if inputs.walker.skippedCount > 0 {
      let count = inputs.walker.skippedCount
      let files = count == 1 ? "1 file" : "\(count) files"
      terminal.logger.info("passed over \(files) in folders: not images by name")
    }
    run.report(summary, progress: progress)
    if summary.processed == 0, before?.inputs ?? 0 == 0, !summary.isCancelled {
      terminal.logger.warning("no paths on standard input")
    }
    if let error = inputs.walker.listError { throw PipelineError.pathList(reason: error) }
    if let status = StreamRun.status(summary, failedBefore: before?.failed ?? 0) { throw status }
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
