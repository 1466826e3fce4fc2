/// An opaque colour of 8 bits a channel, in sRGB.
public struct Color: Sendable, Hashable {
  public let red: UInt8
  public let green: UInt8
  public let blue: UInt8

  public init(red: UInt8, green: UInt8, blue: UInt8) {
    (self.red, self.green, self.blue) = (red, green, blue)
  }

  /// 0xRRGGBB.
  public init(_ hex: UInt32) {
    self.init(
      red: UInt8(truncatingIfNeeded: hex >> 16), green: UInt8(truncatingIfNeeded: hex >> 8),
      blue: UInt8(truncatingIfNeeded: hex))
  }

  public static let white = Color(0xFFFFFF)
  public static let black = Color(0x000000)

  /// Luma, 0...255 (ITU-R 601-2).
  public var luma: Double { 0.299 * Double(red) + 0.587 * Double(green) + 0.114 * Double(blue) }

  /// A share of this colour with the rest of another.
  public func mixed(_ share: Double, with other: Color) -> Color {
    func mix(_ own: UInt8, _ other: UInt8) -> UInt8 {
      UInt8(min(max((share * Double(own) + (1 - share) * Double(other)).rounded(), 0), 255))
    }
    return Color(
      red: mix(red, other.red), green: mix(green, other.green), blue: mix(blue, other.blue))
  }

  /// What is easiest to read on this colour: black or white.
  public var contrast: Color { luma > 140 ? .black : .white }
}
