/// An operation of the augmentation policies with its magnitude settled: torchvision's `_apply_op` on Pillow images.
public enum PixelOperation: Sendable, Equatable {
  case identity
  /// `tan` of the shear's angle.
  case shearX(Double)
  case shearY(Double)
  /// Pixels; a fraction is cut off.
  case translateX(Double)
  case translateY(Double)
  /// Degrees, counterclockwise.
  case rotate(Double)
  /// What is added to a factor of 1.
  case brightness(Double)
  case color(Double)
  case contrast(Double)
  case sharpness(Double)
  /// Bits that are kept.
  case posterize(Int)
  /// The byte from which on all are inverted.
  case solarize(Double)
  case autoContrast
  case equalize
  case invert
}

extension Image {
  /// - Parameters:
  ///   - interpolation: of those that move pixels.
  ///   - fill: red, green and blue of what comes from outside.
  public func applying(
    _ operation: PixelOperation, interpolation: AffineInterpolation = .nearest, fill: [UInt8] = [0, 0, 0]
  ) -> Image {
    func moved(_ map: AffineMap) -> Image { transformed(by: map, interpolation: interpolation, fill: fill) }
    return switch operation {
    case .identity: self
    case .shearX(let magnitude): moved(.shearX(magnitude))
    case .shearY(let magnitude): moved(.shearY(magnitude))
    case .translateX(let pixels): moved(.translation(x: Int(pixels), y: 0, of: size))
    case .translateY(let pixels): moved(.translation(x: 0, y: Int(pixels), of: size))
    case .rotate(let degrees): rotated(by: degrees, interpolation: interpolation, fill: fill)
    case .brightness(let magnitude): withBrightness(1 + magnitude)
    case .color(let magnitude): withSaturation(1 + magnitude)
    case .contrast(let magnitude): withContrast(1 + magnitude)
    case .sharpness(let magnitude): withSharpness(1 + magnitude)
    case .posterize(let bits): posterized(bits: bits)
    case .solarize(let threshold): solarized(threshold: threshold)
    case .autoContrast: autocontrasted()
    case .equalize: equalized()
    case .invert: inverted()
    }
  }
}

/// What stands beyond the border of an image.
public enum PaddingMode: String, CaseIterable, Codable, Sendable {
  /// One colour.
  case constant
  /// The outermost pixel again and again.
  case edge
  /// The image mirrored, without its outermost pixel.
  case reflect
  /// The image mirrored.
  case symmetric
}

extension Image {
  /// The pixels within the given rows and columns, which may reach beyond the image: numpy's `pad`, then a crop.
  /// - Throws: ``ImageError/outOfMemory(bytes:)``.
  public func cropped(
    rows: Range<Int>, columns: Range<Int>, padding: PaddingMode, fill: [UInt8] = [0, 0, 0]
  ) throws(ImageError) -> Image {
    guard padding != .constant,
      rows.clamped(to: 0..<height) != rows || columns.clamped(to: 0..<width) != columns
    else { return try cropped(rows: rows, columns: columns, fill: fill) }
    let (rows, columns) = (
      rows.map { padding.index($0, count: height) }, columns.map { padding.index($0, count: width) }
    )
    let size = rows.count * columns.count * 3
    let cropped = [UInt8](unsafeUninitializedCapacity: size) { output, count in
      for y in rows {
        for x in columns {
          for channel in 0..<3 { output[count + channel] = pixels[(y * width + x) * 3 + channel] }
          count += 3
        }
      }
    }
    return Image(width: columns.count, height: rows.count, pixels: cropped)
  }
}

extension PaddingMode {
  /// The pixel that stands at a place before, within or behind `count` of them.
  fileprivate func index(_ place: Int, count: Int) -> Int {
    switch self {
    case .constant, .edge: return min(max(place, 0), count - 1)
    case .reflect:
      guard count > 1 else { return 0 }
      let period = 2 * (count - 1)
      let rest = (place % period + period) % period
      return min(rest, period - rest)
    case .symmetric:
      let period = 2 * count
      let rest = (place % period + period) % period
      return min(rest, period - 1 - rest)
    }
  }
}

extension Image {
  /// Left and right exchanged.
  public func mirrored() -> Image { applying(Orientation.mirrored) }

  /// Top and bottom exchanged.
  public func flipped() -> Image { applying(Orientation.flipped) }
}
