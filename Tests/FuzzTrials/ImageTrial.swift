import Images

/// Decodes an image as the commands do: whole, and reduced for a network.
enum ImageTrial {
  /// Few, so that there is time for many images.
  static let options = DecodingOptions(maxPixels: 1 << 16)

  private static let transform = Result { () throws(TransformConfigurationError) in
    try EvaluationTransform(
      size: ImageSize(height: 6, width: 8), cropFraction: 0.9, mean: [0.5, 0.4, 0.3], std: [0.5, 0.25, 0.2])
  }

  /// - Throws: `FuzzTrial.Finding`, or the error with which the image is refused.
  static func run(_ bytes: UnsafeRawBufferPointer) throws {
    let file = Array(bytes)
    let whole = Result { () throws(ImageError) in try Image(decoding: file, options: options) }
    if case .success(let image) = whole {
      try FuzzTrial.require(
        image.width > 0 && image.height > 0 && image.width * image.height <= options.maxPixels
          && image.pixels.count == image.width * image.height * 3,
        "\(image.pixels.count) bytes of \(image.width)x\(image.height)")
    }
    var reducing = options
    reducing.mayReduce = true
    let transform = try transform.get()
    let reduced = Result { () throws(ImageError) in
      try DecodedImage(decoding: file, options: reducing, for: transform)
    }
    switch (whole, reduced) {
    case (.success(let image), .success(let reduced)):
      try FuzzTrial.require(image.size == reduced.size, "\(image.size) whole, \(reduced.size) reduced")
      let input = try transform.tensor(reduced)
      try FuzzTrial.require(
        input.count == 3 * 6 * 8 && input.allSatisfy(\.isFinite), "the input of a network")
    case (.failure(let error), .failure(let other)):
      // Corrupt data of a reduced image may be found elsewhere, but the header is one.
      try FuzzTrial.check(other)
      throw error
    case (.failure(let error), .success), (.success, .failure(let error)):
      throw FuzzTrial.Finding(description: "whole and reduced are not both read: \(error)")
    }
  }
}
