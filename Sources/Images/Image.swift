/// An 8-bit RGB image in memory.
public struct Image: Sendable, Equatable {
  /// Columns, at least 1.
  public let width: Int
  /// Rows, at least 1.
  public let height: Int
  /// uint8 [height, width, 3], rows from the top, channels in the order red, green, blue.
  public let pixels: [UInt8]

  /// Wraps pixels that exist already.
  ///
  /// - Precondition: both sides are at least 1 and `pixels` holds `height * width * 3` bytes.
  public init(width: Int, height: Int, pixels: [UInt8]) {
    precondition(width > 0 && height > 0, "an image has at least one pixel, not \(width)x\(height)")
    precondition(pixels.count == width * height * 3, "pixels must be uint8 [\(height), \(width), 3]")
    self.width = width
    self.height = height
    self.pixels = pixels
  }

  /// Height and width.
  public var size: ImageSize { ImageSize(height: height, width: width) }

  /// Luma in all three channels: Pillow's `convert("L")`, in its fixed point (ITU-R 601-2).
  var grey: Image {
    let grey = [UInt8](unsafeUninitializedCapacity: pixels.count) { output, count in
      for pixel in stride(from: 0, to: pixels.count, by: 3) {
        let luma =
          UInt32(pixels[pixel]) * 19_595 + UInt32(pixels[pixel + 1]) * 38_470 + UInt32(pixels[pixel + 2])
          * 7_471
          + 0x8000
        for channel in 0..<3 { output[pixel + channel] = UInt8(luma >> 16) }
      }
      count = pixels.count
    }
    return Image(width: width, height: height, pixels: grey)
  }
}

/// Height and width in pixels, in the order in which tensors and configurations name them.
public struct ImageSize: Sendable, Hashable, Codable, CustomStringConvertible {
  public var height: Int
  public var width: Int

  public init(height: Int, width: Int) {
    self.height = height
    self.width = width
  }

  /// A square.
  public init(_ edge: Int) {
    self.init(height: edge, width: edge)
  }

  /// Height first: "224x224".
  public var description: String { "\(height)x\(width)" }
}
