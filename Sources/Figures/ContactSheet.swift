import Images

/// Thumbnails in rows and columns with words beneath, such as predictions.
public struct ContactSheet: Figure {
  /// Images that a sheet has room for.
  public static let maxCount = 240
  /// Sides of a thumbnail, in pixels, at most.
  private static let side = 192

  private var panels: [PanelGrid.Panel?] = []
  public var title: String?
  /// Images that there was no room for.
  public private(set) var leftOut = 0

  public init() {}

  public var isEmpty: Bool { panels.isEmpty }

  /// The image as large as fits, a small one pixel by pixel; nil where it cannot be resized.
  public static func thumbnail(of image: Image) -> Image? {
    let longest = max(image.width, image.height)
    guard longest > side else { return image.magnified(by: side / longest) }
    func scaled(_ edge: Int) -> Int { max(1, (edge * side + longest / 2) / longest) }
    return try? image.resized(
      width: scaled(image.width), height: scaled(image.height), interpolation: .bicubic)
  }

  /// Adds an image; beyond the limit it is only counted.
  /// - Parameters:
  ///   - thumbnail: nil for one that could not be read, which leaves a grey place.
  ///   - title: in bold beneath it.
  ///   - lines: below the title.
  public mutating func add(_ thumbnail: Image?, title: String, lines: [String]) {
    guard panels.count < Self.maxCount else {
      leftOut += 1
      return
    }
    let image = thumbnail ?? Self.missing
    panels.append(.init(image, caption: [title] + lines, isEmphasized: true))
  }

  private static var missing: Image {
    let color = Theme.standard.grid
    let pixels = (0..<side * side).flatMap { _ in [color.red, color.green, color.blue] }
    return Image(width: side, height: side, pixels: pixels)
  }

  public func draw(_ theme: Theme) throws -> Image {
    // A bit wider than high.
    let columns = (1...12).first { 2 * $0 * $0 >= 3 * panels.count } ?? 12
    var grid = PanelGrid(panels, columns: min(columns, max(1, panels.count)))
    grid.title = title
    grid.spacing = 8
    return try grid.draw(theme)
  }
}
