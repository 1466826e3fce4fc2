#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The natural logarithm.
func logarithm(_ x: Float) -> Double { log(Double(x)) }

func exponential(_ x: Double) -> Double { exp(x) }

/// 10 · log10(x)
func decibels(_ x: Double) -> Double { 10 * log10(x) }

/// Ratios in decibels.
public enum Decibels {
  /// The ratio of amplitudes, of which decibels tell the squares.
  public static func amplitude(_ decibels: Double) -> Double { pow(10, decibels / 20) }
}
