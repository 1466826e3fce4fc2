import ArgumentParser
import Checkpoints
import Images
import Kernels
import Pipeline
import SystemPackage
import VisionTransformer

struct Inspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Say what a checkpoint holds: architecture, preprocessing, size, tensors.")

  @Argument(help: ArgumentHelp("The checkpoint.", valueName: "MODEL"))
  var model: PathArgument

  @OptionGroup var architecture: ArchitectureOption

  @OptionGroup var limits: LimitOptions

  @Flag(name: .long, help: "List every tensor by its name in the file, with type and shape.")
  var tensors = false

  @Flag(name: .long, help: "Print one JSON object, tensors included.")
  var json = false

  func run() throws {
    try KernelVariant.validateEnvironment()
    let terminal = Terminal(quiet: false)
    let model: VisionTransformer
    do {
      model = try VisionTransformer(
        Checkpoint(self.model.path, limits: limits.limits),
        options: .init(architecture: architecture.architecture, describesOnly: true))
    } catch let error as CheckpointError {
      // The sentence names a few; who inspects wants to see them all.
      if case .unexpectedTensors(_, let names) = error {
        for name in names { terminal.logger.error("no place for \(name)") }
      }
      throw error
    }
    for warning in model.warnings { terminal.logger.warning("\(warning)") }
    let report = ModelReport(model)
    try StandardStreams.print(json ? report.json : report.text(listsTensors: tensors))
  }
}
