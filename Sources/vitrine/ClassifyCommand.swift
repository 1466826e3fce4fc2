import ArgumentParser
import Images
import Pipeline
import SystemPackage
import VisionTransformer

struct Classify: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "classify",
    abstract: "Classify images and folders of images.",
    discussion: """
      Results are written in the order of the inputs, as they come. An image that cannot be read gets a result with the \
      reason, the others go on, and the exit status is 2.
      """)

  @OptionGroup var options: RunOptions
  @OptionGroup var model: ModelOptions

  @Option(name: .long, help: ArgumentHelp("Classes to report for each image, at most all.", valueName: "K"))
  var topK = 5

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Names of the classes: one a line, or JSON (default: the checkpoint's own; ImageNet's for 1000 classes).",
      valueName: "FILE"))
  var labels: PathArgument?

  @Option(
    name: .long, help: "Form of the results (default: by the ending of --output, .jsonl or .csv; else table)."
  )
  var format: ResultFormat?

  @Option(
    name: .long,
    help: ArgumentHelp("Write the results here (default, or -: standard output).", valueName: "FILE"))
  var output: PathArgument?

  @Flag(
    name: .long,
    help:
      "Continue the results in --output (jsonl or csv) where an earlier run stopped; images that failed are not tried again."
  )
  var resume = false

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Also write the logits, float32 [images, classes]; NaN for an image that failed.", valueName: "FILE.npy"
    ))
  var logits: FileArgument?

  func validate() throws {
    guard topK > 0 else { throw ValidationError("--top-k must be above 0") }
    if format == nil, outputFile?.extension?.lowercased() == "json" {
      throw ValidationError(
        "results are JSON Lines, not one JSON document: name the file .jsonl, or give --format")
    }
    if resume {
      guard outputFile != nil else { throw ValidationError("--resume needs --output") }
      guard resultFormat != .table else { throw ValidationError("--resume needs --format jsonl or csv") }
    }
  }

  /// The file for the results; nil for standard output.
  private var outputFile: FilePath? { output?.path == "-" ? nil : output?.path }

  private var resultFormat: ResultFormat {
    format ?? outputFile?.extension.flatMap(ResultFormat.init) ?? .table
  }

  func run() throws {
    let terminal = Terminal(quiet: options.quiet, printsResults: outputFile == nil)
    let cancellation = Signals.install()
    let model = try self.model.load(
      labels: labels.map { .file($0.path) } ?? .checkpoint, run: options.compute, terminal: terminal)
    guard model.configuration.numClasses > 0 else { throw ModelError.noHead(path: model.path) }

    try self.model.checkOutputs([outputFile, logits?.path], model, inputs: options.paths)
    let (format, names) = (resultFormat, model.labels)
    let topK = min(self.topK, model.configuration.numClasses)
    var walker = options.walker(cancellation)
    let resumed = try resumePoint(format: format, predictions: topK, walker: &walker)
    let file =
      try outputFile.map { try ResultFile($0, keeping: resumed?.bytes ?? 0) } ?? .standardOutput()
    let logitsFile = try logits.map { path in
      try NumpyFile(
        path.path, rowShape: [model.configuration.numClasses], keepingRows: resumed?.inputs ?? 0)
    }
    let writer = ResultWriter(file, format: format)
    if resumed.map({ $0.bytes == 0 }) ?? true { try writer.begin() }

    let batch = BatchRun(
      model: model, options: options, decoding: self.model.preprocessing.decoding, terminal: terminal,
      cancellation: cancellation)
    try batch.run(walker, before: resumed) { session, images in
      session.logits(of: images)
    } deliver: { item in
      // The logits first: should the run be killed in between, the result is missing and is done again.
      try logitsFile?.append(item.value)
      try writer.write(item.record(topK: topK, labels: names))
    }
  }

  private func resumePoint(
    format: ResultFormat, predictions: Int, walker: inout PathWalker
  ) throws -> ResumePoint? {
    guard resume, let outputFile else { return nil }
    return try ResumePoint(outputFile, format: format, predictions: predictions, walker: &walker)
  }
}

extension ResultFormat: ExpressibleByArgument {}
