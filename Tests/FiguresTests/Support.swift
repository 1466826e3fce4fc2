import Figures
import Images
import SystemPackage
import TestSupport

extension Image {
  /// The colour of a pixel.
  func color(_ x: Int, _ y: Int) -> Color {
    let first = 3 * (y * width + x)
    return Color(red: pixels[first], green: pixels[first + 1], blue: pixels[first + 2])
  }

  /// The columns of a row that have a colour.
  func columns(of color: Color, row: Int) -> [Int] { (0..<width).filter { self.color($0, row) == color } }

  /// The rows that have a colour anywhere.
  func rows(of color: Color) -> [Int] { (0..<height).filter { !columns(of: color, row: $0).isEmpty } }

  func contains(_ color: Color) -> Bool {
    pixels.withUnsafeBufferPointer { pixels in
      stride(from: 0, to: pixels.count, by: 3).contains {
        pixels[$0] == color.red && pixels[$0 + 1] == color.green && pixels[$0 + 2] == color.blue
      }
    }
  }

  /// An image of one colour.
  static func plain(_ color: Color, width: Int, height: Int) -> Image {
    Image(
      width: width, height: height,
      pixels: (0..<width * height).flatMap { _ in [color.red, color.green, color.blue] })
  }
}
