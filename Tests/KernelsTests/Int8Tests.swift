import CKernels
import Foundation
import Kernels
import Testing

@Suite struct Int8Tests {
  /// The largest terms that rounding makes: level 255 times weight 127 or -127, as many as a product may have. Any sum of less than 32 bits on
  /// the way - `vpmaddubsw` adds two products in 16 - would show.
  @Test(arguments: KernelVariant.available)
  func neverSaturates(variant: KernelVariant) throws {
    for inner in [1, 2, 3, 4, 5, 64, 767, 4096, 32_764, 32_765, 32_766, 32_767] {
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
    #expect(Int64(ckernels_int8_largest_inner) * 255 * 128 <= Int64(Int32.max))
    // The parts of a sum of weights are 7 bits and an int16.
    #expect((Int64(ckernels_int8_largest_inner) * 128) >> 7 <= Int64(Int16.max))
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
