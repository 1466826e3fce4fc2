/// Operations that map each byte by itself: Pillow's `ImageOps`, with its tables.
extension Image {
  /// Each channel's bytes through a table of its own, or all through one.
  /// - Parameter tables: uint8 [256] or uint8 [3, 256].
  func mapped(through tables: [UInt8]) -> Image {
    precondition(tables.count == 256 || tables.count == 768, "one table, or one a channel")
    let (green, blue) = tables.count == 768 ? (256, 512) : (0, 0)
    let mapped = [UInt8](unsafeUninitializedCapacity: pixels.count) { output, count in
      pixels.withUnsafeBufferPointer { pixels in
        tables.withUnsafeBufferPointer { tables in
          for pixel in stride(from: 0, to: pixels.count, by: 3) {
            output[pixel] = tables[Int(pixels[pixel])]
            output[pixel + 1] = tables[green + Int(pixels[pixel + 1])]
            output[pixel + 2] = tables[blue + Int(pixels[pixel + 2])]
          }
        }
      }
      count = pixels.count
    }
    return Image(width: width, height: height, pixels: mapped)
  }

  /// 255 less each byte.
  public func inverted() -> Image { mapped(through: (0...255).reversed()) }

  /// The highest bits of each byte.
  /// - Parameter bits: 1 to 8.
  public func posterized(bits: Int) -> Image {
    precondition((1...8).contains(bits), "a byte has 8 bits, not \(bits)")
    return mapped(through: (0...255).map { $0 & ~UInt8(1 << (8 - bits) - 1) })
  }

  /// Bytes at or above the threshold inverted.
  public func solarized(threshold: Double) -> Image {
    mapped(through: (0...255).map { Double($0) < threshold ? $0 : 255 - $0 })
  }

  /// Each channel stretched to 0...255.
  public func autocontrasted() -> Image {
    mapped(
      through: histograms.flatMap { histogram -> [UInt8] in
        guard let low = histogram.firstIndex(where: { $0 > 0 }),
          let high = histogram.lastIndex(where: { $0 > 0 }),
          high > low
        else { return Array(0...255) }
        let scale = 255 / Double(high - low)
        let offset = Double(-low) * scale
        return (0...255).map { UInt8(min(max(Int(Double($0) * scale + offset), 0), 255)) }
      })
  }

  /// Each channel's bytes spread so that all are about as frequent.
  public func equalized() -> Image {
    mapped(
      through: histograms.flatMap { histogram -> [UInt8] in
        let present = histogram.filter { $0 > 0 }
        let step = (present.reduce(0, +) - (present.last ?? 0)) / 255
        guard present.count > 1, step > 0 else { return Array(0...255) }
        var sum = step / 2
        return histogram.map { count in
          defer { sum += count }
          return UInt8(min(sum / step, 255))
        }
      })
  }

  /// How often each byte occurs in each channel.
  private var histograms: [[Int]] {
    var counts = [Int](repeating: 0, count: 768)
    counts.withUnsafeMutableBufferPointer { counts in
      for pixel in stride(from: 0, to: pixels.count, by: 3) {
        for channel in 0..<3 { counts[256 * channel + Int(pixels[pixel + channel])] += 1 }
      }
    }
    return (0..<3).map { Array(counts[256 * $0..<256 * $0 + 256]) }
  }
}
