#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Pillow's `ImageEnhance`: between an image and what it would be without a quality, or beyond. A factor of 1 changes nothing, 0 takes the
/// quality away.
extension Image {
  /// Between black and the image.
  public func withBrightness(_ factor: Double) -> Image {
    mapped(through: (0...255).map { Self.blend(0, $0, Float(factor)) })
  }

  /// Between the grey of its mean luma and the image.
  public func withContrast(_ factor: Double) -> Image {
    let luma = grey.pixels
    var sum = 0
    for pixel in stride(from: 0, to: luma.count, by: 3) { sum += Int(luma[pixel]) }
    let mean = UInt8(Double(sum) / Double(width * height) + 0.5)
    return mapped(through: (0...255).map { Self.blend(mean, $0, Float(factor)) })
  }

  /// Between its luma and the image.
  public func withSaturation(_ factor: Double) -> Image {
    Float(factor) == 1 ? self : blended(over: grey, Float(factor))
  }

  /// Between the smoothed image and itself.
  public func withSharpness(_ factor: Double) -> Image {
    Float(factor) == 1 ? self : blended(over: smoothed, Float(factor))
  }

  /// Hues turned by a share of the circle: torchvision's `adjust_hue`, by way of Pillow's HSV in bytes.
  /// - Parameter share: -0.5 to 0.5.
  public func withHue(turnedBy share: Double) -> Image {
    precondition(abs(share) <= 0.5, "hues are turned by half a circle at most")
    let turn = UInt8(truncatingIfNeeded: Int(share * 255))
    let turned = [UInt8](unsafeUninitializedCapacity: pixels.count) { output, count in
      pixels.withUnsafeBufferPointer { pixels in
        for pixel in stride(from: 0, to: pixels.count, by: 3) {
          var color = HueSaturationValue(
            red: pixels[pixel], green: pixels[pixel + 1], blue: pixels[pixel + 2])
          color.hue &+= turn
          (output[pixel], output[pixel + 1], output[pixel + 2]) = color.rgb
        }
      }
      count = pixels.count
    }
    return Image(width: width, height: height, pixels: turned)
  }

  /// Pillow's `Image.blend(degenerate, self, factor)`.
  private func blended(over degenerate: Image, _ factor: Float) -> Image {
    let blended = [UInt8](unsafeUninitializedCapacity: pixels.count) { output, count in
      pixels.withUnsafeBufferPointer { pixels in
        degenerate.pixels.withUnsafeBufferPointer { base in
          for index in pixels.indices { output[index] = Self.blend(base[index], pixels[index], factor) }
        }
      }
      count = pixels.count
    }
    return Image(width: width, height: height, pixels: blended)
  }

  /// Pillow's `Blend.c`: in single precision, cut off to whole numbers.
  @inline(__always)
  private static func blend(_ base: UInt8, _ value: UInt8, _ factor: Float) -> UInt8 {
    let blend = Float(base) + factor * Float(Int(value) - Int(base))
    return blend <= 0 ? 0 : blend >= 255 ? 255 : UInt8(blend)
  }

  /// Pillow's `SMOOTH`: the mean of 3x3 pixels, of which the middle one counts five times; the border stays.
  private var smoothed: Image {
    guard width >= 3, height >= 3 else { return self }
    let (outer, middle) = (1 as Float / 13, 5 as Float / 13)
    let row = width * 3
    var smoothed = pixels
    smoothed.withUnsafeMutableBufferPointer { output in
      pixels.withUnsafeBufferPointer { pixels in
        func sum(_ index: Int, _ center: Float) -> Float {
          Float(pixels[index - 3]) * outer + Float(pixels[index]) * center + Float(pixels[index + 3]) * outer
        }
        for y in 1..<height - 1 {
          for index in y * row + 3..<(y + 1) * row - 3 {
            var value: Float = 0.5
            value += sum(index + row, outer)
            value += sum(index, middle)
            value += sum(index - row, outer)
            output[index] = UInt8(min(max(value, 0), 255))
          }
        }
      }
    }
    return Image(width: width, height: height, pixels: smoothed)
  }
}

/// A colour of Pillow's mode HSV: a byte each. Source: Pillow, `Convert.c`.
private struct HueSaturationValue {
  var hue: UInt8
  let saturation: UInt8
  let value: UInt8

  init(red: UInt8, green: UInt8, blue: UInt8) {
    let (largest, smallest) = (max(red, green, blue), min(red, green, blue))
    value = largest
    guard largest > smallest else {
      (hue, saturation) = (0, 0)
      return
    }
    let range = Float(largest - smallest)
    func share(_ channel: UInt8) -> Float { Float(largest - channel) / range }
    let sixth: Float =
      if red == largest {
        share(blue) - share(green)
      } else if green == largest {
        Float(2 + Double(share(red)) - Double(share(blue)))
      } else {
        Float(4 + Double(share(green)) - Double(share(red)))
      }
    let circle = Float(fmod(Double(sixth) / 6 + 1, 1))
    hue = UInt8(min(max(Int(Double(circle) * 255), 0), 255))
    saturation = UInt8(min(max(Int(Double(range / Float(largest)) * 255), 0), 255))
  }

  var rgb: (UInt8, UInt8, UInt8) {
    guard saturation > 0 else { return (value, value, value) }
    let place = Double(hue) * 6 / 255
    let sector = place.rounded(.down)
    let fraction = Float(place - sector)
    let share = Float(Double(saturation) / 255)
    func scaled(_ factor: Double) -> UInt8 {
      UInt8(min(max((Double(value) * factor).rounded(.toNearestOrAwayFromZero), 0), 255))
    }
    let low = scaled(1 - Double(share))
    let falling = scaled(1 - Double(share * fraction))
    let rising = scaled(1 - Double(share) * (1 - Double(fraction)))
    return switch Int(sector) % 6 {
    case 0: (value, rising, low)
    case 1: (falling, value, low)
    case 2: (low, value, rising)
    case 3: (low, falling, value)
    case 4: (rising, low, value)
    default: (value, low, falling)
    }
  }
}
