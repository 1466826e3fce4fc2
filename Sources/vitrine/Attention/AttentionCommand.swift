import ArgumentParser
import Checkpoints
import Figures
import Images
import Kernels
import Pipeline
import SystemPackage
import Training
import VisionTransformer

struct Attention: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Draw what a model attends to in images.",
    discussion: """
      One picture an image, as DIR/NAME-METHOD.png, with what was chosen beside it in the name; what was found in folders lies in the same folders below DIR. The heat \
      map lies on the photo where the model saw it, and what the model did not see is darkened. An image that cannot be \
      read is named, and the exit status is 2.
      """)

  @OptionGroup var options: RunOptions
  @OptionGroup var model: ModelOptions

  @Option(
    name: .long,
    help: ArgumentHelp("The folder for the pictures; made where it is missing.", valueName: "DIR"))
  var output: FileArgument?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Instead of pictures, write one page to explore in a browser: all layers, heads and patches of up to 100 images, rollouts and attributions.",
      valueName: "FILE.html"), transform: PageArgument.init(argument:))
  var html: PageArgument?

  @Option(
    name: .long,
    help: """
      raw: the probabilities of a layer; rollout: how attention adds up through all layers; attribution: what speaks for a \
      class, by attention and its gradient (default: rollout; raw where --layer, --head or --style grid is given).
      """)
  var method: AttentionMethod?

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "Layer of raw attention, from 0, or -1 for the last (default: the last; all in a grid).", valueName: "N"
    ))
  var layer: Int?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Heads of raw attention: all, each in a picture; mean; or one, from 0 (default: mean; all in a grid).",
      valueName: "all|mean|N"))
  var head: HeadSelection?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Whose attention: the class token's, or a patch's by its place in the grid, from 0,0 (default: class; the mean over all patches where the model has no class token).",
      valueName: "class|ROW,COLUMN"))
  var query: QueryArgument?

  @Option(
    name: .customLong("class"),
    help: ArgumentHelp(
      "Class of the attribution, by name or index (default: the likeliest of each image).", valueName: "LABEL"
    ))
  var label: String?

  @OptionGroup var labels: LabelsOption

  @Option(
    name: .long,
    help: """
      overlay: colours on the photo, at its full resolution; heatmap: the map with its scale; grid: raw attention of all layers \
      and heads.
      """)
  var style = AttentionStyle.overlay

  @Option(name: .long, help: "How the heads become one in a rollout.")
  var fusion = AttentionRollout.Fusion.mean

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Share of each layer's weights that a rollout drops, the lowest, from 0 to below 1.", valueName: "F"))
  var discard = 0.0

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Draw only the patches that hold this share of the attention, above 0, at most 1.", valueName: "F"))
  var threshold: Double?

  @Option(
    name: .long,
    help:
      "smooth: values between the patches are estimated; patch: each patch has one (default: smooth; patch in a grid)."
  )
  var upsampling: Upsampling?

  @Flag(
    name: .long,
    help:
      "Also write the maps, float32 [rows, columns] of patches; of raw attention [layers, heads, rows, columns]."
  )
  var npy = false

  func validate() throws {
    guard (output == nil) != (html == nil) else {
      throw ValidationError("give --output DIR for pictures, or --html FILE for a page")
    }
    let chooses =
      method != nil || layer != nil || head != nil || query != nil || label != nil || threshold != nil || npy
      || style != .overlay || fusion != .mean || discard > 0 || upsampling != nil
    guard html == nil || !chooses else {
      throw ValidationError(
        "a page has every method, layer, head and patch: leave out the options that choose among them")
    }
    guard discard >= 0 && discard < 1 else { throw ValidationError("--discard must be from 0 to below 1") }
    if let threshold, !(threshold > 0 && threshold <= 1) {
      throw ValidationError("--threshold must be above 0, and at most 1")
    }
    let method = chosenMethod
    guard method == .raw || (layer == nil && head == nil) else {
      throw ValidationError("--layer and --head are of --method raw; a \(method.rawValue) takes all of them")
    }
    // A query's patch gets a frame.
    let drawsFrame = if case .patch = query?.query { true } else { false }
    if style != .overlay || drawsFrame { try PictureArgument.checkAvailable() }
    guard method == .raw || style != .grid else {
      throw ValidationError("--style grid shows the layers and heads of --method raw")
    }
    guard method == .attribution || label == nil else {
      throw ValidationError("--class needs --method attribution")
    }
    guard method == .attribution || html != nil || labels.file == nil else {
      throw ValidationError("--labels needs --method attribution or --html: nothing else names classes")
    }
    guard method == .rollout || (fusion == .mean && discard == 0) else {
      throw ValidationError("--fusion and --discard need --method rollout")
    }
  }

  private var chosenMethod: AttentionMethod {
    method ?? (style == .grid || layer != nil || head != nil ? .raw : label != nil ? .attribution : .rollout)
  }

  /// As much of a class' name as the name of a file has room for.
  private static func short(_ name: String) -> String {
    var name = name
    while name.utf8.count > 40 { name.removeLast() }
    return name
  }

  /// What the maps depend on beside method, layer, head and query, for the names of their files.
  private func choices(_ model: VisionTransformer) throws -> [String] {
    let name = try label.map { label in
      let index = try ClassArgument.index(label, of: model)
      let name = model.labels?[index].prefix { $0 != "," } ?? "class\(index)"
      return Self.short(String(name.map { $0.isLetter || $0.isNumber ? $0 : "_" }))
    }
    return [
      fusion == .mean ? nil : fusion.rawValue, discard > 0 ? "discard\(discard)" : nil, name,
    ].compactMap { $0 }
  }

  func run() throws {
    if let html { return try explore(html.path) }
    guard let output else { return }
    let terminal = Terminal(quiet: options.quiet, printsResults: true)
    let cancellation = Signals.install()
    let method = chosenMethod
    // The backward pass has weights of its own.
    let model = try self.model.load(
      labels: method == .attribution ? labels.source : .none,
      run: method == .attribution ? nil : options.compute, terminal: terminal)
    let query = self.query?.query ?? .standard(model.configuration)
    try query.check(model)
    if query == .meanOfPatches {
      terminal.logger.info("the model has no class token: the mean over all patches is drawn")
    }
    let request = AttentionRequest(method: try requestedMethod(method, model), query: query)
    let drawing = AttentionDrawing(
      model: model, method: method, style: style, query: query,
      upsampling: upsampling ?? (style == .grid ? .patch : .smooth), threshold: threshold,
      choices: try choices(model))
    let files = AttentionFiles(
      try OutputFolder(output.path, inputs: options.paths.map(\.path)), terminal: terminal)

    let run = BatchRun(
      model: model, options: options, decoding: decoding, terminal: terminal, cancellation: cancellation)
    let keepsMaps = npy
    try run.run(options.walker(cancellation), workerBytes: AttentionMapper.bytes(model, request)) { compute in
      let mapper = AttentionMapper(model, request, compute: compute)
      return { photos, prepared in
        zip(photos, prepared).map { photo, image in
          Result {
            let result = try mapper.maps(of: image)
            return AttentionFiles.Contents(
              pictures: try drawing.pictures(result, photo: photo), prediction: result.prediction,
              array: keepsMaps
                ? .init(result.maps, grid: model.grid, suffix: drawing.arraySuffix(result.maps)) : nil)
          }
        }
      }
    } deliver: { item in
      if case .success(let success) = item.outcome {
        try files.write(success.value, for: item.path, method: method)
      }
    }
  }

  /// Writes the page.
  private func explore(_ path: FilePath) throws {
    let terminal = Terminal(quiet: options.quiet, printsResults: true)
    let cancellation = Signals.install()
    let model = try self.model.load(
      labels: labels.source, run: options.compute, terminal: terminal)
    guard !model.configuration.differentialAttention else {
      throw ModelError.notDefined(
        what: "the page", reason: "differential attention has weights below 0; use --method raw")
    }
    try self.model.checkOutputs([path], model, inputs: options.paths + [labels.file])
    var attribution: AttributionModel?
    do {
      // Gradients need floats.
      attribution = try AttributionModel(
        model, architecture: self.model.architecture.architecture,
        precision: model.precision == .int8 ? .fp32 : model.precision,
        threads: options.compute.threads.count)
    } catch ModelError.noHead {
      terminal.logger.info("the model has no classification head: the page has no classes and attributions")
    } catch ModelError.notDefined(_, let reason) {
      terminal.logger.info("the page has no attributions: \(reason)")
    } catch {
      terminal.logger.warning("the page has no attributions: \(error)")
    }
    let batch = BatchRun(
      model: model, options: options, decoding: decoding, terminal: terminal, cancellation: cancellation)
    let isSingle = options.paths.count == 1 && options.areFiles && PathWalker.isFile(options.paths[0].path)
    try ExplorerRun(model: model, attribution: attribution, batch: batch, path: path).run(
      options.walker(cancellation), isSingle: isSingle)
  }

  /// The whole photo is drawn on: it is decoded whole.
  private var decoding: DecodingOptions {
    var decoding = model.preprocessing.decoding
    decoding.mayReduce = false
    return decoding
  }

  private func requestedMethod(
    _ method: AttentionMethod, _ model: VisionTransformer
  ) throws -> AttentionRequest.Method {
    let configuration = model.configuration
    switch method {
    case .raw:
      let layers: Range<Int>
      if let layer {
        let index = try model.layerIndex(layer)
        layers = index..<index + 1
      } else {
        layers = (style == .grid ? 0 : configuration.depth - 1)..<configuration.depth
      }
      if case .one(let head) = self.head, !(0..<configuration.numAttentionHeads).contains(head) {
        throw ModelError.noSuchHead(head, numHeads: configuration.numAttentionHeads)
      }
      return .raw(layers: layers, head: head ?? (style == .grid ? .all : .mean))
    case .rollout:
      guard !configuration.differentialAttention else {
        throw ModelError.notDefined(
          what: "rollout", reason: "differential attention has weights below 0; use --method raw")
      }
      return .rollout(.init(fusion: fusion, discard: discard))
    case .attribution:
      let label = try self.label.map { try ClassArgument.index($0, of: model) }
      let attribution = try AttributionModel(
        model, architecture: self.model.architecture.architecture,
        precision: options.compute.precision ?? .fp32,
        threads: options.compute.threads.count)
      return .attribution(attribution, label: label)
    }
  }
}
