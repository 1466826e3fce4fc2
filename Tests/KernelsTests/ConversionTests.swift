import CKernels
import Foundation
import Kernels
import Testing

@Suite struct ConversionTests {
  /// binary16 by its definition (IEEE 754-2019, section 3.4), in arithmetic rather than in bits.
  private static func float16(_ bits: UInt16) -> Float {
    let sign: Float = bits & 0x8000 == 0 ? 1 : -1
    let exponent = Int(bits >> 10 & 0x1f)
    let fraction = Float(bits & 0x3ff) / 1024
    switch exponent {
    case 0: return sign * fraction * Float(exp2(-14.0))
    case 31 where fraction == 0: return sign * .infinity
    case 31:
      // Sign and payload stay, the quiet bit is set.
      return Float(bitPattern: UInt32(bits & 0x8000) << 16 | 0x7fc0_0000 | UInt32(bits & 0x3ff) << 13)
    default: return sign * (1 + fraction) * Float(exp2(Double(exponent - 15)))
    }
  }

  /// Bytes on an odd address.
  private func withOddBytes<R>(_ halves: [UInt16], _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R
  {
    var bytes: [UInt8] = [0]
    for half in halves { withUnsafeBytes(of: half) { bytes.append(contentsOf: $0) } }
    return try bytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[1...])) }
  }

  @Test(arguments: KernelVariant.available)
  func convertsEveryFloat16(variant: KernelVariant) throws {
    let all = (0...UInt16.max).map { $0 }
    let out = GuardedMatrix(rows: 1, columns: all.count)
    try withOddBytes(all) { bytes in
      let source = try #require(bytes.baseAddress)
      try operations(variant).float16_to_float32(source, out.base, all.count)
    }
    #expect(haveSameBits(out.values, all.map(ConversionTests.float16)))
    #expect(out.isIntact)
  }

  @Test(arguments: KernelVariant.available)
  func convertsEveryBFloat16(variant: KernelVariant) throws {
    let all = (0...UInt16.max).map { $0 }
    let out = GuardedMatrix(rows: 1, columns: all.count)
    try withOddBytes(all) { bytes in
      let source = try #require(bytes.baseAddress)
      try operations(variant).bfloat16_to_float32(source, out.base, all.count)
    }
    #expect(out.values.map(\.bitPattern) == all.map { UInt32($0) << 16 })
    #expect(out.isIntact)
  }

  @Test(arguments: KernelVariant.available, lengths)
  func convertsAnyLength(variant: KernelVariant, length: Int) throws {
    let halves = (0..<length).map { UInt16(truncatingIfNeeded: $0 &* 40503 &+ 7) }
    let (half, brain) = (GuardedMatrix(rows: 1, columns: length), GuardedMatrix(rows: 1, columns: length))
    try withOddBytes(halves) { bytes in
      let source = try #require(bytes.baseAddress)
      try operations(variant).float16_to_float32(source, half.base, length)
      try operations(variant).bfloat16_to_float32(source, brain.base, length)
    }
    #expect(haveSameBits(half.values, halves.map(ConversionTests.float16)))
    #expect(brain.values.map(\.bitPattern) == halves.map { UInt32($0) << 16 })
    #expect(half.isIntact && brain.isIntact)
  }

  /// Numbers around each binary16: the number, the midpoints to its neighbours and what lies right beside them.
  private static let floatsAroundHalves: [Float] = (0..<UInt16(0x7c00)).flatMap { bits -> [Float] in
    let (value, next) = (float16(bits), bits == 0x7bff ? 65536 : float16(bits + 1))
    let middle = (value + next) / 2
    return [value, middle.nextDown, middle, middle.nextUp].flatMap { [$0, -$0] }
  }

  /// Rounding by definition: the nearer of two neighbours, the one with an even fraction if both are as near.
  private static func nearestFloat16(_ x: Float) -> UInt16 {
    let sign: UInt16 = x.sign == .minus ? 0x8000 : 0
    let magnitude = Double(abs(x))
    // The numbers' order is that of their bits; 0x7c00 stands for 65,536.
    func value(_ bits: UInt16) -> Double { bits == 0x7c00 ? 65536 : Double(float16(bits)) }
    var (low, high): (UInt16, UInt16) = (0, 0x7c00)
    guard magnitude < 65536 else { return sign | 0x7c00 }
    while high - low > 1 {
      let middle = (low + high) / 2
      if value(middle) <= magnitude { low = middle } else { high = middle }
    }
    let (below, above) = (magnitude - value(low), value(high) - magnitude)
    let isLower = below == above ? low % 2 == 0 : below < above
    return sign | (isLower ? low : high)
  }

  /// The halves at an odd address that `convert` writes, and what it returns.
  private func halves(
    of values: [Float], _ convert: (UnsafePointer<Float>, UnsafeMutableRawPointer, Int) -> Bool
  ) throws -> (halves: [UInt16], staysFinite: Bool) {
    let source = GuardedMatrix(values)
    let guardByte: UInt8 = 0xa5
    var bytes = [UInt8](repeating: guardByte, count: 2 * values.count + 2)
    let staysFinite = try bytes.withUnsafeMutableBytes { bytes in
      convert(source.base, try #require(bytes.baseAddress) + 1, values.count)
    }
    #expect(bytes.first == guardByte && bytes.last == guardByte && source.isIntact)
    let halves = (0..<values.count).map { UInt16(bytes[2 * $0 + 1]) | UInt16(bytes[2 * $0 + 2]) << 8 }
    return (halves, staysFinite)
  }

  @Test(arguments: KernelVariant.available)
  func roundsToNearestFloat16(variant: KernelVariant) throws {
    let table = try operations(variant)
    let values = ConversionTests.floatsAroundHalves
    let result = try halves(of: values, table.float32_to_float16)
    let expected = values.map(ConversionTests.nearestFloat16)
    #expect(zip(result.halves, expected).first { $0 != $1 } == nil)
    #expect(!result.staysFinite)

    let tiny: [Float] = [0x1p-149, -0x1p-149, 0x1p-25, Float(0x1p-25).nextUp, -0.0]
    #expect(try halves(of: tiny, table.float32_to_float16).halves == [0, 0x8000, 0, 1, 0x8000])
  }

  @Test(arguments: KernelVariant.available)
  func roundsToNearestBFloat16(variant: KernelVariant) throws {
    let table = try operations(variant)
    var random = TestRandom()
    let bits = (0..<20_000).map { _ in UInt32.random(in: 0..<0x7f80_0000, using: &random) }
    // Random ones, ties both ways, and what lies right beside the ties.
    let values = bits.flatMap { bits -> [Float] in
      let upper = bits & 0xffff_0000
      return [bits, upper, upper | 0x7fff, upper | 0x8000, upper | 0x8001].flatMap {
        [Float(bitPattern: $0), Float(bitPattern: $0 | 0x8000_0000)]
      }
    }
    let expected = values.map { value -> UInt16 in
      let (upper, rest) = (UInt16(value.bitPattern >> 16), value.bitPattern & 0xffff)
      return rest > 0x8000 || rest == 0x8000 && upper % 2 == 1 ? upper + 1 : upper
    }
    let result = try halves(of: values, table.float32_to_bfloat16)
    #expect(zip(result.halves, expected).first { $0 != $1 } == nil)
  }

  @Test(arguments: KernelVariant.available, lengths)
  func saysWhetherFiniteNumbersStayedFinite(variant: KernelVariant, length: Int) throws {
    let table = try operations(variant)
    let cases: [((UnsafePointer<Float>, UnsafeMutableRawPointer, Int) -> Bool, UInt32)] = [
      (table.float32_to_float16, Float(65520).bitPattern), (table.float32_to_bfloat16, 0x7f7f_8000),
    ]
    for (convert, leastOverflow) in cases {
      for position in [0, length / 2, length - 1] {
        func staysFinite(_ value: Float) throws -> Bool {
          var values = [Float](repeating: 1, count: length)
          values[position] = value
          return try halves(of: values, convert).staysFinite
        }
        for sign in [UInt32(0), 0x8000_0000] {
          #expect(try !staysFinite(Float(bitPattern: leastOverflow | sign)))
          #expect(try !staysFinite(Float(bitPattern: 0x7f7f_ffff | sign)))
          #expect(try staysFinite(Float(bitPattern: (leastOverflow - 1) | sign)))
          #expect(try staysFinite(Float(bitPattern: 0x7f80_0000 | sign)))
          #expect(try staysFinite(Float(bitPattern: 0x7f80_0001 | sign)))
          #expect(try staysFinite(Float(bitPattern: 0x7fff_ffff | sign)))
        }
      }
    }
  }

  @Test(arguments: KernelVariant.available)
  func keepsNonFiniteNumbersInHalves(variant: KernelVariant) throws {
    let table = try operations(variant)
    let bits: [UInt32] = [0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0x7f80_0001, 0xffa5_6000]
    let values = bits.map { Float(bitPattern: $0) }
    #expect(
      try halves(of: values, table.float32_to_float16).halves == [0x7c00, 0xfc00, 0x7e00, 0x7e00, 0xff2b])
    #expect(
      try halves(of: values, table.float32_to_bfloat16).halves == [0x7f80, 0xff80, 0x7fc0, 0x7fc0, 0xffe5])
  }

  @Test(arguments: lengths)
  func convertsFloat64(length: Int) {
    var random = TestRandom()
    var values = (0..<length).map { _ in Double.random(in: -4...4, using: &random) }
    values[0] = 1 + 0x1p-24  // a tie, to even
    values[length - 1] = length == 1 ? values[0] : 1e300
    var bytes: [UInt8] = [0]
    for value in values { withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) } }
    let out = GuardedMatrix(rows: 1, columns: length)
    bytes.withUnsafeBytes { bytes in
      Elements.convertFloat64(
        UnsafeRawBufferPointer(rebasing: bytes[1...]), into: out.mutableView.row(0))
    }
    #expect(out.values == values.map { Float($0) } && out.isIntact)
  }

  @Test(arguments: [(0, 5), (1, 1), (1, 33), (16, 16), (17, 31), (48, 129), (3, 768)])
  func transposes(rows: Int, columns: Int) {
    let source = GuardedMatrix(rows: rows, columns: columns, gap: 3) { Float(1000 * $0 + $1) }
    let out = GuardedMatrix(rows: columns, columns: rows, gap: 2) { _, _ in .nan }
    Elements.transpose(source.view, into: out.mutableView)
    #expect(out.values == (0..<columns).flatMap { column in (0..<rows).map { source[$0, column] } })
    #expect(out.isIntact && source.isIntact)
  }

  /// Turned and rounded at once, as the plain twin does; rows of pairs end with a whole one, and nothing lies behind it.
  @Test(arguments: KernelVariant.available, [(1, 1), (2, 16), (17, 31), (33, 5), (64, 48), (129, 33)])
  func transposesAndRounds(variant: KernelVariant, shape: (Int, Int)) throws {
    let (rows, columns) = shape
    let source = GuardedMatrix(rows: rows, columns: columns, gap: 3) {
      (1 + 0x1p-8 * Float($0 % 7)) * Float($1 - 3) * 0x1.01p3
    }
    for element in [CKERNELS_FLOAT32, CKERNELS_ROUNDED_FLOAT32, CKERNELS_BFLOAT16] {
      let width = element == CKERNELS_BFLOAT16 ? (rows + 1) / 2 : rows
      func turned(_ variant: KernelVariant) throws -> [UInt32] {
        let out = GuardedMatrix(rows: columns, columns: width, gap: 2) { _, _ in .nan }
        try operations(variant).transpose(
          source.base, source.stride, rows, columns, element, out.base, 4 * out.stride)
        #expect(out.isIntact)
        return out.values.map(\.bitPattern)
      }
      #expect(try turned(variant) == turned(.plain), "\(element)")
    }
  }

  @Test func swiftFaceConverts() {
    var out = [Float](repeating: 0, count: 3)
    withOddBytes([0x3c00, 0xc000, 0x0001]) { bytes in
      out.withUnsafeMutableBufferPointer { Elements.convertFloat16(bytes, into: $0) }
    }
    #expect(out == [1, -2, 0x1p-24])
    withOddBytes([0x3f80, 0xc000, 0x0080]) { bytes in
      out.withUnsafeMutableBufferPointer { Elements.convertBFloat16(bytes, into: $0) }
    }
    #expect(out == [1, -2, .leastNormalMagnitude])
    var halves = [UInt16](repeating: 0, count: 3)
    [Float(1), -2, 70000].withUnsafeBufferPointer { source in
      halves.withUnsafeMutableBytes { #expect(!Elements.convertFloat32ToFloat16(source, into: $0)) }
      #expect(halves == [0x3c00, 0xc000, 0x7c00])
      halves.withUnsafeMutableBytes { #expect(Elements.convertFloat32ToBFloat16(source, into: $0)) }
      #expect(halves == [0x3f80, 0xc000, 0x4789])
    }
  }
}
