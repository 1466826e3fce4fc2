/// How a stored image has to be turned to stand upright. Raw values are those of EXIF tag 0x0112.
///
/// Source: Exif 2.32, section 4.6.4; Pillow, `ImageOps.exif_transpose`.
package enum Orientation: Int, CaseIterable {
  case upright = 1
  case mirrored
  case upsideDown
  case flipped
  case transposed
  case rotatedLeft
  case transversed
  case rotatedRight

  /// Whether rows become columns.
  fileprivate var swapsSides: Bool { rawValue >= 5 }

  /// The size of an image of that size when it stands upright.
  func applied(to size: ImageSize) -> ImageSize {
    swapsSides ? ImageSize(height: size.width, width: size.height) : size
  }

  /// Where a part of an image of that size is when it stands upright.
  func applied(to box: SourceBox, in size: ImageSize) -> SourceBox {
    let reversesRows = [.upsideDown, .flipped, .rotatedLeft, .transversed].contains(self)
    let reversesColumns = [.mirrored, .upsideDown, .transversed, .rotatedRight].contains(self)
    let rows = reversesRows ? box.rows.reversed(in: size.height) : box.rows
    let columns = reversesColumns ? box.columns.reversed(in: size.width) : box.columns
    return swapsSides ? SourceBox(rows: columns, columns: rows) : SourceBox(rows: rows, columns: columns)
  }
}

extension Image {
  /// This image turned so that one stored with `orientation` stands upright.
  package func applying(_ orientation: Orientation) -> Image {
    guard orientation != .upright else { return self }
    let (sourceWidth, sourceHeight) = (width, height)
    let targetWidth = orientation.swapsSides ? height : width
    let targetHeight = orientation.swapsSides ? width : height
    // The target walks along its rows; the source pixel starts at `start` and moves by the strides.
    let (right, down) = (3, 3 * sourceWidth)
    let (lastColumn, lastRow) = (right * (sourceWidth - 1), down * (sourceHeight - 1))
    let (start, columnStride, rowStride) =
      switch orientation {
      case .upright: (0, right, down)
      case .mirrored: (lastColumn, -right, down)
      case .upsideDown: (lastRow + lastColumn, -right, -down)
      case .flipped: (lastRow, right, -down)
      case .transposed: (0, down, right)
      case .rotatedLeft: (lastRow, -down, right)
      case .transversed: (lastRow + lastColumn, -down, -right)
      case .rotatedRight: (lastColumn, down, -right)
      }
    let turned = [UInt8](unsafeUninitializedCapacity: pixels.count) { target, count in
      pixels.withUnsafeBufferPointer { source in
        var written = 0
        for y in 0..<targetHeight {
          var read = start + y * rowStride
          for _ in 0..<targetWidth {
            target[written] = source[read]
            target[written + 1] = source[read + 1]
            target[written + 2] = source[read + 2]
            written += 3
            read += columnStride
          }
        }
      }
      count = pixels.count
    }
    return Image(width: targetWidth, height: targetHeight, pixels: turned)
  }
}
