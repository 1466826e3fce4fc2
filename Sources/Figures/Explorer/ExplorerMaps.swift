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
/// each patch's in the order of reading. Rollouts have the same queries. Attributions are one map a class, without a scale. Many values of a
/// map are alike in so few levels: where the largest truly is stands beside it.
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
  /// The patches with the largest values: [layers * (1 + heads) * (1 + patches)], of which the first of each layer are those of the mean.
  private var peaks: [UInt16]
  private var rolloutPeaks: [UInt16]
  private var attributionPeaks: [UInt16] = []
  /// What the heads of the present layer add up to [(1 + patches), patches], and how many maps did so far.
  private var sums: [Float]
  private var summed = 0

  public init(layers: Int, heads: Int, rows: Int, columns: Int) {
    (self.layers, self.heads, self.rows, self.columns) = (layers, heads, rows, columns)
    let (patches, queries) = (rows * columns, rows * columns + 1)
    scales = [UInt8](repeating: 0, count: layers * heads * queries)
    levels = [UInt8](repeating: 0, count: layers * heads * queries * patches)
    rolloutScales = [UInt8](repeating: 0, count: queries)
    rolloutLevels = [UInt8](repeating: 0, count: queries * patches)
    peaks = [UInt16](repeating: 0, count: layers * (heads + 1) * queries)
    rolloutPeaks = [UInt16](repeating: 0, count: queries)
    sums = [Float](repeating: 0, count: queries * patches)
  }

  private var patches: Int { rows * columns }
  var attributionCount: Int { attributions.count }

  /// Keeps the map of a head and query; 0 is the query of the whole picture. Each is set once, those of a layer before those of the next.
  /// - Parameter map: [rows * columns], not below 0.
  public mutating func set(layer: Int, head: Int, query: Int, _ map: [Float]) {
    let place = (layer * heads + head) * (patches + 1) + query
    scales[place] = Self.write(map, to: &levels, at: place * patches)
    let queries = patches + 1
    peaks[((layer * (heads + 1)) + 1 + head) * queries + query] = Self.peak(map[...])
    for (index, value) in map.enumerated() { sums[query * patches + index] += value }
    summed += 1
    guard summed == heads * queries else { return }
    for query in 0..<queries {
      peaks[layer * (heads + 1) * queries + query] = Self.peak(
        sums[query * patches..<(query + 1) * patches])
    }
    (sums, summed) = ([Float](repeating: 0, count: sums.count), 0)
  }

  /// The place of the largest value; of equal ones the first.
  private static func peak(_ map: ArraySlice<Float>) -> UInt16 {
    var best = map.startIndex
    for index in map.indices where map[index] > map[best] { best = index }
    return UInt16(clamping: best - map.startIndex)
  }

  public mutating func setRollout(query: Int, _ map: [Float]) {
    rolloutScales[query] = Self.write(map, to: &rolloutLevels, at: query * patches)
    rolloutPeaks[query] = Self.peak(map[...])
  }

  /// Adds the attribution of the next class.
  public mutating func addAttribution(_ map: [Float]) {
    let top = map.max() ?? 0
    attributions.append(map.map { top > 0 ? Self.level(max(0, $0) / top) : 0 })
    attributionPeaks.append(Self.peak(map[...]))
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
    let places = peaks + rolloutPeaks + attributionPeaks
    // High bytes by themselves, which are 0 in most grids.
    let peakBytes = places.map { UInt8(truncatingIfNeeded: $0) } + places.map { UInt8($0 >> 8) }
    for count in choices {
      let table = (0...255).map { UInt8((Double($0) / 255 * Double(count - 1)).rounded()) }
      let bytes = Self.deflated(
        scales + levels.map { table[Int($0)] } + rolloutScales + rolloutLevels + attributions.flatMap { $0 }
          + peakBytes)
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
