#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// How numbers are written at an axis.
public enum NumberFormat: Sendable {
  case plain
  /// A share of 1, as per cent.
  case percent
}

/// The numbers that are written at an axis: multiples of 1, 2, 2.5 or 5 times a power of ten.
package struct Ticks {
  package let values: [Double]
  let step: Double
  let format: NumberFormat

  /// - Parameters:
  ///   - range: of the axis.
  ///   - limit: how many there is room for, at least 2.
  ///   - isWhole: whether nothing lies between whole numbers.
  package init(_ range: ClosedRange<Double>, limit: Int, isWhole: Bool = false, format: NumberFormat = .plain)
  {
    self.format = format
    let span = range.upperBound - range.lowerBound
    // Beyond the precision of numbers there is nothing to tell apart.
    let largest = max(abs(range.lowerBound), abs(range.upperBound))
    guard span.isFinite, span > 1e-300, span > 1e-12 * largest, largest < 1e300 else {
      (values, step) = (range.lowerBound.isFinite ? [range.lowerBound] : [], 1)
      return
    }
    let rough = span / Double(max(1, limit - 1))
    let power = pow(10, log10(rough).rounded(.down))
    let factors = isWhole && power < 10 ? [1.0, 2, 5, 10] : [1, 2, 2.5, 5, 10]
    let factor = factors.first { $0 * power >= rough * (1 - 1e-9) } ?? 10
    let step = isWhole ? max(1, factor * power) : factor * power
    self.step = step
    let first = (range.lowerBound / step - 1e-9).rounded(.up)
    let last = (range.upperBound / step + 1e-9).rounded(.down)
    values = first <= last ? (0...Int(last - first)).map { (first + Double($0)) * step } : []
  }

  package var labels: [String] { values.map(label) }

  func label(_ value: Double) -> String {
    switch format {
    case .plain: Self.text(value, step: step)
    case .percent: Self.text(100 * value, step: 100 * step) + " %"
    }
  }

  /// As many digits as tell multiples of `step` apart.
  static func text(_ value: Double, step: Double) -> String {
    if abs(value) < step / 2 { return "0" }
    if step >= 0.99e-4, abs(value) < 1e6 { return fixed(value, digits: digits(of: step)) }
    let power = Int(log10(abs(value) * (1 + 1e-9)).rounded(.down))
    let unit = pow(10, Double(power))
    return "\(fixed(value / unit, digits: digits(of: step / unit)))e\(power)"
  }

  /// Digits behind the point that a number of few digits has.
  private static func digits(of number: Double) -> Int {
    var (rest, digits) = (number, 0)
    while digits < 12, abs(rest - rest.rounded()) > 1e-6 * rest { (rest, digits) = (10 * rest, digits + 1) }
    return digits
  }

  /// A number with a fixed count of digits behind the point.
  package static func fixed(_ value: Double, digits: Int) -> String {
    guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
    let scale = (0..<digits).reduce(1) { scale, _ in 10 * scale }
    let rounded = (abs(value) * Double(scale)).rounded()
    guard rounded < 9e18 else { return "\(value)" }
    let whole = Int(rounded)
    let sign = value < 0 && whole > 0 ? "\u{2212}" : ""
    guard digits > 0 else { return sign + "\(whole)" }
    let fraction = String(whole % scale)
    return sign + "\(whole / scale)." + String(repeating: "0", count: digits - fraction.count) + fraction
  }

  /// A number in about three digits.
  package static func short(_ value: Double) -> String {
    guard value.isFinite, value != 0 else { return value == 0 ? "0" : "\(value)" }
    let power = Int(log10(abs(value)).rounded(.down))
    return text(value, step: pow(10, Double(power - 2)))
  }
}
