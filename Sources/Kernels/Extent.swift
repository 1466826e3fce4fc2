/// A height and a width, in pixels.
public struct Extent: Sendable, Hashable {
  public var height: Int
  public var width: Int

  public init(height: Int, width: Int) {
    (self.height, self.width) = (height, width)
  }

  /// height · width
  public var count: Int { height * width }

  /// The number of windows in each direction that a convolution or a pooling takes from an image of this extent:
  /// floor((size + padding - kernel) / stride) + 1, and 0 where no window fits.
  /// - Parameters:
  ///   - kernel: height and width of a window, at least 1.
  ///   - stride: pixels between the starts of two windows, at least 1.
  public func afterWindow(kernel: Extent, stride: Extent, padding: Padding) -> Extent {
    precondition(
      kernel.height > 0 && kernel.width > 0 && stride.height > 0 && stride.width > 0,
      "windows of \(kernel.height)x\(kernel.width), \(stride.height)x\(stride.width) apart")
    func windows(_ size: Int, _ kernel: Int, _ stride: Int) -> Int {
      size < kernel ? 0 : (size - kernel) / stride + 1
    }
    return Extent(
      height: windows(height + padding.top + padding.bottom, kernel.height, stride.height),
      width: windows(width + padding.left + padding.right, kernel.width, stride.width))
  }
}

/// Pixels that a convolution or a pooling adds around an image.
public struct Padding: Sendable, Hashable {
  public var top: Int
  public var left: Int
  public var bottom: Int
  public var right: Int

  public init(top: Int, left: Int, bottom: Int, right: Int) {
    precondition(
      top >= 0 && left >= 0 && bottom >= 0 && right >= 0, "padding \(top), \(left), \(bottom), \(right)")
    (self.top, self.left, self.bottom, self.right) = (top, left, bottom, right)
  }

  /// The same on all sides.
  public init(_ pixels: Int) {
    self.init(top: pixels, left: pixels, bottom: pixels, right: pixels)
  }

  /// TensorFlow's "SAME": as much as makes ceil(size / stride) windows; where that is odd, the extra pixel is at the bottom and
  /// at the right. timm's `get_same_padding`.
  public static func same(size: Extent, kernel: Extent, stride: Extent) -> Padding {
    func total(_ size: Int, _ kernel: Int, _ stride: Int) -> Int {
      max(0, (ceilingOfQuotient(size, stride) - 1) * stride + kernel - size)
    }
    let vertical = total(size.height, kernel.height, stride.height)
    let horizontal = total(size.width, kernel.width, stride.width)
    return Padding(
      top: vertical / 2, left: horizontal / 2, bottom: vertical - vertical / 2,
      right: horizontal - horizontal / 2)
  }
}
