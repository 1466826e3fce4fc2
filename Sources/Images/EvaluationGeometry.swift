/// How an image is brought to the shape of a network's input, before any pixel is touched.
public enum CropMode: String, CaseIterable, Codable, Sendable {
  /// The shorter edge is resized to size / fraction, then the centre is cropped.
  case center
  /// Both edges are resized to size / fraction whatever the aspect, then the centre is cropped.
  case squash
  /// The longer edge is resized to size / fraction, then the image is cropped or padded with the mean colour.
  case border
}

/// The size to which an image is resized, as a function of its own.
public enum ResizeRule: Sendable, Equatable {
  /// Not resized.
  case none
  /// To this size whatever the aspect.
  case exactly(ImageSize)
  /// The shorter edge to this length, the longer one in proportion, rounded down (torchvision).
  case shortestEdge(Int)
  /// The shorter edge to `shortest`, or less where the longer one would exceed `longest` (transformers).
  case shortestEdgeWithin(shortest: Int, longest: Int)
  /// The smallest size of the same aspect that covers this one, rounded (timm's `ResizeKeepRatio`).
  case covering(ImageSize)
  /// The largest size of the same aspect that fits into this one, rounded (timm's, with `longest` 1).
  case fitting(ImageSize)

  /// The size to which an image of size `source` is resized; no edge is below 1.
  func target(for source: ImageSize) -> ImageSize {
    let (height, width) = (Double(source.height), Double(source.width))
    switch self {
    case .none:
      return source
    case .exactly(let size):
      return size
    case .shortestEdge(let edge):
      return scaled(source, shortest: edge, by: Double(edge))
    case .shortestEdgeWithin(let shortest, let longest):
      let (short, long) = (min(height, width), max(height, width))
      guard long / short * Double(shortest) > Double(longest) else {
        return scaled(source, shortest: shortest, by: Double(shortest))
      }
      let exact = Double(longest) * short / long
      return scaled(source, shortest: Int(exact.rounded(.toNearestOrEven)), by: exact)
    case .covering(let size):
      return divided(source, by: min(height / Double(size.height), width / Double(size.width)))
    case .fitting(let size):
      return divided(source, by: max(height / Double(size.height), width / Double(size.width)))
    }
  }

  private func scaled(_ source: ImageSize, shortest: Int, by factor: Double) -> ImageSize {
    if source.width <= source.height {
      let long = Int(factor * Double(source.height) / Double(source.width))
      return ImageSize(height: max(long, 1), width: max(shortest, 1))
    }
    let long = Int(factor * Double(source.width) / Double(source.height))
    return ImageSize(height: max(shortest, 1), width: max(long, 1))
  }

  private func divided(_ source: ImageSize, by ratio: Double) -> ImageSize {
    func edge(_ length: Int) -> Int {
      max(Int((Double(length) / ratio).rounded(.toNearestOrEven)), 1)
    }
    return ImageSize(height: edge(source.height), width: edge(source.width))
  }
}

/// Where the centre of an odd difference lies: half a pixel to either side, and every library has its side.
public enum CenterRounding: Sendable, Equatable {
  /// Crops at half the difference rounded to even, pads rounded down (torchvision, timm).
  case halfToEven
  /// Crops at half the difference rounded down, pads rounded up (transformers).
  case down

  /// Where a window of `window` pixels begins on an edge of `length` pixels; negative where the window is
  /// longer.
  package func start(ofWindow window: Int, in length: Int) -> Int {
    let difference = length - window
    switch self {
    case .halfToEven where difference >= 0:
      return Int((Double(difference) / 2).rounded(.toNearestOrEven))
    case .halfToEven:
      return -(-difference / 2)
    case .down:
      return difference >> 1
    }
  }
}
