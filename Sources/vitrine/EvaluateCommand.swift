import ArgumentParser
import Checkpoints
import Figures
import Images
import Pipeline
import SystemPackage
import Training
import VisionTransformer

struct Evaluate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure how often a model is right on a data set.",
    discussion: """
      DATA is a folder of class folders (perhaps in train, val and test), CIFAR-10 or CIFAR-100 in the binary or the Python \
      version, a .tar or .tar.gz of one of these, or a .csv of paths and labels. An image that cannot be read is named and \
      left out, and the exit status is 2.
      """)

  @Argument(help: ArgumentHelp("The data set.", valueName: "data"))
  var data: PathArgument

  @OptionGroup var compute: ComputeOptions
  @OptionGroup var model: ModelOptions

  @Option(
    name: .long,
    help: "The part of the data set (default: test, else val, else train; all of one without parts).")
  var split: DatasetSplit?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Names of the data set's classes, one a line (default: its own, or its folders' in order).",
      valueName: "FILE"))
  var classes: PathArgument?

  @OptionGroup var labels: LabelsOption

  @Option(
    name: .long,
    help: ArgumentHelp("Also write the result as JSON, shares from 0 to 1.", valueName: "FILE.json"))
  var report: FileArgument?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Also write how many images of each class (rows) were taken for which (columns): a table, or a picture.",
      valueName: "FILE.csv|FILE.png"))
  var confusion: FileArgument?

  func validate() throws {
    if let confusion, !["csv", "png"].contains(confusion.path.extension?.lowercased()) {
      throw ValidationError("the confusion matrix is written as CSV or PNG: name the file .csv or .png")
    }
  }

  func run() throws {
    let terminal = Terminal(quiet: compute.quiet)
    let cancellation = Signals.install()
    let decoding = model.preprocessing.decoding
    let source = try DatasetSource(data.path, classes: classes?.path, decoding: decoding)
    let model = try self.model.load(
      labels: labels.source, run: compute, terminal: terminal)
    guard model.configuration.numClasses > 0 else { throw ModelError.noHead(path: model.path) }
    try self.model.checkOutputs(
      [report?.path, confusion?.path], model, inputs: [data, classes, labels.file])
    let run = try DatasetRun(
      source, at: data.path, split: split, model: model, options: compute.pipelineOptions(decoding),
      terminal: terminal, cancellation: cancellation)

    // The places are taken before the work, which may be long.
    let reportFile = try report.map { try AtomicFile($0.path) }
    let picture = try confusionPicture(classes: run.dataset.classNames.count)
    let table = try picture == nil ? confusion.map { try AtomicFile($0.path) } : nil
    guard let (summary, evaluation) = try run.run(model) else { return }
    let result = evaluation.report
    // Where one of them cannot be written, the others are.
    let written: [Result<Void, any Error>] = [
      Result { try StandardStreams.print(result.table) },
      Result { try reportFile.map(result.write(to:)) ?? () },
      Result {
        try table?.write(Array((evaluation.confusionCSV(labels: model.labels) + "\n").utf8))
        try table?.commit()
      },
      Result { try picture?.write(matrix(evaluation, model: model, split: run.split).draw()) },
    ]
    for outcome in written { try outcome.get() }
    if let status = StreamRun.status(summary) { throw status }
  }

  // MARK: The confusion matrix as a picture

  /// The place for the picture; nil where none is wanted.
  private func confusionPicture(classes: Int) throws -> PictureFile? {
    guard let path = confusion?.path, path.extension?.lowercased() == "png" else { return nil }
    guard classes <= ConfusionMatrix.maxClasses else {
      throw ValidationError(
        "a picture of \(classes) classes is too large, \(ConfusionMatrix.maxClasses) are possible: name the file .csv"
      )
    }
    try PictureArgument.checkAvailable()
    return try PictureFile(path)
  }

  private func matrix(_ evaluation: Evaluation, model: VisionTransformer, split: DatasetSplit)
    -> ConfusionMatrix
  {
    let (columns, counts) = evaluation.alignedConfusion(
      labels: model.labels?.map { String($0.prefix { $0 != "," }) })
    var matrix = ConfusionMatrix(rowLabels: evaluation.classNames, columnLabels: columns, counts: counts)
    let name = data.path.lexicallyNormalized().lastComponent?.string.visible ?? "data"
    matrix.title = "\(model.displayName) on \(name), \(split == .all ? "all images" : split.rawValue)"
    return matrix
  }
}

extension DatasetSplit: ExpressibleByArgument {}
