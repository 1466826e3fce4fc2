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
