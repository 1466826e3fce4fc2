import Images

/// A part of an image, in its pixels; it may reach beyond the edges.
public struct ImageRegion: Sendable, Equatable {
  public var x: Double
  public var y: Double
  public var width: Double
  public var height: Double

  public init(x: Double, y: Double, width: Double, height: Double) {
    (self.x, self.y, self.width, self.height) = (x, y, width, height)
  }

  /// The whole of an image.
  public static func all(of size: ImageSize) -> ImageRegion {
    ImageRegion(x: 0, y: 0, width: Double(size.width), height: Double(size.height))
  }
}

/// Where a map lies on an image, and which whole pixels of the image it covers.
struct MapPlacement {
  let region: ImageRegion
  /// Of the image.
  let rows: Range<Int>
  let columns: Range<Int>

  /// - Parameter window: the image's size.
  init(region: ImageRegion, window: ImageSize) {
    self.region = region
    rows = Self.pixels(from: region.y, length: region.height, of: window.height)
    columns = Self.pixels(from: region.x, length: region.width, of: window.width)
  }

  /// The pixels whose middle lies within.
  private static func pixels(from start: Double, length: Double, of count: Int) -> Range<Int> {
    func bound(_ value: Double) -> Int {
      value.isFinite ? Int(min(max((value - 0.5).rounded(.up), 0), Double(count))) : 0
    }
    let first = bound(start)
    return first..<max(first, bound(start + length))
  }

  /// In which of `count` equal rows the middle of a pixel lies.
  func row(of pixel: Int, count: Int) -> Int {
    Self.part(of: (Double(pixel) + 0.5 - region.y) / region.height, count: count)
  }

  /// In which of `count` equal columns the middle of a pixel lies.
  func column(of pixel: Int, count: Int) -> Int {
    Self.part(of: (Double(pixel) + 0.5 - region.x) / region.width, count: count)
  }

  private static func part(of share: Double, count: Int) -> Int {
    Int(min(max(share * Double(count), 0), Double(count - 1)))
  }

  /// The window of an image that is stretched over the region: uint8 [rows, columns, 3]. The region is rounded to whole pixels.
  func resample(_ image: Image) throws(ImageError) -> [UInt8] {
    guard !rows.isEmpty, !columns.isEmpty else { return [] }
    let (top, left) = (Int(region.y.rounded()), Int(region.x.rounded()))
    let firstRow = max(0, rows.lowerBound - top)
    let firstColumn = max(0, columns.lowerBound - left)
    let (lastRow, lastColumn) = (firstRow + rows.count, firstColumn + columns.count)
    let size = ImageSize(
      height: max(Int(region.height.rounded()), lastRow), width: max(Int(region.width.rounded()), lastColumn))
    let resampler = Resampler(
      target: size, rows: firstRow..<lastRow, columns: firstColumn..<lastColumn, interpolation: .bicubic)
    var pixels = [UInt8](repeating: 0, count: rows.count * columns.count * 3)
    let outcome: Result<Void, ImageError> = pixels.withUnsafeMutableBufferPointer { output in
      do throws(ImageError) {
        return .success(try resampler.write(image, to: output, stride: columns.count * 3))
      } catch {
        return .failure(error)
      }
    }
    try outcome.get()
    return pixels
  }
}
