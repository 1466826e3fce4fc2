import CKernels
import Foundation
import Kernels
import Testing

@Suite struct Int8Tests {
  /// The largest terms there are: level 255 times weight 127 or -127, as many as an int32 can hold. Any sum of less than 32 bits on
  /// the way - `vpmaddubsw` adds two products in 16 - would show.
  @Test(arguments: KernelVariant.available)
  func neverSaturates(variant: KernelVariant) throws {
    for inner in [1, 2, 3, 4, 5, 64, 767, 4096, 66_308, 66_309, 66_310, 66_311] {
      #expect(inner <= ckernels_int8_largest_inner)
      let x = GuardedMatrix(rows: 3, columns: inner) { row, k in
        row == 0 ? 1 : row == 1 ? -1 : k.isMultiple(of: 2) ? 1 : 0
      }
      let weight = GuardedMatrix(rows: 4, columns: inner) { output, k in
        switch output {
        case 0: 1
        case 1: -1
        case 2: k.isMultiple(of: 2) ? 1 : -1
        default: k % 3 == 0 ? -1 : 1
        }
      }
      let results = try ProductTrial(variant, .int8, x, weight).results()
      for row in 0..<3 {
        for output in 0..<4 {
          let exact = (0..<inner).reduce(0) { $0 + Int64(x[row, $1]) * Int64(weight[output, $1]) }
          // Two scales that are rounded, 1/255 and 1/127, and the conversion of the sum.
          let limit = Double(abs(exact)) * 4 * floatEpsilon
          #expect(abs(Double(results[row * 4 + output]) - Double(exact)) <= limit, "K = \(inner)")
        }
      }
    }
    #expect(Int64(ckernels_int8_largest_inner) * 255 * 127 <= Int64(Int32.max))
  }

  @Test(arguments: KernelVariant.available)
  func levelsAreWithinHalfAStep(variant: KernelVariant) throws {
    let operations = try operations(variant)
    var random = TestRandom()
    for columns in lengths {
      for (low, high) in [(-1, 1), (0, 1), (-1, 0), (-0.17, 8), (1e-30, 2e-30), (-1e38, 2e38), (3, 4)]
        as [(Float, Float)]
      {
        let x = random.matrix(5, columns, gap: 1, in: low...high)
        x.base[0] = 0
        for element in [CKERNELS_UINT8, CKERNELS_UINT16] {
          let (group, bytes) = element == CKERNELS_UINT8 ? (4, 1) : (2, 2)
          let padded = (columns + group - 1) / group * group
          let stride = padded * bytes + 4
          var out = [UInt8](repeating: 0xee, count: 5 * stride)
          var scales = [Float](repeating: 0, count: 5)
          var zeroPoints = [Int32](repeating: 0, count: 5)
          operations.quantize(x.base, x.stride, 5, columns, element, &out, stride, &scales, &zeroPoints)
          for row in 0..<5 {
            #expect((0...255).contains(zeroPoints[row]))
            func level(_ column: Int) -> Int {
              let place = row * stride + column * bytes
              return bytes == 1 ? Int(out[place]) : Int(out[place]) | Int(out[place + 1]) << 8
            }
            for column in 0..<columns {
              let value = Double(scales[row]) * Double(level(column) - Int(zeroPoints[row]))
              // Half a step, and half a one more where the zero point was rounded; both with the roundings of the scale.
              #expect(abs(value - Double(x[row, column])) <= 1.001 * Double(scales[row]))
              if x[row, column] == 0 { #expect(value == 0) }
            }
            for column in columns..<padded { #expect(level(column) == 0) }
            for place in row * stride + padded * bytes..<(row + 1) * stride { #expect(out[place] == 0xee) }
          }
        }
      }
    }
  }

  /// Each variant's levels are the plain twin's.
  @Test(arguments: KernelVariant.available)
  func levelsEqualThePlainOnes(variant: KernelVariant) throws {
    let (operations, plain) = (try operations(variant), try operations(.plain))
    var random = TestRandom()
    for columns in lengths {
      let x = random.matrix(7, columns, in: -3...5)
      func levels(_ operations: ckernels_operations) -> ([UInt8], [Float], [Int32]) {
        let stride = (columns + 3) / 4 * 4
        var (out, scales, zeroPoints) = (
          [UInt8](repeating: 0, count: 7 * stride), [Float](repeating: 0, count: 7),
          [Int32](repeating: 0, count: 7)
        )
        operations.quantize(x.base, x.stride, 7, columns, CKERNELS_UINT8, &out, stride, &scales, &zeroPoints)
        return (out, scales, zeroPoints)
      }
      let (found, expected) = (levels(operations), levels(plain))
      #expect(found.0 == expected.0 && haveSameBits(found.1, expected.1) && found.2 == expected.2)

      func weights(_ operations: ckernels_operations) -> ([Int8], [Float]) {
        var (out, scales) = ([Int8](repeating: 0, count: 7 * columns), [Float](repeating: 0, count: 7))
        operations.quantize_weights(x.base, x.stride, 7, columns, &out, columns, &scales)
        return (out, scales)
      }
      let (foundWeights, expectedWeights) = (weights(operations), weights(plain))
      #expect(foundWeights.0 == expectedWeights.0 && haveSameBits(foundWeights.1, expectedWeights.1))
    }
  }

  /// Rows and channels of zeros, of one value, and of the smallest and largest numbers.
  @Test(arguments: KernelVariant.available)
  func extremeRowsAndChannelsSurvive(variant: KernelVariant) throws {
    let values: [Float] = [0, 1, -1, 1e-38, -0x1p-139, 1e37, 0.5]
    let x = GuardedMatrix(rows: values.count, columns: 10) { row, _ in values[row] }
    let weight = GuardedMatrix(rows: values.count, columns: 10) { output, _ in values[output] }
    let results = try ProductTrial(variant, .int8, x, weight).results()
    for row in values.indices {
      for output in values.indices {
        let exact = 10 * Double(values[row]) * Double(values[output])
        let found = results[row * values.count + output]
        // Rows and channels below the normal floats may lose themselves, products above the largest overflow.
        guard abs(exact) < 3e38 else { continue }
        // A row below 2^-112 counts as zero.
        let lost = 0x1p-112 * 10 * abs(Double(values[output]))
        #expect(
          abs(Double(found) - exact) <= abs(exact) * 0.01 + lost + 1e-35, "\(values[row]) x \(values[output])"
        )
      }
    }
  }
}
