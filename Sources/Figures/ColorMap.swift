/// A published map from numbers to 256 colours, in which equal steps look equal.
public enum ColorMap: String, CaseIterable, Sendable {
  case viridis, magma, inferno, cividis
  /// Diverging, from blue over grey to red: for values around zero.
  case coolwarm

  /// uint8 [256, 3]: the colours from the lowest value to the highest.
  public var table: [UInt8] { Self.tables[self] ?? [] }

  /// - Parameter share: 0 for the lowest value, 1 for the highest; what lies beyond is taken for these.
  public func color(_ share: Double) -> Color {
    self[UInt8((min(max(share, 0), 1) * 255).rounded())]
  }

  /// The colour of one of the 256 levels.
  public subscript(level: UInt8) -> Color {
    let (table, first) = (table, 3 * Int(level))
    return Color(red: table[first], green: table[first + 1], blue: table[first + 2])
  }

  /// What `scripts/reference/color_maps.py` wrote, read once.
  private static let tables: [ColorMap: [UInt8]] = {
    let text = String(decoding: PackageResources.color_maps_txt, as: UTF8.self)
    var tables: [ColorMap: [UInt8]] = [:]
    for line in text.split(separator: "\n") {
      let parts = line.split(separator: " ")
      guard parts.count == 2, let map = ColorMap(rawValue: String(parts[0])) else { continue }
      let digits = parts[1].compactMap(\.hexDigitValue)
      tables[map] = stride(from: 0, to: digits.count - 1, by: 2).map {
        UInt8(16 * digits[$0] + digits[$0 + 1])
      }
    }
    precondition(allCases.allSatisfy { tables[$0]?.count == 768 }, "color-maps.txt holds 256 colours a map")
    return tables
  }()
}

/// Which value has which colour.
public struct ColorScale: Sendable, Equatable {
  public let map: ColorMap
  /// The values of the first and the last colour; those beyond have the same.
  public let range: ClosedRange<Float>

  public init(_ map: ColorMap, _ range: ClosedRange<Float>) {
    (self.map, self.range) = (map, range)
  }

  /// From the smallest to the largest finite value of some maps.
  /// - Parameter isSymmetric: whether zero has the middle colour, as a diverging map wants it.
  public init(_ map: ColorMap, fitting maps: [ValueMap], isSymmetric: Bool = false) {
    var (low, high) = (Float.infinity, -Float.infinity)
    for values in maps {
      for value in values.values where value.isFinite { (low, high) = (min(low, value), max(high, value)) }
    }
    if low > high { (low, high) = (0, 1) }
    if isSymmetric { (low, high) = (-max(-low, high), max(-low, high)) }
    self.init(map, low...high)
  }

  /// Which of the 256 levels a value has; one that is not finite has the lowest.
  public func level(_ value: Float) -> UInt8 {
    let span = range.upperBound - range.lowerBound
    guard value.isFinite, span > 0 else { return value > range.upperBound ? 255 : 0 }
    return UInt8((min(max((value - range.lowerBound) / span, 0), 1) * 255).rounded())
  }

  public func color(_ value: Float) -> Color { map[level(value)] }
}
