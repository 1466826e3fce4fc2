#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// An image as torchvision's `to_tensor` makes it: float32 planes of red, green and blue, bytes divided by 255. What is done to it is not
/// rounded to bytes in between.
public struct FloatImage: Sendable, Equatable {
  public let height: Int
  public let width: Int
  /// float32 [3, height, width].
  public var planes: [Float]

  /// - Precondition: `planes` holds `3 * height * width` numbers, and there is at least one pixel.
  public init(height: Int, width: Int, planes: [Float]) {
    precondition(height > 0 && width > 0, "an image has at least one pixel, not \(width)x\(height)")
    precondition(planes.count == 3 * height * width, "planes must be float32 [3, \(height), \(width)]")
    self.height = height
    self.width = width
    self.planes = planes
  }

  public init(_ image: Image) {
    let area = image.height * image.width
    let planes = [Float](unsafeUninitializedCapacity: 3 * area) { output, count in
      for pixel in 0..<area {
        for channel in 0..<3 {
          output[channel * area + pixel] = Float(image.pixels[3 * pixel + channel]) / 255
        }
      }
      count = 3 * area
    }
    self.init(height: image.height, width: image.width, planes: planes)
  }

  public var size: ImageSize { ImageSize(height: height, width: width) }

  /// An image whose pixels are taken from this one's; zero where `source` gives none.
  private func gathered(_ size: ImageSize, _ source: (_ y: Int, _ x: Int) -> (y: Int, x: Int)?) -> FloatImage
  {
    let (area, sourceArea) = (size.height * size.width, height * width)
    var result = [Float](repeating: 0, count: 3 * area)
    for y in 0..<size.height {
      for x in 0..<size.width {
        guard let origin = source(y, x) else { continue }
        for channel in 0..<3 {
          result[channel * area + y * size.width + x] =
            planes[channel * sourceArea + origin.y * width + origin.x]
        }
      }
    }
    return FloatImage(height: size.height, width: size.width, planes: result)
  }

  /// Left and right exchanged.
  public func mirrored() -> FloatImage {
    gathered(size) { y, x in (y, width - 1 - x) }
  }

  /// Top and bottom exchanged.
  public func flipped() -> FloatImage {
    gathered(size) { y, x in (height - 1 - y, x) }
  }

  /// - Precondition: rows and columns lie within the image.
  public func cropped(rows: Range<Int>, columns: Range<Int>) -> FloatImage {
    precondition(rows.clamped(to: 0..<height) == rows && columns.clamped(to: 0..<width) == columns)
    return gathered(ImageSize(height: rows.count, width: columns.count)) { y, x in
      (rows.lowerBound + y, columns.lowerBound + x)
    }
  }

  /// torchvision's `rotate` of a tensor: about the centre, nearest pixel, zero outside.
  /// - Parameter angle: degrees, counterclockwise.
  public func rotated(by angle: Double) -> FloatImage {
    // `_get_inverse_affine_matrix` of the opposite angle, then `_gen_affine_grid` and `grid_sample`, in single precision.
    let radians = -angle * (.pi / 180)
    let (cosine, sine) = (Float(cos(radians)), Float(sin(radians)))
    let (halfWidth, halfHeight) = (0.5 * Float(width), 0.5 * Float(height))
    return gathered(size) { row, column in
      let x = Float(column) + 0.5 - halfWidth
      let y = Float(row) + 0.5 - halfHeight
      let gridX = x * (cosine / halfWidth) + y * (sine / halfWidth)
      let gridY = x * (-sine / halfHeight) + y * (cosine / halfHeight)
      let sourceX = (((gridX + 1) * Float(width) - 1) / 2).rounded(.toNearestOrEven)
      let sourceY = (((gridY + 1) * Float(height) - 1) / 2).rounded(.toNearestOrEven)
      guard sourceX >= 0, sourceX < Float(width), sourceY >= 0, sourceY < Float(height) else { return nil }
      return (Int(sourceY), Int(sourceX))
    }
  }

  /// torchvision's `resize` of a tensor with antialiasing, bilinear or bicubic: along the rows first.
  /// - Precondition: `interpolation` is one of these two, and the target has at least one pixel.
  public func resized(to target: ImageSize, interpolation: Interpolation) -> FloatImage {
    precondition(interpolation == .bilinear || interpolation == .bicubic, "tensors are resized by these two")
    precondition(target.height > 0 && target.width > 0, "cannot resize to \(target)")
    var result = self
    if target.width != width {
      let taps = FloatTaps(source: width, target: target.width, filter: interpolation)
      result = result.resampled(
        ImageSize(height: result.height, width: target.width), taps, along: 1, across: result.width)
    }
    if target.height != height {
      let taps = FloatTaps(source: height, target: target.height, filter: interpolation)
      result = result.resampled(
        ImageSize(height: target.height, width: result.width), taps, along: result.width, across: 1)
    }
    return result
  }

  /// One pass.
  /// - Parameters:
  ///   - along: numbers from one source pixel of a sum to the next.
  ///   - across: numbers from one source line of the pass to the next.
  private func resampled(_ size: ImageSize, _ taps: FloatTaps, along: Int, across: Int) -> FloatImage {
    let isHorizontal = along == 1
    let (area, sourceArea) = (size.height * size.width, height * width)
    let result = [Float](unsafeUninitializedCapacity: 3 * area) { output, count in
      planes.withUnsafeBufferPointer { planes in
        for channel in 0..<3 {
          for y in 0..<size.height {
            for x in 0..<size.width {
              let (place, line) = isHorizontal ? (x, y) : (y, x)
              let start = channel * sourceArea + taps.starts[place] * along + line * across
              var sum: Float = 0
              for tap in 0..<taps.counts[place] {
                sum += planes[start + tap * along] * taps.weights[place * taps.stride + tap]
              }
              output[channel * area + y * size.width + x] = sum
            }
          }
        }
      }
      count = 3 * area
    }
    return FloatImage(height: size.height, width: size.width, planes: result)
  }
}

/// Of which pixels each resized one is made, in single precision. Source: PyTorch, `UpSampleKernel.cpp`, the antialiasing kernels.
private struct FloatTaps {
  let starts: [Int]
  let counts: [Int]
  /// float32 [target, stride].
  let weights: [Float]
  let stride: Int

  init(source: Int, target: Int, filter: Interpolation) {
    let scale = Double(source) / Double(target)
    let support = filter.support * max(scale, 1)
    stride = Int(support.rounded(.up)) * 2 + 1
    var (starts, counts, weights): ([Int], [Int], [Float]) = (
      [], [], Array(repeating: 0, count: stride * target)
    )
    for pixel in 0..<target {
      let center = scale * (Double(pixel) + 0.5)
      let start = max(Int(center - support + 0.5), 0)
      let count = min(min(Int(center + support + 0.5), source) - start, stride)
      let exact = (0..<count).map {
        filter.weight(at: (Double($0 + start) - center + 0.5) / max(scale, 1))
      }
      let total = exact.reduce(0, +)
      for (tap, weight) in exact.enumerated() { weights[pixel * stride + tap] = Float(weight / total) }
      starts.append(start)
      counts.append(count)
    }
    (self.starts, self.counts, self.weights) = (starts, counts, weights)
  }
}
