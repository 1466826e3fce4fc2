import Figures
import Images
import VisionTransformer

/// Draws the maps of an image.
struct AttentionDrawing: Sendable {
  let model: VisionTransformer
  let method: AttentionMethod
  let style: AttentionStyle
  let query: AttentionQuery
  let upsampling: Upsampling
  /// The share of the mass that is kept; nil for all of it.
  let threshold: Double?
  /// What was chosen otherwise than usual when the maps were made, as the files' names say it, such as `max`.
  let choices: [String]

  /// A picture, and what its file's name says beside that of the image.
  struct Picture: Sendable {
    let suffix: String
    let png: [UInt8]
  }

  /// What the name of a file with the maps as numbers says.
  func arraySuffix(_ maps: [PatchMap]) -> String {
    let layers = Set(maps.compactMap(\.layer))
    let place = maps.count == 1 ? suffix(of: maps[0]) : layers.count == 1 ? "-layer\(layers.first ?? 0)" : ""
    return mapName(place)
  }

  /// The method, and what was chosen for it.
  private func mapName(_ place: String) -> String {
    ([method.rawValue + place] + choices).joined(separator: "-") + querySuffix
  }

  /// What was chosen for the drawing alone.
  private var drawingSuffix: String {
    let usual: Upsampling = style == .grid ? .patch : .smooth
    return (threshold.map { "-threshold\($0)" } ?? "")
      + (upsampling == usual ? "" : "-\(upsampling.rawValue)")
  }

  /// - Parameter photo: the image as it was decoded, upright.
  func pictures(_ result: AttentionMaps, photo: Image) throws -> [Picture] {
    if style == .grid {
      return [
        Picture(suffix: "\(mapName(""))\(drawingSuffix)-grid", png: try grid(result.maps).encodedPNG())
      ]
    }
    return try result.maps.map { map in
      let values = valueMap(map)
      let image = style == .overlay ? try overlay(values, on: photo) : try heatMap(values, result, map)
      let kind = style == .heatmap ? "-heatmap" : ""
      return Picture(
        suffix: "\(mapName(suffix(of: map)))\(drawingSuffix)\(kind)", png: try image.encodedPNG())
    }
  }

  private func suffix(of map: PatchMap) -> String {
    guard let layer = map.layer else { return "" }
    return "-layer\(layer)" + (map.head.map { "-head\($0)" } ?? "-mean")
  }

  private var querySuffix: String {
    guard case .patch(let row, let column) = query else { return "" }
    return "-patch\(row),\(column)"
  }

  private func valueMap(_ map: PatchMap) -> ValueMap {
    let values = threshold.map { AttentionMass.top($0, of: map.values) } ?? map.values
    return ValueMap(rows: model.grid.height, columns: model.grid.width, values: values)
  }

  /// Some patches of large models draw much attention whatever they show (arXiv:2309.16588); the highest values share a colour, so
  /// that the others can be told apart. Differential attention may be negative: its colours diverge from 0.
  private func scale(_ maps: [ValueMap]) -> ColorScale {
    model.configuration.differentialAttention
      ? ColorScale(.coolwarm, fitting: maps, isSymmetric: true)
      : ColorScale(.viridis, fitting: maps.map(Self.clipped))
  }

  /// The share of a map's values that have the highest colour.
  private static let topShare = 0.01

  private static func clipped(_ map: ValueMap) -> ValueMap {
    let sorted = map.values.sorted()
    let top = sorted[sorted.count - 1 - Int(Double(sorted.count) * topShare)]
    // With a threshold most values are 0.
    guard top > 0 else { return map }
    return ValueMap(rows: map.rows, columns: map.columns, values: map.values.map { min($0, top) })
  }

  // MARK: Styles

  private func overlay(_ values: ValueMap, on photo: Image) throws -> Image {
    let heatMap = HeatMap(values, scale: scale([values]), upsampling: upsampling)
    let region = region(of: ImageSize(height: model.grid.height, width: model.grid.width), on: photo)
    var overlay = Overlay(heatMap, over: photo, region: region)
    (overlay.opacity, overlay.greying) = (0.8, 0.75)
    // Where little is attended to, the photo is to be seen; below 0 is as much as above.
    overlay.lowOpacity = model.configuration.differentialAttention ? 0.5 : 0.04
    let image = try overlay.image()
    guard case .patch(let row, let column) = query else { return image }
    return try marked(image, patch: row, column, region)
  }

  /// Where so many patches from the top left corner on lie on the photo.
  private func region(of patches: ImageSize, on photo: Image) -> ImageRegion {
    let patch = model.configuration.patchSize
    let part = model.transform.seenPart(
      ImageSize(height: patches.height * patch.height, width: patches.width * patch.width), of: photo.size)
    return ImageRegion(
      x: part.columns.lowerBound, y: part.rows.lowerBound,
      width: part.columns.upperBound - part.columns.lowerBound,
      height: part.rows.upperBound - part.rows.lowerBound)
  }

  /// The image with a frame around the patch that queries.
  private func marked(_ image: Image, patch row: Int, _ column: Int, _ region: ImageRegion) throws -> Image {
    var theme = Theme.standard
    theme.scale = 1
    let canvas = try Canvas(width: Double(image.width), height: Double(image.height), theme: theme)
    canvas.draw(image, at: Point(0, 0))
    let (height, width) = (region.height / Double(model.grid.height), region.width / Double(model.grid.width))
    let frame = Rectangle(
      x: region.x + Double(column) * width, y: region.y + Double(row) * height, width: width, height: height)
    // What is framed is to be seen, in small photos, too: three of these are at most a third of the patch.
    let line = min(Double(max(1, min(image.size.height, image.size.width) / 360)), min(height, width) / 9)
    canvas.frame(frame, .black, width: 3 * line)
    canvas.frame(frame, .white, width: 2 * line)
    return try canvas.finish()
  }

  /// One map with its numbers.
  private func heatMap(_ values: ValueMap, _ result: AttentionMaps, _ map: PatchMap) throws -> Image {
    let scale = scale([values])
    let patch = model.configuration.patchSize
    let side = Double(Self.heatMapSide) / Double(max(model.transform.size.height, model.transform.size.width))
    let size = ImageSize(
      height: max(1, Int((side * Double(model.grid.height * patch.height)).rounded())),
      width: max(1, Int((side * Double(model.grid.width * patch.width)).rounded())))
    var figure = PanelGrid(
      [.init(try HeatMap(values, scale: scale, upsampling: upsampling).image(size))], columns: 1)
    figure.title = title(result, map)
    var bar = ColorBar(scale)
    bar.isOpen = values.values.contains { $0 > scale.range.upperBound }
    figure.colorBar = bar
    return try figure.draw()
  }

  /// Pixels of a heat map's longer side.
  private static let heatMapSide = 560

  private func title(_ result: AttentionMaps, _ map: PatchMap) -> String {
    switch method {
    case .raw: "layer \(map.layer ?? 0), " + (map.head.map { "head \($0)" } ?? "mean of the heads")
    case .rollout: "rollout"
    case .attribution:
      "attribution: " + (result.prediction.map { $0.label ?? "class \($0.index)" } ?? "")
    }
  }

  /// All maps, layers as rows and heads as columns, each in its own scale.
  private func grid(_ maps: [PatchMap]) throws -> Image {
    let columns = max(1, maps.prefix { $0.layer == maps.first?.layer }.count)
    let panel = min(max(Self.gridSide / max(columns, maps.count / columns), 96), 320)
    let side = max(1, panel / max(model.grid.height, model.grid.width))
    var panels: [PanelGrid.Panel?] = []
    for map in maps {
      let values = valueMap(map)
      let heatMap = HeatMap(values, scale: scale([values]), upsampling: upsampling)
      panels.append(.init(try heatMap.image(patchSide: side)))
    }
    var figure = PanelGrid(panels, columns: columns)
    figure.title = "Attention of \(whose)"
    figure.rowLabels = stride(from: 0, to: maps.count, by: columns).map { "\(maps[$0].layer ?? 0)" }
    figure.rowTitle = "layer"
    figure.columnLabels = maps.prefix(columns).map { $0.head.map(String.init) ?? "mean" }
    figure.columnTitle = "head"
    return try figure.draw()
  }

  /// Pixels of a grid's longer side, about; its panels have at least 96 and at most 320.
  private static let gridSide = 1344

  private var whose: String {
    switch query {
    case .classToken: "the class token"
    case .patch(let row, let column): "patch \(row),\(column)"
    case .meanOfPatches: "the patches (mean)"
    }
  }
}
