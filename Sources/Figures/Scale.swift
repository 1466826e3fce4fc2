/// Values along an axis, and where they are drawn.
struct Scale {
  let range: ClosedRange<Double>
  private let start: Double
  private let end: Double

  /// - Parameter start, end: positions of the range's bounds, in points; either may be the larger one.
  init(_ range: ClosedRange<Double>, from start: Double, to end: Double) {
    (self.range, self.start, self.end) = (range, start, end)
  }

  func position(_ value: Double) -> Double {
    let span = range.upperBound - range.lowerBound
    return span > 0 ? start + (end - start) * (value - range.lowerBound) / span : (start + end) / 2
  }

  /// The position of the value or, beyond the range, of its nearest bound.
  func clamped(_ value: Double) -> Double { position(min(max(value, range.lowerBound), range.upperBound)) }
}
