import ArgumentParser
import Checkpoints
import Figures
import Images
import Kernels
import Pipeline
import SystemPackage
import VisionTransformer

struct Distances: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Draw how far the heads of each layer look.",
    discussion: """
      The distance between a patch and those that it attends to, weighted by the attention, as the mean over the patches of all \
      images: in pixels of the network's input, for each head (figure 7 of the ViT paper). Attention to class and register \
      tokens is left out. An image that cannot be read is named and left out, and the exit status is 2.
      """)

  @OptionGroup var options: RunOptions
  @OptionGroup var model: ModelOptions

  @Option(
    name: .long, help: ArgumentHelp("The picture.", valueName: "FILE.png"),
    transform: PictureArgument.init(argument:))
  var output: PictureArgument

  @Option(
    name: .long,
    help: ArgumentHelp("Also write the distances, float32 [layers, heads].", valueName: "FILE.npy"),
    transform: ArrayArgument.init(argument:))
  var npy: ArrayArgument?

  @Option(
    name: .long,
    help: ArgumentHelp("Also write layer, head and distance, one head a line.", valueName: "FILE.csv"))
  var csv: FileArgument?

  func run() throws {
    let terminal = Terminal(quiet: options.quiet)
    let cancellation = Signals.install()
    let model = try self.model.load(run: options.compute, terminal: terminal)
    let configuration = model.configuration
    guard !configuration.differentialAttention else {
      throw ModelError.notDefined(
        what: "distances", reason: "differential attention has weights below 0, which weigh no distance")
    }
    try self.model.checkOutputs([output.path, npy?.path, csv?.path], model, inputs: options.paths)

    let picture = try PictureFile(output.path)
    let (depth, numHeads) = (configuration.depth, configuration.numAttentionHeads)
    let distance = AttentionDistance(
      grid: model.grid, patchSize: configuration.patchSize, numPrefixTokens: configuration.numPrefixTokens)
    var (sums, count) = ([Double](repeating: 0, count: depth * numHeads), 0)
    let run = BatchRun(
      model: model, options: options, decoding: self.model.preprocessing.decoding, terminal: terminal,
      cancellation: cancellation)
    try run.run(options.walker(cancellation)) { session, images in
      session.distances(of: images, distance, numHeads: numHeads)
    } deliver: { item in
      guard let values = item.value else { return }
      for (index, value) in values.enumerated() { sums[index] += Double(value) }
      count += 1
    } finally: {
      // With some images left out there is still something to show.
      guard count > 0 else { return }
      let means = sums.map { Float($0 / Double(count)) }
      try npy.map { try NumpyFile.write(means, shape: [depth, numHeads], to: $0.path) }
      try csv.map { try Self.write(means, numHeads: numHeads, to: $0.path) }
      try picture.write(
        chart(means, numHeads: numHeads, images: count, uniform: distance.uniform).draw())
    }
  }

  private static func write(_ means: [Float], numHeads: Int, to path: FilePath) throws {
    let lines = means.enumerated().map { index, mean in "\(index / numHeads),\(index % numHeads),\(mean)\n" }
    try AtomicFile.write(Array(("layer,head,distance\n" + lines.joined()).utf8), to: path)
  }

  private func chart(_ means: [Float], numHeads: Int, images: Int, uniform: Double) -> ChartSheet {
    let theme = Theme.standard
    let layers = means.count / numHeads
    let heads = means.enumerated().map { Point(Double($0 / numHeads), Double($1)) }
    let averages = (0..<layers).map { layer in
      let heads = means[layer * numHeads..<(layer + 1) * numHeads]
      return Point(Double(layer), Double(heads.reduce(0, +)) / Double(numHeads))
    }
    // As many points as make a line without dots.
    let alike = (0...32).map { Point(-0.5 + Double(layers) * Double($0) / 32, uniform) }
    var chart = LineChart(
      title: "Mean attention distance, \(images) \(images == 1 ? "image" : "images")",
      series: [
        .init("attention to all patches alike", alike, color: theme.muted, style: .dashed),
        .init("mean of the heads", averages, color: theme.series(1), opacity: 0.9),
        .init("a head", heads, color: theme.series(0), style: .dots, opacity: 0.75),
      ])
    chart.xTitle = "layer"
    chart.yTitle = "pixels"
    chart.xIsWhole = true
    chart.xRange = -0.5...Double(layers) - 0.5
    chart.yRange = 0...max(uniform, Double(means.max() ?? 0)) * 1.06
    var sheet = ChartSheet([chart])
    (sheet.chartWidth, sheet.chartHeight) = (420, 300)
    return sheet
  }
}

extension InferenceSession {
  /// The mean distance of each head [depth * heads]; nil for an image where it is not finite.
  fileprivate func distances(of images: [Image], _ distance: AttentionDistance, numHeads: Int) -> [[Float]?] {
    let configuration = model.configuration
    var values = [[Float]](
      repeating: [Float](repeating: 0, count: configuration.depth * numHeads), count: images.count)
    let observer = AttentionObserver(layers: 0..<configuration.depth) { attention in
      let head = attention.branch * configuration.numHeads + attention.head
      values[attention.image][attention.layer * numHeads + head] = Float(
        distance.mean(attention.probabilities))
    }
    run(.images(images), attention: observer)
    return values.map { $0.allSatisfy(\.isFinite) ? $0 : nil }
  }
}
