import Figures
import Testing

/// The tables against what matplotlib says of them.
@Suite struct ColorMapTests {
  /// Levels 0, 64, 128 and 255.
  static let known: [(ColorMap, [UInt32])] = [
    (.viridis, [0x440154, 0x3b528b, 0x21918c, 0xfde725]), (.magma, [0x000004, 0x51127c, 0xb73779, 0xfcfdbf]),
    (.inferno, [0x000004, 0x57106e, 0xbc3754, 0xfcffa4]),
    (.cividis, [0x00224e, 0x434e6c, 0x7d7c78, 0xfee838]),
    (.coolwarm, [0x3b4cc0, 0x8db0fe, 0xdddcdc, 0xb40426]),
  ]

  @Test(arguments: known) func `levels have matplotlib's colours`(map: ColorMap, colors: [UInt32]) {
    #expect([0, 64, 128, 255].map { map[$0] } == colors.map(Color.init))
    #expect(map.table.count == 768)
  }

  @Test func `shares beyond the ends have the colours of the ends`() {
    #expect(ColorMap.viridis.color(-1) == ColorMap.viridis[0])
    #expect(ColorMap.viridis.color(2) == ColorMap.viridis[255])
    #expect(ColorMap.viridis.color(0.5) == ColorMap.viridis[128])
  }

  @Test(arguments: ColorMap.allCases.filter { $0 != .coolwarm })
  func `maps for sizes grow brighter all the way`(map: ColorMap) {
    let luminances = (0...255).map { map[UInt8($0)].luminance }
    #expect(zip(luminances, luminances.dropFirst()).allSatisfy { $0 < $1 + 0.002 })
  }

  @Test func `a scale takes values to levels`() {
    let scale = ColorScale(.magma, -1...3)
    #expect(
      [-1, 0, 1, 3, -9, 9, .infinity, -.infinity, .nan].map(scale.level) == [
        0, 64, 128, 255, 0, 255, 255, 0, 0,
      ])
    // A scale of one value has a colour, too.
    #expect(ColorScale(.magma, 2...2).level(2) == 0)
  }

  @Test func `a scale fits maps and passes over what is no number`() {
    let map = ValueMap(rows: 1, columns: 4, values: [-0.5, .nan, .infinity, 2])
    #expect(ColorScale(.viridis, fitting: [map]).range == -0.5...2)
    #expect(ColorScale(.coolwarm, fitting: [map], isSymmetric: true).range == -2...2)
    let none = ValueMap(rows: 1, columns: 1, values: [.nan])
    #expect(ColorScale(.viridis, fitting: [none]).range == 0...1)
  }
}
