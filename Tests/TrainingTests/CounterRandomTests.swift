import Testing
import Training

@Suite("Counter-based random numbers")
struct CounterRandomTests {
  /// The known answers of Random123, the authors' own library (`kat_vectors`).
  @Test func agreesWithTheAuthorsVectors() {
    #expect(
      CounterRandom.philox([0, 0, 0, 0], key: [0, 0])
        == [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8])
    #expect(
      CounterRandom.philox([.max, .max, .max, .max], key: [.max, .max])
        == [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd])
    #expect(
      CounterRandom.philox(
        [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], key: [0xa409_3822, 0x299f_31d0])
        == [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1])
  }

  @Test func aPlaceHasItsOwnNumbers() {
    func numbers(_ random: CounterRandom) -> [UInt64] {
      var random = random
      return (0..<4).map { _ in random.next() }
    }
    let places = [
      CounterRandom(seed: 1, stream: 2, position: 3, 4), CounterRandom(seed: 2, stream: 2, position: 3, 4),
      CounterRandom(seed: 1, stream: 3, position: 3, 4), CounterRandom(seed: 1, stream: 2, position: 4, 3),
      CounterRandom(seed: 1, stream: 2, position: 3), CounterRandom(seed: 1, stream: 2),
      CounterRandom(seed: 1, stream: 2, position: 3, 4, 0),
    ]
    #expect(numbers(places[0]) == numbers(places[0]))
    #expect(Set(places.map(numbers)).count == places.count)
    #expect(Set(places.flatMap(numbers)).count == 4 * places.count)
  }

  @Test func uniformNumbersFillTheirRange() {
    var random = CounterRandom(seed: 7, stream: 0)
    let values = (0..<10_000).map { _ in random.uniform(in: -2...4) }
    #expect(values.allSatisfy { (-2..<4).contains($0) })
    // The mean of n uniform numbers of width 6 deviates by 6 / sqrt(12 n) = 0.017; five times that is never seen.
    let mean = values.reduce(0, +) / Float(values.count)
    #expect(abs(mean - 1) < 0.087)
    #expect((values.min() ?? 0) < -1.9 && (values.max() ?? 0) > 3.9)
  }
}
