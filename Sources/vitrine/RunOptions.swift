import ArgumentParser
import Images
import Kernels
import Pipeline
import SystemPackage

/// Inputs, arithmetic and messages: shared by the commands that process many images.
struct RunOptions: ParsableArguments {
  @Argument(
    help: ArgumentHelp(
      "Images and folders (recursed); - reads paths from standard input.", valueName: "path"))
  var paths: [PathArgument]

  @Flag(
    name: .long, help: "The paths on standard input are separated by NUL bytes, as find -print0 writes them.")
  var null = false

  @OptionGroup var compute: ComputeOptions

  var quiet: Bool { compute.quiet }

  func validate() throws {
    if null, areFiles {
      throw ValidationError("--null is for a list of paths on standard input: give - as path")
    }
  }

  func walker(_ cancellation: Cancellation) -> PathWalker {
    PathWalker(paths.map(\.path), isNullSeparated: null, cancellation: cancellation)
  }

  /// Moves a walker past the inputs whose results are there.
  /// - Parameters: see `ResumePoint`; without a path nothing is gone on with.
  /// - Throws: `ExitCode` where it is interrupted, and what `ResumePoint` throws.
  func resumePoint(
    _ path: FilePath?, format: ResultFormat, predictions: Int?, walker: inout PathWalker,
    cancellation: Cancellation
  ) throws -> ResumePoint? {
    guard let path else { return nil }
    do {
      return try ResumePoint(
        path, format: format, predictions: predictions, walker: &walker, cancellation: cancellation)
    } catch is CancellationError {
      throw ExitCode(Signals.exitStatus ?? 130)
    }
  }

  /// Whether all inputs are named on the command line, so that they can be walked twice, to count them, and ahead of time.
  var areFiles: Bool { !paths.contains { $0.path == "-" } }
}

/// Arithmetic, threads and messages: shared by the commands that run images through the network.
struct ComputeOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Numbers of the matrix products; int8 rounds a float checkpoint's weights as it is opened (default: fp32, or what a quantised model was made for).",
      valueName: "precision"))
  var precision: Precision?

  @Option(name: .long, help: ArgumentHelp("Images that go through the network together.", valueName: "N"))
  var batchSize = 1

  @OptionGroup var threads: ThreadsOption

  @Flag(name: .long, help: "No progress bar, notes or summary; warnings and errors are still shown.")
  var quiet = false

  func validate() throws {
    guard (1...1024).contains(batchSize) else { throw ValidationError("--batch-size must be from 1 to 1024") }
  }

  func pipelineOptions(_ decoding: DecodingOptions) -> InferencePipeline.Options {
    InferencePipeline.Options(threads: threads.count, batchSize: batchSize, decoding: decoding)
  }
}

extension Precision: ExpressibleByArgument {}
