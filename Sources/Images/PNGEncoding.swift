import CCodecs

extension Image {
  /// The image as a PNG file, without metadata: the same pixels give the same bytes of the same libraries.
  ///
  /// Up to 256 colours are stored as a palette. Some thousands are compressed as a drawing, more as a photograph.
  /// - Throws: ``ImageError/outOfMemory(bytes:)``.
  public func encodedPNG() throws(ImageError) -> [UInt8] {
    let palette = Palette(of: pixels)
    var picture = ccodecs_picture()
    picture.width = UInt32(clamping: width)
    picture.height = UInt32(clamping: height)
    picture.content = palette != nil || isDrawing ? CCODECS_CONTENT_DRAWING : CCODECS_CONTENT_PHOTO
    picture.format = palette != nil ? CCODECS_ROWS_INDEXED : CCODECS_ROWS_RGB
    let colors = palette?.colors ?? []
    var failure = ccodecs_failure()
    var file: [UInt8] = []
    let status = (palette?.indices ?? pixels).withUnsafeBufferPointer { rows in
      colors.withUnsafeBufferPointer { colors in
        picture.rows = rows.baseAddress
        picture.palette = colors.baseAddress
        picture.palette_count = colors.count / 3
        return withUnsafeMutablePointer(to: &file) { file in
          ccodecs_png_write(&picture, Self.append, file, &failure)
        }
      }
    }
    guard status != CCODECS_OK else { return file }
    let reason = withUnsafeBytes(of: failure.message) {
      String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
    }
    throw status == CCODECS_OUT_OF_MEMORY
      ? .outOfMemory(bytes: pixels.count) : .unsupported(format: "PNG", reason: reason)
  }

  private static let append: ccodecs_sink = { context, bytes, count in
    guard let file = context?.assumingMemoryBound(to: [UInt8].self), let bytes else { return 0 }
    file.pointee.append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
    return 1
  }

  /// Colours of drawings, letters with soft edges included; photographs have many times as many.
  private static let maxDrawingColors = 8192

  /// Whether there are few colours.
  private var isDrawing: Bool {
    // One bit a colour.
    var seen = [UInt64](repeating: 0, count: 1 << 18)
    return seen.withUnsafeMutableBufferPointer { seen in
      pixels.withUnsafeBufferPointer { pixels in
        var count = 0
        for pixel in stride(from: 0, to: pixels.count, by: 3) {
          let color = Int(pixels[pixel]) << 16 | Int(pixels[pixel + 1]) << 8 | Int(pixels[pixel + 2])
          let bit = UInt64(1) << UInt64(color & 63)
          guard seen[color >> 6] & bit == 0 else { continue }
          seen[color >> 6] |= bit
          count += 1
          if count > Self.maxDrawingColors { return false }
        }
        return true
      }
    }
  }
}

/// The colours of an image that has few.
private struct Palette {
  /// uint8 [count, 3], in the order in which they first appear.
  private(set) var colors: [UInt8] = []
  /// uint8 [height, width].
  private(set) var indices: [UInt8] = []

  private static let maxCount = 256

  /// - Returns: nil for more than 256 colours.
  init?(of pixels: [UInt8]) {
    var known: [UInt32: UInt8] = [:]
    var colors: [UInt8] = []
    var isSmall = true
    let count = pixels.count / 3
    indices = [UInt8](unsafeUninitializedCapacity: count) { indices, initialized in
      pixels.withUnsafeBufferPointer { pixels in
        var last: (color: UInt32, index: UInt8)?
        for pixel in 0..<count {
          let (red, green, blue) = (pixels[3 * pixel], pixels[3 * pixel + 1], pixels[3 * pixel + 2])
          let color = UInt32(red) << 16 | UInt32(green) << 8 | UInt32(blue)
          if let last, last.color == color {
            indices[pixel] = last.index
            continue
          }
          var index = known[color]
          if index == nil {
            guard known.count < Self.maxCount else {
              isSmall = false
              return
            }
            index = UInt8(known.count)
            known[color] = index
            colors += [red, green, blue]
          }
          guard let index else { return }
          indices[pixel] = index
          last = (color, index)
        }
      }
      initialized = isSmall ? count : 0
    }
    guard isSmall else { return nil }
    self.colors = colors
  }
}
