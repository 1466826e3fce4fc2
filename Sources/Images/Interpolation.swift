#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The filter by which an image is resized. All but `nearest` widen with the reduction, so that nothing
/// aliases.
public enum Interpolation: String, CaseIterable, Codable, Sendable {
  case nearest, box, bilinear, hamming, bicubic, lanczos

  /// The filter behind one of Pillow's numbers, as `preprocessor_config.json` states it under `resample`.
  /// Nil for a number that stands for none of these filters.
  public init?(pillowCode code: Int) {
    switch code {
    case 0: self = .nearest
    case 1: self = .lanczos
    case 2: self = .bilinear
    case 3: self = .bicubic
    case 4: self = .box
    case 5: self = .hamming
    default: return nil
    }
  }

  /// How far the filter reaches to either side, in pixels of the coarser grid.
  var support: Double {
    switch self {
    case .nearest: 0
    case .box: 0.5
    case .bilinear, .hamming: 1
    case .bicubic: 2
    case .lanczos: 3
    }
  }

  /// The weight at distance `x`, not normalised. Every operation is in the order of Pillow's `Resample.c`.
  func weight(at x: Double) -> Double {
    switch self {
    case .nearest, .box:
      return x > -0.5 && x <= 0.5 ? 1 : 0
    case .bilinear:
      return abs(x) < 1 ? 1 - abs(x) : 0
    case .hamming:
      let x = abs(x)
      if x == 0 { return 1 }
      if x >= 1 { return 0 }
      let angle = x * .pi
      return sin(angle) / angle * (Double(0.54 as Float) + Double(0.46 as Float) * cos(angle))
    case .bicubic:
      // Keys (1981), equations 5 and 6, with a = -0.5.
      let a = -0.5
      let x = abs(x)
      if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
      if x < 2 { return (((x - 5) * x + 8) * x - 4) * a }
      return 0
    case .lanczos:
      return -3 <= x && x < 3 ? Self.sinc(x) * Self.sinc(x / 3) : 0
    }
  }

  private static func sinc(_ x: Double) -> Double {
    if x == 0 { return 1 }
    let angle = x * .pi
    return sin(angle) / angle
  }
}
