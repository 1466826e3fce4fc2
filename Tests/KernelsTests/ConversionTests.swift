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
  }
}
