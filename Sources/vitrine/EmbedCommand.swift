import ArgumentParser
import Images
import Pipeline
import SystemPackage
import VisionTransformer

struct Embed: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "embed",
    abstract: "Write the features of images as a numpy array.",
    discussion: """
      The array is float32 with one row an image, in the order of the inputs: [images, D] for class, mean and pooled, \
      [images, tokens, D] for patches and all. An image that cannot be read gets a row of NaN, and the exit status is 2.
      """)

  @OptionGroup var options: RunOptions
  @OptionGroup var model: ModelOptions

  @Option(name: .long, help: ArgumentHelp("The array.", valueName: "FILE.npy"))
  var output: FileArgument

  @Option(
    name: .long,
    help: """
      class: the class token; mean: the mean of the patches; patches: each patch; all: prefix tokens, then patches; \
      pooled: what the head reads, or the image embedding of a CLIP (default: class; mean where there is no class token; \
      pooled of CLIP and SigLIP).
      """)
  var tokens: TokenSelection?

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "Block to read, from 0, or -1 for the last; without the final norm (default: after the final norm, if the model has one).",
      valueName: "N"))
  var layer: Int?

  @Option(
    name: .long,
    help: ArgumentHelp("Also write the path, or the error, of each row as JSON Lines.", valueName: "FILE"))
  var paths: FileArgument?

  @Flag(
    name: .long,
    help:
      "Continue --output where an earlier run with the same --paths stopped; images that failed are not tried again."
  )
  var resume = false

  func validate() throws {
    if resume, paths == nil { throw ValidationError("--resume needs --paths, which says how far a run came") }
    if tokens == .pooled, layer != nil {
      throw ValidationError("--tokens pooled is what follows the last block; leave out --layer")
    }
  }

  func run() throws {
    let terminal = Terminal(quiet: options.quiet)
    let cancellation = Signals.install()
    let model = try self.model.load(run: options.compute, terminal: terminal)
    let layer = try self.layer.map(model.layerIndex)
    let selection = tokens ?? .standard(model, layer: layer)
    guard selection != .classToken || model.configuration.hasClassToken else {
      throw ModelError.noClassToken(path: model.path)
    }

    try self.model.checkOutputs([output.path, paths?.path], model, inputs: options.paths)
    var walker = options.walker(cancellation)
    let resumed = try options.resumePoint(
      resume ? paths?.path : nil, format: .jsonl, predictions: nil, walker: &walker,
      cancellation: cancellation)
    let array = try NumpyFile(
      output.path, rowShape: selection.shape(model, layer: layer), keepingRows: resumed?.inputs ?? 0)
    let index = try paths.map { try ResultFile($0.path, keeping: resumed?.bytes ?? 0) }
    let batch = BatchRun(
      model: model, options: options, decoding: self.model.preprocessing.decoding, terminal: terminal,
      cancellation: cancellation)
    try batch.run(walker, before: resumed) { session, images in
      session.embeddings(of: images, selection, layer: layer)
    } deliver: { item in
      // The array first: should the run be killed in between, the line is missing and the image is done again.
      try array.append(item.value)
      try index?.append(line: item.pathLine)
    }
  }
}

extension TokenSelection: ExpressibleByArgument {}
