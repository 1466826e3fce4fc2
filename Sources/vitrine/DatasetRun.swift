import Images
import Pipeline
import SystemPackage
import Training
import VisionTransformer

/// A model over a labelled data set.
struct DatasetRun {
  let split: DatasetSplit
  let dataset: any ImageDataset
  let mapping: ClassMapping
  let options: InferencePipeline.Options
  let terminal: Terminal
  let cancellation: Cancellation

  /// - Parameters:
  ///   - source: the data set.
  ///   - path: where it lies; for messages.
  ///   - split: the part of it; nil for the one that models are evaluated on.
  ///   - model: whose classes the data set's are matched with, by name or else in order, which is said.
  /// - Throws: `DatasetError`, and `ClassMapping`'s where the classes do not fit.
  init(
    _ source: DatasetSource, at path: FilePath, split: DatasetSplit? = nil, model: VisionTransformer,
    options: InferencePipeline.Options, terminal: Terminal, cancellation: Cancellation
  ) throws {
    let split = split ?? source.evaluationSplit
    self.split = split
    dataset = try source.dataset(split)
    mapping = try ClassMapping(
      of: dataset.classNames, to: model.labels, numClasses: model.configuration.numClasses)
    (self.options, self.terminal, self.cancellation) = (options, terminal, cancellation)
    terminal.logger.info("\(path): \(source.description), \(split.rawValue): \(dataset.count) images")
    if mapping.method == .order {
      terminal.logger.warning(
        "\(path): the classes' names are not the model's; the first is taken for the model's first, and so on"
      )
    }
  }

  /// Runs every image.
  /// - Returns: what the run did, and how often the model was right; nil where the reader of the results has closed the pipe.
  func run(_ model: VisionTransformer) throws -> (summary: InferencePipeline.Summary, evaluation: Evaluation)?
  {
    var evaluation = Evaluation(
      classNames: dataset.classNames, mapping: mapping, numClasses: model.configuration.numClasses)
    let run = StreamRun(model: model, options: options, terminal: terminal, cancellation: cancellation)
    let progress = ProgressBar(terminal: terminal, total: dataset.count)
    var index = 0
    let dataset = dataset
    let inputs = (0..<dataset.count).lazy.map { index in
      Input(named: FilePath(dataset.name(index))) { try dataset.image(index, for: model.transform) }
    }
    let summary = try run.run(inputs.makeIterator(), looksAhead: true, progress: progress) {
      session, images in
      session.logits(of: images)
    } deliver: { item in
      evaluation.add(label: dataset.label(index), logits: item.value)
      index += 1
    }
    guard let summary else { return nil }
    run.report(summary, progress: progress)
    return (summary, evaluation)
  }
}
