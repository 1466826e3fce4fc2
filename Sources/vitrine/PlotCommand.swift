import ArgumentParser
import Figures
import Logging
import Pipeline
import SystemPackage
import Training

struct Plot: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Draw how trainings went: loss, accuracy and learning rate.",
    discussion: """
      RUN is a folder of "vitrine train", finished or not, or its metrics.jsonl. Several runs are drawn into the same charts. \
      A training keeps such a picture of itself in RUN/history.png.
      """)

  @Argument(help: ArgumentHelp("Folders of runs.", valueName: "RUN"))
  var runs: [PathArgument]

  @Option(
    name: .long, help: ArgumentHelp("The picture, a PNG file.", valueName: "H.png"),
    transform: PictureArgument.init(argument:))
  var output: PictureArgument

  @Option(name: .long, help: "The axis: epochs, or steps of the optimiser.")
  var by = TrainingHistory.Axis.epoch

  @Option(name: .long, help: ArgumentHelp("A title (default: the run's name).", valueName: "TEXT"))
  var title: String?

  func run() throws {
    let files = distinct(runs.map { $0.path.extension == "jsonl" ? $0.path : RunFolder($0.path).metrics })
    try OutputCheck.check([output.path], needed: files)
    let histories = try files.map { try MetricsHistory(reading: $0) }
    let names = DistinctNames.names(of: files.map { $0.removingLastComponent() }, nameless: "run")
    let named = zip(names, histories)
    let history = TrainingHistory(named.map { .init(name: $0, $1, by: by) }, by: by, title: title)
    try history.write(to: output.path)
  }

  /// The files without those that are there already, perhaps under another name: lines of a run would cover its own.
  private func distinct(_ files: [FilePath]) -> [FilePath] {
    let logger = Terminal(quiet: false).logger
    var seen: Set<FileIdentity> = []
    return files.filter { file in
      guard let identity = FileIdentity(file) else { return true }
      guard seen.insert(identity).inserted else {
        logger.warning("\(file) is given twice; it is drawn once")
        return false
      }
      return true
    }
  }
}

/// The picture in the folder of a run that goes on.
final class HistoryPicture {
  private let folder: RunFolder
  private let logger: Logger
  private var hasFailed = false

  init(_ folder: RunFolder, _ logger: Logger) {
    (self.folder, self.logger) = (folder, logger)
  }

  /// Draws what there is by now. No training is stopped for a picture's sake: the first failure is a warning.
  func refresh() {
    do {
      let name = DistinctNames.names(of: [folder.path], nameless: "run")[0]
      let run = TrainingHistory.Run(name: name, try MetricsHistory(reading: folder.metrics), by: .epoch)
      try TrainingHistory([run], by: .epoch).write(to: folder.history)
    } catch {
      if !hasFailed { logger.warning("the history is not drawn: \(error)") }
      hasFailed = true
    }
  }
}

extension TrainingHistory.Run {
  init(name: String, _ history: MetricsHistory, by axis: TrainingHistory.Axis) {
    func entries(_ kind: MetricsLine.Kind) -> [TrainingHistory.Entry] {
      history.lines.filter { $0.kind == kind }.map { line in
        TrainingHistory.Entry(
          position: Double(axis == .step ? line.step : line.epoch),
          values: Dictionary(line.values.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
        )
      }
    }
    self.init(name: name, epochs: entries(.epoch), steps: axis == .step ? entries(.step) : [])
  }
}

extension TrainingHistory.Axis: ExpressibleByArgument {}
