import Figures
import Testing

/// The numbers at an axis.
@Suite struct TicksTests {
  @Test(arguments: [
    (0.0...1.0, 6, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
    (0...1.05, 6, ["0", "0.25", "0.50", "0.75", "1.00"]),
    (-1...1, 6, ["−1.0", "−0.5", "0", "0.5", "1.0"]), (0...100, 5, ["0", "25", "50", "75", "100"]),
    (3...97, 4, ["50"]), (0.63...2.2, 5, ["1.0", "1.5", "2.0"]), (0...13_700, 4, ["0", "5000", "10000"]),
    (0...0.0002, 5, ["0", "5e-5", "1.0e-4", "1.5e-4", "2.0e-4"]), (0...3e7, 4, ["0", "1e7", "2e7", "3e7"]),
    (1e6...1.00002e6, 3, ["1.00000e6", "1.00001e6", "1.00002e6"]),
  ]) func `multiples of round numbers`(range: ClosedRange<Double>, limit: Int, labels: [String]) {
    #expect(Ticks(range, limit: limit).labels == labels)
  }

  @Test func `whole numbers stay whole`() {
    #expect(Ticks(1...3, limit: 8, isWhole: true).labels == ["1", "2", "3"])
    #expect(Ticks(1...10, limit: 5, isWhole: true).labels == ["5", "10"])
    #expect(Ticks(0...0.4, limit: 5, isWhole: true).labels == ["0"])
    #expect(Ticks(1...100, limit: 5, isWhole: true).labels == ["25", "50", "75", "100"])
  }

  @Test func `shares are written as per cent`() {
    #expect(Ticks(0...1, limit: 5, format: .percent).labels == ["0 %", "25 %", "50 %", "75 %", "100 %"])
    #expect(Ticks(0.8...0.81, limit: 3, format: .percent).labels == ["80.0 %", "80.5 %", "81.0 %"])
  }

  @Test(arguments: [
    2.0...2.0, 0...Double.greatestFiniteMagnitude, -1e308...1e308, 0...Double.leastNonzeroMagnitude,
    1e305...2e305, 0...Double.leastNormalMagnitude,
    1...1.0000000000000002, -.infinity ... .infinity,
  ]) func `extreme ranges have few ticks, or none`(range: ClosedRange<Double>) {
    #expect(Ticks(range, limit: 6).labels.count <= 7)
  }

  @Test func `numbers in three digits`() {
    #expect(
      [0, 1, 12.345, 123.4, 0.05, -7.25, 1234, 0.00001234, 1e9].map(Ticks.short)
        == ["0", "1.00", "12.3", "123", "0.0500", "−7.25", "1234", "1.23e-5", "1.00e9"])
    #expect(Ticks.short(.infinity) == "inf" && Ticks.short(.nan) == "nan")
    #expect(Ticks.fixed(-0.001, digits: 2) == "0.00" && Ticks.fixed(2.5, digits: 0) == "3")
  }
}
