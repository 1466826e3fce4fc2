import CCodecs
import Images
import Testing

/// Resized pixels against those of Pillow, and the vector loops against the plain ones.
@Suite struct ResamplingTests {
  static let cases = (try? ImageFixture("resize").names(endingIn: ".rgb")) ?? []

  @Test(arguments: cases) func `resizes to Pillow's pixels`(source: String) throws {
    let fixture = try ImageFixture("resize")
    let image = try fixture.tensor("\(source).rgb").image
    var count = 0
    for (name, tensor) in fixture.tensors where name.hasPrefix("\(source).") && name != "\(source).rgb" {
      let filter = try #require(Interpolation(rawValue: String(name.split(separator: ".")[1])))
      let expected = try tensor.image
      let resized = try image.resized(width: expected.width, height: expected.height, interpolation: filter)
      #expect(resized.size == expected.size, "\(name)")
      #expect(resized.pixels == expected.pixels, "\(name)")
      count += 1
    }
    #expect(count >= 12)
  }

  @Test func `Pillow's numbers name the filters`() {
    let filters = (-1...6).map(Interpolation.init(pillowCode:))
    #expect(filters == [nil, .nearest, .lanczos, .bilinear, .bicubic, .box, .hamming, nil])
  }

  // MARK: Windows

  @Test(arguments: Interpolation.allCases) func `a window is a part of the whole`(filter: Interpolation)
    throws
  {
    let image = Image.noise(width: 29, height: 41, seed: 2)
    // One case for each order of passes.
    for target in [
      ImageSize(height: 23, width: 17), ImageSize(height: 9, width: 28), ImageSize(height: 50, width: 9),
      ImageSize(height: 41, width: 13), ImageSize(height: 11, width: 29), ImageSize(height: 41, width: 29),
    ] {
      let whole = try image.resized(width: target.width, height: target.height, interpolation: filter)
      let (rows, columns) = (2..<7, 3..<8)
      let part = try image.resized(to: target, rows: rows, columns: columns, interpolation: filter)
      #expect(part == (try whole.cropped(rows: rows, columns: columns)), "\(target)")
    }
  }

  @Test func `bytes around a window stay untouched`() throws {
    let image = Image.noise(width: 23, height: 19, seed: 3)
    for target in [
      ImageSize(height: 10, width: 11), ImageSize(height: 5, width: 22), ImageSize(height: 19, width: 7),
      ImageSize(height: 7, width: 23), ImageSize(height: 19, width: 23),
    ] {
      for filter in Interpolation.allCases {
        let resampler = Resampler(target: target, rows: 0..<5, columns: 1..<7, interpolation: filter)
        let stride = 6 * 3 + 5
        var output = [UInt8](repeating: 0xA5, count: 4 * stride + 6 * 3)
        try output.withUnsafeMutableBufferPointer { try resampler.write(image, to: $0, stride: stride) }
        for row in 0..<4 {
          #expect(
            output[(row * stride + 18)..<(row + 1) * stride].allSatisfy { $0 == 0xA5 }, "\(target) \(filter)")
        }
      }
    }
  }

  // MARK: Extremes

  @Test func `a shape of extreme aspect costs only its window`() throws {
    // Whole, this would be 2,240,000,000 x 224 pixels.
    let image = Image.noise(width: 100_000, height: 1, seed: 4)
    let target = ImageSize(height: 22_400, width: 2_240_000_000)
    let window = try image.resized(
      to: target, rows: 100..<110, columns: 1_000_000_000..<1_000_000_010, interpolation: .bicubic)
    #expect(window.size == ImageSize(10))
  }

  @Test func `weights without bounds are refused`() throws {
    let image = Image.noise(width: 20_000_000, height: 1, seed: 5)
    let target = ImageSize(height: 1, width: 1000)
    #expect(throws: ImageError.resizeTooExtreme(from: image.size, to: target)) {
      try image.resized(width: 1000, height: 1, interpolation: .lanczos)
    }
    #expect(try image.resized(width: 10, height: 1, interpolation: .nearest).width == 10)
  }

  // MARK: Kernels

  @Test func `vector loops equal the plain ones`() throws {
    let (plain, best) = (ccodecs_resample_kernels_plain(), ccodecs_resample_kernels_best())
    for width in [1, 2, 3, 5, 7, 15, 16, 17, 31, 33, 64, 127] {
      for height in [1, 2, 7, 40] {
        let image = Image.noise(width: width, height: height, seed: UInt64(width * 100 + height))
        for target in [
          ImageSize(1), ImageSize(height: 3, width: 16), ImageSize(height: 39, width: 5),
          ImageSize(height: 33, width: 43), ImageSize(height: height, width: 11),
        ] {
          for filter in Interpolation.allCases {
            let results = [plain, best].map { kernels in
              var resampler = Resampler(
                target: target, rows: 0..<target.height, columns: 0..<target.width, interpolation: filter)
              resampler.kernels = kernels
              return (try? pixels(of: image, resampler)) ?? []
            }
            #expect(results[0] == results[1] && !results[0].isEmpty, "\(image.size) -> \(target) \(filter)")
          }
        }
      }
    }
  }

  private func pixels(of image: Image, _ resampler: Resampler) throws -> [UInt8] {
    let stride = resampler.columns.count * 3
    var output = [UInt8](repeating: 0, count: resampler.rows.count * stride)
    try output.withUnsafeMutableBufferPointer { try resampler.write(image, to: $0, stride: stride) }
    return output
  }

  @Test func `sums are clipped to a byte`() {
    let one = Int32(1 << CCODECS_RESAMPLE_BITS)
    let rows: [[UInt8]] = [[UInt8](repeating: 255, count: 40), [UInt8](repeating: 200, count: 40)]
    for kernels in [ccodecs_resample_kernels_plain(), ccodecs_resample_kernels_best()] {
      for (weights, expected) in [
        ([one, one], UInt8(255)), ([-one, 0], 0), ([0, one], 200), ([one / 2, 0], 128),
      ] {
        var output = [UInt8](repeating: 7, count: 41)
        rows[0].withUnsafeBufferPointer { first in
          rows[1].withUnsafeBufferPointer { second in
            kernels.vertical([first.baseAddress, second.baseAddress], weights, 2, &output, 40)
          }
        }
        #expect(output == [UInt8](repeating: expected, count: 40) + [7])
      }
    }
  }
}
