import ArgumentParser
import Figures
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

  @OptionGroup var labels: LabelsOption

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

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Also draw the first \(ContactSheet.maxCount) images, as the network sees them, with their predictions.",
      valueName: "FILE.png"), transform: PictureArgument.init(argument:))
  var contactSheet: PictureArgument?

  func validate() throws {
    guard topK > 0 else { throw ValidationError("--top-k must be above 0") }
    if format == nil, outputFile?.extension?.lowercased() == "json" {
      throw ValidationError(
        "results are JSON Lines, not one JSON document: name the file .jsonl, or give --format")
    }
    if resume {
      guard contactSheet == nil else {
        throw ValidationError("--contact-sheet shows the images of one run: leave out --resume")
      }
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
      labels: labels.source, run: options.compute, terminal: terminal)
    guard model.configuration.numClasses > 0 else { throw ModelError.noHead(path: model.path) }

    try self.model.checkOutputs(
      [outputFile, logits?.path, contactSheet?.path], model, inputs: options.paths + [labels.file])
    let (format, names) = (resultFormat, model.labels)
    let topK = min(self.topK, model.configuration.numClasses)
    var walker = options.walker(cancellation)
    let resumed = try options.resumePoint(
      resume ? outputFile : nil, format: format, predictions: topK, walker: &walker,
      cancellation: cancellation)
    let file =
      try outputFile.map { try ResultFile($0, keeping: resumed?.bytes ?? 0) } ?? .standardOutput()
    let logitsFile = try logits.map { path in
      try NumpyFile(
        path.path, rowShape: [model.configuration.numClasses], keepingRows: resumed?.inputs ?? 0)
    }
    let picture = try contactSheet.map { try PictureFile($0.path) }
    var sheet = ContactSheet()
    let writer = ResultWriter(file, format: format)
    if resumed.map({ $0.bytes == 0 }) ?? true { try writer.begin() }

    let batch = BatchRun(
      model: model, options: options, decoding: self.model.preprocessing.decoding, terminal: terminal,
      cancellation: cancellation)
    let drawsThumbnails = picture != nil
    let outcome = Result {
      try batch.run(walker, before: resumed) { session, images in
        zip(session.logits(of: images), images).map { logits, image in
          logits.map {
            Classified(logits: $0, thumbnail: drawsThumbnails ? ContactSheet.thumbnail(of: image) : nil)
          }
        }
      } deliver: { item in
        let values = item.map(\.logits)
        // The logits first: should the run be killed in between, the result is missing and is done again.
        try logitsFile?.append(values.value)
        let record = values.record(topK: topK, labels: names)
        try writer.write(record)
        if drawsThumbnails {
          sheet.add(record, path: item.path, thumbnail: (try? item.outcome.get())?.value.thumbnail)
        }
      }
    }
    if case .failure(let error) = outcome, !(error is ExitCode) { throw error }
    if let picture, !sheet.isEmpty {
      try picture.write(sheet.draw())
      if sheet.leftOut > 0 {
        terminal.logger.info(
          "\(sheet.leftOut) images are not on the contact sheet, which has room for \(ContactSheet.maxCount)")
      }
    }
    try outcome.get()
  }
}

/// What became of an image.
private struct Classified: Sendable {
  /// [C]
  let logits: [Float]
  /// For the contact sheet, where one is drawn.
  let thumbnail: Image?
}

extension ContactSheet {
  /// Adds a result: file, most probable class and its probability, or why there is none.
  fileprivate mutating func add(_ record: ClassificationRecord, path: FilePath, thumbnail: Image?) {
    let name = path.lastComponent?.string ?? path.string
    switch record.outcome {
    case .error(let reason): add(nil, title: "failed", lines: [reason, name])
    case .predictions(_, let predictions):
      guard let best = predictions.first else { return add(thumbnail, title: "", lines: [name]) }
      // Of ImageNet's synonyms the first.
      let label = best.label?.split(separator: ",").first.map(String.init) ?? "class \(best.index)"
      let tenths = Int((best.probability * 1000).rounded())
      add(thumbnail, title: label, lines: ["\(tenths / 10).\(tenths % 10) %", name])
    }
  }
}

extension ResultFormat: ExpressibleByArgument {}
