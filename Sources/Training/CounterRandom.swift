/// Random numbers that depend on where they are used, and on nothing that happened before: Philox4x32-10 (Salmon, Moraes, Dror, Shaw,
/// "Parallel Random Numbers: As Easy as 1, 2, 3", 2011).
///
/// Whoever needs numbers names the place: the run's seed, a stream (what they are for), and a position in it (epoch and sample, or step and
/// layer). The same place gives the same numbers on every thread, in every order, and after a resumption.
public struct CounterRandom: RandomNumberGenerator, Sendable {
  package typealias Block = SIMD4<UInt32>

  private let key: SIMD2<UInt32>
  private var counter: UInt64 = 0
  private var block = Block()
  /// Words of `block` that have been given out.
  private var used = 4

  /// - Parameters:
  ///   - seed: of the run.
  ///   - stream: what the numbers are for.
  ///   - position: where in the stream, from the coarsest to the finest coordinate.
  public init(seed: UInt64, stream: UInt64, position: UInt64...) {
    // Each coordinate is enciphered under the key so far. Its depth tells (1, 0) from (0, 1); the last word keeps these blocks apart from
    // those that are given out.
    var key = CounterRandom.words(seed)
    for (depth, coordinate) in ([stream] + position).enumerated() {
      let words = CounterRandom.words(coordinate)
      let block = CounterRandom.philox(
        Block(words.x, words.y, UInt32(truncatingIfNeeded: depth), .max), key: key)
      key = SIMD2(block.x, block.y)
    }
    self.key = key
  }

  public mutating func next() -> UInt64 {
    let (low, high) = (UInt64(word()), UInt64(word()))
    return high << 32 | low
  }

  /// The next 32 bits.
  public mutating func word() -> UInt32 {
    if used == 4 {
      let words = CounterRandom.words(counter)
      block = CounterRandom.philox(Block(words.x, words.y, 0, 0), key: key)
      counter &+= 1
      used = 0
    }
    defer { used += 1 }
    return block[used]
  }

  /// Uniform in [0, 1): a multiple of 2⁻²⁴.
  public mutating func uniform() -> Float {
    Float(word() >> 8) * 0x1p-24
  }

  /// Uniform in [range.lowerBound, range.upperBound).
  public mutating func uniform(in range: ClosedRange<Float>) -> Float {
    range.lowerBound + (range.upperBound - range.lowerBound) * uniform()
  }

  // MARK: Philox4x32-10

  private static func words(_ value: UInt64) -> SIMD2<UInt32> {
    SIMD2(UInt32(truncatingIfNeeded: value), UInt32(truncatingIfNeeded: value >> 32))
  }

  /// Ten rounds over a counter of four words.
  package static func philox(_ counter: Block, key: SIMD2<UInt32>) -> Block {
    var (x, k) = (counter, key)
    for _ in 0..<10 {
      let a = x.x.multipliedFullWidth(by: 0xD251_1F53)
      let b = x.z.multipliedFullWidth(by: 0xCD9E_8D57)
      x = Block(b.high ^ x.y ^ k.x, b.low, a.high ^ x.w ^ k.y, a.low)
      k = k &+ SIMD2(0x9E37_79B9, 0xBB67_AE85)
    }
    return x
  }
}
