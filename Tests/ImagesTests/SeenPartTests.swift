import Images
import Testing

/// Which part of a photo the network sees, against what `prepare` makes of a mark on it.
@Suite struct SeenPartTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let transform: EvaluationTransform
    var testDescription: String { name }
  }

  static let cases: [Case] = {
    let values = [0.5, 0.5, 0.5]
    func timm(_ size: ImageSize, _ fraction: Double, _ mode: CropMode) -> EvaluationTransform? {
      try? EvaluationTransform(
        size: size, cropFraction: fraction, cropMode: mode, interpolation: .bilinear, mean: values,
        std: values)
    }
    return [
      ("center", timm(ImageSize(64), 0.875, .center)), ("whole", timm(ImageSize(64), 1, .center)),
      ("rectangular", timm(ImageSize(height: 48, width: 80), 0.9, .center)),
      ("squash", timm(ImageSize(64), 0.8, .squash)), ("border", timm(ImageSize(64), 1, .border)),
    ].compactMap { name, transform in transform.map { Case(name: name, transform: $0) } }
  }()

  @Test func casesAreThere() { #expect(Self.cases.count == 5) }

  /// The middle of a bright square, found in the prepared image, lies on the photo where the square was drawn.
  @Test(
    arguments: cases,
    [
      ImageSize(height: 200, width: 320), ImageSize(height: 301, width: 160),
      ImageSize(height: 40, width: 50),
    ])
  func mark(_ example: Case, _ size: ImageSize) throws {
    let side = Double(min(size.height, size.width)) / 8
    for (y, x) in [(0.5, 0.5), (0.46, 0.56), (0.54, 0.45)] {
      let (top, left) = (Double(size.height) * y - side / 2, Double(size.width) * x - side / 2)
      let (rows, columns) = (Int(top)..<Int(top + side), Int(left)..<Int(left + side))
      let photo = Image(
        width: size.width, height: size.height,
        pixels: (0..<size.height * size.width * 3).map { index in
          let (row, column) = (index / 3 / size.width, index / 3 % size.width)
          return rows.contains(row) && columns.contains(column) ? 255 : 0
        })
      let prepared = try example.transform.prepare(photo)
      let (wholeRows, wholeColumns) = example.transform.seenPart(of: size)
      let part = example.transform.seenPart(ImageSize(height: 32, width: 16), of: size)
      #expect(
        part.rows.lowerBound == wholeRows.lowerBound && part.columns.lowerBound == wholeColumns.lowerBound)
      let input = example.transform.size
      let share =
        (part.rows.upperBound - part.rows.lowerBound) / (wholeRows.upperBound - wholeRows.lowerBound)
      #expect(abs(share - 32 / Double(input.height)) < 1e-9)

      var (total, sumY, sumX) = (0.0, 0.0, 0.0)
      // The border's grey is no mark.
      for index in 0..<input.height * input.width where prepared.pixels[3 * index] > 160 {
        let weight = Double(prepared.pixels[3 * index])
        total += weight
        sumY += weight * (Double(index / input.width) + 0.5)
        sumX += weight * (Double(index % input.width) + 0.5)
      }
      try #require(total > 0)
      func onPhoto(_ position: Double, _ part: Range<Double>, _ length: Int) -> Double {
        part.lowerBound + position / Double(length) * (part.upperBound - part.lowerBound)
      }
      let middle = (
        y: Double(rows.lowerBound + rows.upperBound) / 2,
        x: Double(columns.lowerBound + columns.upperBound) / 2
      )
      // Half a pixel of the input, seen on the photo.
      let limit = max(0.5, 0.6 * (wholeColumns.upperBound - wholeColumns.lowerBound) / Double(input.width))
      #expect(abs(onPhoto(sumY / total, wholeRows, input.height) - middle.y) <= limit * 1.5)
      #expect(abs(onPhoto(sumX / total, wholeColumns, input.width) - middle.x) <= limit * 1.5)
    }
  }
}
