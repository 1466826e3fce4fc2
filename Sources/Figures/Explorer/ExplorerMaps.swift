import CZlib

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The maps of a picture in an explorer, in a byte a value: the root of its share of its map's largest value.
///
/// Of each layer and head there is a map for each query: that of the whole picture (the class token's, or the mean over the patches), then
/// each patch's in the order of reading. Rollouts have the same queries. Attributions are one map a class, without a scale.
public struct ExplorerMaps: Sendable {
  public let layers: Int
  public let heads: Int
  public let rows: Int
  public let columns: Int
  /// [layers * heads * (1 + patches)]
  private var scales: [UInt8]
  /// [layers * heads * (1 + patches), patches]
  private var levels: [UInt8]
  private var rolloutScales: [UInt8]
  private var rolloutLevels: [UInt8]
  private var attributions: [[UInt8]] = []

  public init(layers: Int, heads: Int, rows: Int, columns: Int) {
    (self.layers, self.heads, self.rows, self.columns) = (layers, heads, rows, columns)
    let (patches, queries) = (rows * columns, rows * columns + 1)
    scales = [UInt8](repeating: 0, count: layers * heads * queries)
    levels = [UInt8](repeating: 0, count: layers * heads * queries * patches)
    rolloutScales = [UInt8](repeating: 0, count: queries)
    rolloutLevels = [UInt8](repeating: 0, count: queries * patches)
  }

  private var patches: Int { rows * columns }
  var attributionCount: Int { attributions.count }

  /// Keeps the map of a head and query; 0 is the query of the whole picture.
  /// - Parameter map: [rows * columns], not below 0.
  public mutating func set(layer: Int, head: Int, query: Int, _ map: [Float]) {
    let place = (layer * heads + head) * (patches + 1) + query
    scales[place] = Self.write(map, to: &levels, at: place * patches)
  }

  public mutating func setRollout(query: Int, _ map: [Float]) {
    rolloutScales[query] = Self.write(map, to: &rolloutLevels, at: query * patches)
  }

  /// Adds the attribution of the next class.
  public mutating func addAttribution(_ map: [Float]) {
    let top = map.max() ?? 0
    attributions.append(map.map { top > 0 ? Self.level(max(0, $0) / top) : 0 })
  }

  private static func level(_ share: Float) -> UInt8 {
    UInt8((255 * min(share, 1).squareRoot()).rounded())
  }

  /// - Returns: the scale s of the map: shares are of 2^(-s / 16).
  private static func write(_ map: [Float], to levels: inout [UInt8], at start: Int) -> UInt8 {
    let top = map.max() ?? 0
    guard top > 0 else { return 255 }
    let scale = min(max((-16 * log2(Double(top))).rounded(.down), 0), 255)
    let factor = Float(exp2(scale / 16))
    for (index, value) in map.enumerated() { levels[start + index] = level(max(0, value) * factor) }
    return UInt8(scale)
  }

  /// All maps as the page reads them, compressed, with as many levels for the heads' maps as a limit allows.
  /// - Parameter limit: of bytes; the fewest levels are used where it cannot be kept.
  func packed(limit: Int) -> (bytes: [UInt8], levels: Int) {
    let choices = [16, 12, 8, 6, 4]
    for count in choices {
      let table = (0...255).map { UInt8((Double($0) / 255 * Double(count - 1)).rounded()) }
      let bytes = Self.deflated(
        scales + levels.map { table[Int($0)] } + rolloutScales + rolloutLevels + attributions.flatMap { $0 })
      if bytes.count <= limit || count == choices.last { return (bytes, count) }
    }
    return ([], 0)
  }

  /// In zlib's format.
  private static func deflated(_ bytes: [UInt8]) -> [UInt8] {
    let capacity = Int(compressBound(uLong(bytes.count)))
    return [UInt8](unsafeUninitializedCapacity: capacity) { output, count in
      var length = uLongf(capacity)
      let status = compress2(output.baseAddress, &length, bytes, uLong(bytes.count), 6)
      count = status == Z_OK ? Int(length) : 0
    }
  }
}
