import ArgumentParser
import Checkpoints
import Kernels
import Pipeline
import SystemPackage
import VisionTransformer

struct Convert: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Write a checkpoint as safetensors that timm or transformers loads.",
    discussion: """
      The folder gets model.safetensors and config.json, for transformers also preprocessor_config.json. What the other \
      library cannot compute in the same way is refused; what only its configuration cannot say is \
      a warning.
      """)

  @Argument(help: ArgumentHelp("The checkpoint.", valueName: "MODEL"))
  var model: PathArgument

  @Option(name: .long, help: ArgumentHelp("The folder; made where it is not there.", valueName: "DIR"))
  var output: PathArgument

  @Option(name: .long, help: "The library whose names and configuration are written.")
  var naming = Conversion.Naming.timm

  @Option(name: .long, help: "The type of the written weights.")
  var dtype = Conversion.Precision.float32

  @OptionGroup var architecture: ArchitectureOption

  @OptionGroup var limits: LimitOptions

  @Flag(name: .long, help: "Replace a model that is in the folder.")
  var overwrite = false

  func run() throws {
    try KernelVariant.validateEnvironment()
    let terminal = Terminal(quiet: false)
    let cancellation = Signals.install()
    let checkpoint = try Checkpoint(self.model.path, limits: limits.limits)
    let model = try VisionTransformer(
      checkpoint, options: .init(architecture: architecture.architecture, describesOnly: true))
    for warning in model.warnings { terminal.logger.warning("\(warning)") }
    let conversion = try Conversion(
      model, checkpoint: checkpoint, architecture: architecture.architecture, naming: naming, precision: dtype
    )
    try OutputCheck.check(Conversion.files(in: output.path), needed: model.files)
    let notes: [String]
    do {
      notes = try conversion.write(
        to: output.path, overwriting: overwrite, isCancelled: { cancellation.isCancelled })
    } catch is CancellationError {
      throw ExitCode(Signals.exitStatus ?? 1)
    }
    for note in notes { terminal.logger.warning("\(self.model.path): \(note)") }
    terminal.logger.info(
      "\(output.path): \(conversion.architecture), \(conversion.tensorCount) tensors, \(dtype.rawValue)")
  }
}

extension Conversion.Naming: ExpressibleByArgument {}
extension Conversion.Precision: ExpressibleByArgument {}
