import ArgumentParser
import Checkpoints
import Figures
import Images
import Pipeline
import SystemPackage
import VisionTransformer

struct Positions: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Draw what a model has learnt about positions.",
    discussion: """
      similarity: for each position of the patch grid a map of its cosine similarities to all others, as in figure 7 of "An \
      Image is Worth 16x16 Words". components: the first principal components of the position embeddings, three of them as \
      red, green and blue, then one by one with their shares of the variance. Class and register tokens are no part of the grid.
      """)

  enum Style: String, CaseIterable, ExpressibleByArgument {
    case similarity, components

    /// More would make a picture that nobody can look at, and take all memory.
    var maxPositions: Int {
      switch self {
      case .similarity: 64 * 64
      case .components: 128 * 128
      }
    }
  }

  @OptionGroup var model: WeightsOptions

  @Option(
    name: .long, help: ArgumentHelp("The picture, a PNG file.", valueName: "P.png"),
    transform: PictureArgument.init(argument:))
  var output: PictureArgument

  @Option(name: .long, help: "What is drawn.")
  var style = Style.similarity

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Resample the positions to images of this size (default: the grid that they were trained for).",
      valueName: "N|HEIGHTxWIDTH"))
  var size: ImageSize?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Also write the numbers, float32: similarities [rows, columns, rows, columns], or components [K, rows, columns].",
      valueName: "FILE.npy"), transform: ArrayArgument.init(argument:))
  var npy: ArrayArgument?

  func run() throws {
    let terminal = Terminal(quiet: false)
    let model = try self.model.load(size: size, terminal: terminal)
    try OutputCheck.check([output.path, npy?.path].compactMap { $0 }, needed: model.files)
    let grid = size == nil ? model.configuration.gridSize : model.grid
    guard grid.height * grid.width <= style.maxPositions else {
      let other = style == .similarity ? ", or --style components" : ""
      throw ValidationError(
        "\(grid) positions are too many for \(style.rawValue): give a smaller --size\(other)")
    }
    let positions = try model.positionTable(grid: grid)
    if model.configuration.positions == .sinCos2D {
      terminal.logger.info("\(model.path): positions are sines and cosines, not learnt")
    }
    switch style {
    case .similarity: try drawSimilarities(positions, model)
    case .components: try drawComponents(positions, model)
    }
  }

  // MARK: Similarities

  private func drawSimilarities(_ positions: PositionTable, _ model: VisionTransformer) throws {
    let (grid, count) = (positions.grid, positions.count)
    let similarities = positions.similarities()
    let maps = (0..<count).map { position in
      ValueMap(
        rows: grid.height, columns: grid.width,
        values: Array(similarities[position * count..<(position + 1) * count]))
    }
    let longest = max(grid.height, grid.width)
    var figure = try PanelGrid(
      maps: maps, scale: ColorScale(.viridis, -1...1), columns: grid.width,
      patchSide: max(1, min(24, 1200 / (longest * longest))), colorTitle: "cosine similarity")
    figure.title = "Position embeddings of \(model.displayName)"
    figure.spacing = longest > 16 ? 1 : 2
    figure.rowLabels = Self.labels(grid.height)
    figure.columnLabels = Self.labels(grid.width)
    (figure.rowTitle, figure.columnTitle) = ("row of the patch", "column of the patch")
    try figure.write(to: output.path)
    if let npy {
      try NumpyFile.write(
        similarities, shape: [grid.height, grid.width, grid.height, grid.width], to: npy.path)
    }
  }

  /// Numbers from 0, as `attention --query` counts; of many every fifth.
  private static func labels(_ count: Int) -> [String] {
    (0..<count).map { count <= 16 || $0.isMultiple(of: 5) ? "\($0)" : "" }
  }

  // MARK: Components

  private static let componentCount = 8

  private func drawComponents(_ positions: PositionTable, _ model: VisionTransformer) throws {
    let grid = positions.grid
    let components = PrincipalComponents(
      of: positions.values, dim: positions.dim, components: Self.componentCount)
    let maps = components.scores(of: positions.values).map { scores in
      ValueMap(rows: grid.height, columns: grid.width, values: scores.map(Float.init))
    }
    guard !maps.isEmpty else { throw FigureError.empty(what: "a single position has no components") }
    let side = max(1, 320 / max(grid.height, grid.width))
    var panels = [
      PanelGrid.Panel(
        Self.colors(maps).magnified(by: side), caption: [maps.count < 3 ? "1 in red" : "1 to 3 as RGB"])
    ]
    for (index, map) in maps.enumerated() {
      let scale = ColorScale(.coolwarm, fitting: [map], isSymmetric: true)
      let tenths = Int((1000 * components.varianceShares[index]).rounded())
      panels.append(
        .init(
          try HeatMap(map, scale: scale).image(patchSide: side),
          caption: ["\(index + 1): \(tenths / 10).\(tenths % 10) %"]))
    }
    var figure = PanelGrid(panels, columns: 3)
    figure.title = "Principal components of the position embeddings of \(model.displayName)"
    figure.spacing = 8
    try figure.write(to: output.path)
    if let npy {
      try NumpyFile.write(maps.flatMap(\.values), shape: [maps.count, grid.height, grid.width], to: npy.path)
    }
  }

  /// Up to three maps as red, green and blue, each from its smallest value to its largest.
  private static func colors(_ maps: [ValueMap]) -> Image {
    let scales = maps.prefix(3).map { ColorScale(.viridis, fitting: [$0]) }
    let pixels = maps[0].values.indices.flatMap { index in
      (0..<3).map { $0 < scales.count ? scales[$0].level(maps[$0].values[index]) : 0 }
    }
    return Image(width: maps[0].columns, height: maps[0].rows, pixels: pixels)
  }
}

struct Filters: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Draw what a model's patch embedding looks for.",
    discussion: """
      The first 28 principal components of the filters, as in figure 7 of "An Image is Worth 16x16 Words": each as a patch whose \
      middle grey is zero, scaled by itself.
      """)

  @OptionGroup var model: WeightsOptions

  @Option(
    name: .long, help: ArgumentHelp("The picture, a PNG file.", valueName: "F.png"),
    transform: PictureArgument.init(argument:))
  var output: PictureArgument

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Also write the components, float32 [28, channels, height, width], each of length 1.",
      valueName: "FILE.npy"), transform: ArrayArgument.init(argument:))
  var npy: ArrayArgument?

  private static let componentCount = 28
  /// As in the paper.
  private static let columns = 7

  func run() throws {
    let model = try self.model.load(size: nil, terminal: Terminal(quiet: false))
    try OutputCheck.check([output.path, npy?.path].compactMap { $0 }, needed: model.files)
    let filters = try model.patchFilters()
    let components = PrincipalComponents(
      of: filters.values, dim: filters.dim, components: Self.componentCount)
    guard !components.directions.isEmpty else {
      throw FigureError.empty(what: "a single filter has no components")
    }
    let side = max(1, 96 / max(filters.patchSize.height, filters.patchSize.width))
    let panels = components.directions.map { direction in
      PanelGrid.Panel(Self.picture(of: direction, filters).magnified(by: side))
    }
    var figure = PanelGrid(panels, columns: Self.columns)
    figure.title = "Patch embedding of \(model.displayName)"
    figure.spacing = 4
    try figure.write(to: output.path)
    if let npy {
      let size = filters.patchSize
      try NumpyFile.write(
        components.directions.joined().map(Float.init),
        shape: [panels.count, filters.channels, size.height, size.width], to: npy.path)
    }
  }

  private static func picture(of direction: [Double], _ filters: PatchFilters) -> Image {
    let (size, largest) = (filters.patchSize, direction.reduce(0) { max($0, abs($1)) })
    let area = size.height * size.width
    let pixels = (0..<area).flatMap { pixel in
      (0..<3).map { channel -> UInt8 in
        let value = direction[min(channel, filters.channels - 1) * area + pixel]
        return largest > 0 ? UInt8((127.5 + 127.5 * value / largest).rounded()) : 128
      }
    }
    return Image(width: size.width, height: size.height, pixels: pixels)
  }
}

/// A model whose weights are looked at.
struct WeightsOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "The checkpoint: a local folder, or a .safetensors, .npz, .pth, .pt or .bin file.", valueName: "MODEL"))
  var model: PathArgument

  @OptionGroup var architecture: ArchitectureOption

  @OptionGroup var limits: LimitOptions

  /// - Parameter size: of the images, instead of the checkpoint's own.
  func load(size: ImageSize?, terminal: Terminal) throws -> VisionTransformer {
    let model = try VisionTransformer(
      Checkpoint(self.model.path, limits: limits.limits),
      options: .init(
        architecture: architecture.architecture, transform: TransformOverrides(size: size),
        describesOnly: true,
        labels: .none))
    for warning in model.warnings { terminal.logger.warning("\(warning)") }
    return model
  }
}

extension VisionTransformer {
  /// What the model is called in a picture.
  var displayName: String { path.lexicallyNormalized().lastComponent?.stem.visible ?? "the model" }
}
