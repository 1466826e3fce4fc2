#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What the random numbers of data and augmentation are for; see `CounterRandom`.
enum DataStream {
  /// Position: epoch, sample, step of the recipe.
  static let augmentation: UInt64 = 0x6175_676D
  /// Position: step of the training, element of the batch.
  static let mixing: UInt64 = 0x6D69_7800
  /// Position: class.
  static let holdOut: UInt64 = 0x686F_6C64
}

/// Distributions. Each is written out here, since the standard library's may change with its version, and the results of a run with them.
extension CounterRandom {
  /// Uniform in [0, 1): a multiple of 2⁻⁵³.
  mutating func unit() -> Double {
    Double(next() >> 11) * 0x1p-53
  }

  /// Uniform in [range.lowerBound, range.upperBound).
  mutating func value(in range: ClosedRange<Double>) -> Double {
    range.lowerBound + (range.upperBound - range.lowerBound) * unit()
  }

  /// Whether something of this probability happens.
  mutating func happens(_ probability: Double) -> Bool { unit() < probability }

  /// One of 0, ..., count - 1, all equally probable (Lemire, "Fast Random Integer Generation in an Interval", 2019).
  mutating func index(below count: Int) -> Int {
    precondition(count > 0, "a choice among nothing")
    let count = UInt64(count)
    let threshold = (0 &- count) % count
    while true {
      let (high, low) = next().multipliedFullWidth(by: count)
      if low >= threshold { return Int(high) }
    }
  }

  /// One of the whole numbers in a range.
  mutating func integer(in range: ClosedRange<Int>) -> Int {
    range.lowerBound + index(below: range.count)
  }

  /// The elements in any order, all equally probable (Fisher and Yates).
  mutating func shuffled<Element>(_ elements: [Element]) -> [Element] {
    var elements = elements
    for last in stride(from: elements.count - 1, to: 0, by: -1) {
      elements.swapAt(last, index(below: last + 1))
    }
    return elements
  }

  /// Normal, of mean 0 and deviation 1 (Box and Muller).
  mutating func normal() -> Double {
    sqrt(-2 * log(1 - unit())) * cos(2 * .pi * unit())
  }

  /// Gamma of the given shape and scale 1 (Marsaglia and Tsang, "A Simple Method for Generating Gamma Variables", 2000).
  mutating func gamma(_ shape: Double) -> Double {
    guard shape >= 1 else { return gamma(shape + 1) * pow(1 - unit(), 1 / shape) }
    let d = shape - 1 / 3.0
    let c = 1 / sqrt(9 * d)
    while true {
      let x = normal()
      let v = pow(1 + c * x, 3)
      if v > 0, log(1 - unit()) < 0.5 * x * x + d - d * v + d * log(v) { return d * v }
    }
  }

  /// Beta(alpha, alpha), within 0...1.
  mutating func beta(_ alpha: Double) -> Double {
    let (a, b) = (gamma(alpha), gamma(alpha))
    // Of a small alpha both may be too small for a number; then one of them is far larger, and it is a matter of chance which.
    return a + b > 0 ? a / (a + b) : unit() < 0.5 ? 0 : 1
  }
}
