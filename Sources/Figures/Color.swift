#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

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

  /// A share of this colour with the rest of another.
  public func mixed(_ share: Double, with other: Color) -> Color {
    func mix(_ own: UInt8, _ other: UInt8) -> UInt8 {
      UInt8(min(max((share * Double(own) + (1 - share) * Double(other)).rounded(), 0), 255))
    }
    return Color(
      red: mix(red, other.red), green: mix(green, other.green), blue: mix(blue, other.blue))
  }

  /// Relative luminance, 0...1 (WCAG 2.2).
  public var luminance: Double {
    func linear(_ channel: UInt8) -> Double {
      let value = Double(channel) / 255
      return value <= 0.04045 ? value / 12.92 : pow((value + 0.055) / 1.055, 2.4)
    }
    return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
  }

  /// What has the higher contrast ratio to this colour: black or white.
  public var contrast: Color { (luminance + 0.05) * (luminance + 0.05) > 0.05 * 1.05 ? .black : .white }
}
