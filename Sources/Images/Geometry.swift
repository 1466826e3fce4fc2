extension Image {
  /// This image at another size, as Pillow's `Image.resize((width, height), interpolation)` makes it.
  ///
  /// - Parameters:
  ///   - width: columns of the result, at least 1.
  ///   - height: rows of the result, at least 1.
  ///   - interpolation: the filter.
  /// - Throws: ``ImageError/resizeTooExtreme(from:to:)`` or ``ImageError/outOfMemory(bytes:)`` for sizes of
  ///   which no photograph is.
  /// - Complexity: O(filter's support × (source height × width + height × width)).
  public func resized(
    width: Int, height: Int, interpolation: Interpolation
  ) throws(ImageError) -> Image {
    precondition(width > 0 && height > 0, "cannot resize to \(width)x\(height)")
    let target = ImageSize(height: height, width: width)
    return try resized(to: target, rows: 0..<height, columns: 0..<width, interpolation: interpolation)
  }

  /// A window of the resized image, which need not lie within it: the rest shows the fill.
  ///
  /// - Parameters:
  ///   - target: size of the whole resized image.
  ///   - rows: rows of the window, in pixels of the resized image; may begin below zero.
  ///   - columns: columns of the window likewise.
  ///   - fill: red, green and blue where the window leaves the image.
  package func resized(
    to target: ImageSize, rows: Range<Int>, columns: Range<Int>, interpolation: Interpolation,
    fill: [UInt8] = [0, 0, 0]
  ) throws(ImageError) -> Image {
    try resized(box: nil, to: target, rows: rows, columns: columns, interpolation: interpolation, fill: fill)
  }

  /// The same of a part of the image.
  /// - Parameter box: nil for all of it.
  func resized(
    box: SourceBox?, to target: ImageSize, rows: Range<Int>, columns: Range<Int>,
    interpolation: Interpolation,
    fill: [UInt8]
  ) throws(ImageError) -> Image {
    let (area, areaOverflow) = rows.count.multipliedReportingOverflow(by: columns.count)
    let (bytes, bytesOverflow) = area.multipliedReportingOverflow(by: 3)
    guard !areaOverflow, !bytesOverflow, Memory.canProvide(bytes: bytes) else {
      throw .outOfMemory(bytes: areaOverflow || bytesOverflow ? .max : bytes)
    }
    let resampler = Resampler(
      target: target, rows: rows.clamped(to: 0..<target.height),
      columns: columns.clamped(to: 0..<target.width),
      interpolation: interpolation, box: box)
    let stride = columns.count * 3
    let isCovered = resampler.rows.count == rows.count && resampler.columns.count == columns.count
    var failure: ImageError?
    let pixels = [UInt8](unsafeUninitializedCapacity: bytes) { output, count in
      if !isCovered {
        for start in Swift.stride(from: 0, to: bytes, by: 3) {
          for channel in 0..<3 { output[start + channel] = fill[channel] }
        }
      }
      if !resampler.rows.isEmpty && !resampler.columns.isEmpty {
        let first =
          (resampler.rows.lowerBound - rows.lowerBound) * stride
          + (resampler.columns.lowerBound - columns.lowerBound) * 3
        do throws(ImageError) {
          try resampler.write(
            self, to: UnsafeMutableBufferPointer(rebasing: output[first...]), stride: stride)
        } catch {
          failure = error
        }
      }
      count = failure == nil ? bytes : 0
    }
    if let failure { throw failure }
    return Image(width: columns.count, height: rows.count, pixels: pixels)
  }

  /// The part of this image within the given rows and columns.
  ///
  /// - Parameters:
  ///   - rows: rows of the result; may reach beyond the image.
  ///   - columns: columns of the result likewise.
  ///   - fill: red, green and blue where there is no image; black by default.
  /// - Throws: ``ImageError/outOfMemory(bytes:)``.
  /// - Precondition: neither range is empty; `fill` has three values.
  public func cropped(
    rows: Range<Int>, columns: Range<Int>, fill: [UInt8] = [0, 0, 0]
  ) throws(ImageError) -> Image {
    precondition(!rows.isEmpty && !columns.isEmpty, "a crop has at least one pixel")
    precondition(fill.count == 3, "a fill is red, green and blue")
    return try resized(to: size, rows: rows, columns: columns, interpolation: .nearest, fill: fill)
  }

  /// This image with a border.
  ///
  /// - Parameters:
  ///   - top: rows above.
  ///   - bottom: rows below.
  ///   - left: columns to the left.
  ///   - right: columns to the right.
  ///   - fill: red, green and blue of the border; black by default.
  /// - Throws: ``ImageError/outOfMemory(bytes:)``.
  /// - Precondition: no side is negative.
  public func padded(
    top: Int = 0, bottom: Int = 0, left: Int = 0, right: Int = 0, fill: [UInt8] = [0, 0, 0]
  ) throws(ImageError) -> Image {
    precondition(min(top, bottom, left, right) >= 0, "a border has no negative width")
    return try cropped(rows: -top..<height + bottom, columns: -left..<width + right, fill: fill)
  }
}
