import Images
import TestSupport
import Testing
import Training

/// Crops, and the study's recipe on tensors, against torchvision's.
@Suite struct CropTests {
  private struct Case: Decodable {
    let result, source: String
    let window: [Int]
    let padding: Int?
    let fill: [UInt8]?
    let mode: String?
    let size: [Int]?
    let interpolation: String?
  }

  private struct Rounded: Decodable {
    let size: [Int]
    let share, aspect: Double
    let crop, erased: [Int]
  }

  @Test func cropsOfGivenWindows() throws {
    let fixture = try AugmentationFixture("crops")
    for test in try fixture.cases(Case.self) {
      let source = try fixture.source(test.source)
      let (top, left, height, width) = (test.window[0], test.window[1], test.window[2], test.window[3])
      let result: Image
      if let padding = test.padding {
        let crop = try RandomCrop(
          padding: padding, paddingMode: #require(test.mode.flatMap(PaddingMode.init)),
          fill: test.fill ?? [0, 0, 0])
        result = try crop.crop(source, top: top, left: left, ImageSize(height: height, width: width))
      } else {
        let size = try #require(test.size)
        result = try source.cropped(rows: top..<top + height, columns: left..<left + width).resized(
          width: size[1], height: size[0],
          interpolation: #require(test.interpolation.flatMap(Interpolation.init)))
      }
      let difference = result.difference(from: try fixture.image(test.result))
      #expect(difference == nil, "\(test.source) \(test.window): \(difference ?? "")")
    }
    for test in try fixture.metadata("rounded", as: [Rounded].self) {
      let size = ImageSize(height: test.size[0], width: test.size[1])
      let crop = RandomResizedCrop.size(share: test.share, aspect: test.aspect, of: size)
      let erased = RandomErasing.size(share: test.share, aspect: test.aspect, of: size)
      #expect([crop.height, crop.width] == test.crop && [erased.height, erased.width] == test.erased)
    }
  }

  @Test func windowsWithinBounds() throws {
    let crop = try RandomResizedCrop(scale: 0.3...0.5, ratio: 0.5...2)
    let size = ImageSize(height: 300, width: 200)
    var random = CounterRandom(seed: 1, stream: 1)
    var (areas, tops): ([Double], [Int]) = ([], [])
    for _ in 0..<2000 {
      let (rows, columns) = crop.window(in: size, random: &random)
      #expect(rows.clamped(to: 0..<300) == rows && columns.clamped(to: 0..<200) == columns)
      let aspect = Double(columns.count) / Double(rows.count)
      #expect((0.48...2.1).contains(aspect))
      areas.append(Double(rows.count * columns.count) / 60_000)
      tops.append(rows.lowerBound)
    }
    #expect(areas.allSatisfy { (0.29...0.51).contains($0) } && abs(areas.reduce(0, +) / 2000 - 0.4) < 0.01)
    #expect(tops.contains { $0 < 5 } && tops.contains { $0 > 120 })
    // Where no window fits, the largest one about the centre.
    let tall = try RandomResizedCrop(scale: 0.9...1, ratio: 1...1)
    var other = CounterRandom(seed: 2, stream: 1)
    let (rows, columns) = tall.window(in: ImageSize(height: 400, width: 100), random: &other)
    #expect(rows == 150..<250 && columns == 0..<100)
    #expect(tall.central(in: ImageSize(height: 3, width: 10)).columns == 3..<6)
  }

  // MARK: - Tensors

  private struct TensorCase: Decodable {
    let result, kind, source: String
    let size: Size?
    let flips: Bool?
    let angle: Double?
    let window: [Int]?
    let mean, std: [Double]?
    let interpolation: String?

    /// One number or two.
    enum Size: Decodable {
      case size(ImageSize)
      init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let edge = try? container.decode(Int.self) {
          self = .size(ImageSize(edge))
        } else {
          let sides = try container.decode([Int].self)
          self = .size(ImageSize(height: sides[0], width: sides[1]))
        }
      }
      var value: ImageSize { if case .size(let size) = self { size } else { ImageSize(1) } }
    }
  }

  /// Weights, and sums of products of numbers up to 1, are rounded by 6e-8 a few times in each pass, in another order than PyTorch's.
  private static let tolerance: Float = 1e-6
  /// The recipe has two resizings, one upon the other, and then divides by a deviation of a quarter.
  private static let recipeTolerance: Float = 8 * tolerance

  @Test func recipeOnTensors() throws {
    let fixture = try AugmentationFixture("recipe")
    var kinds = Set<String>()
    for test in try fixture.cases(TensorCase.self) {
      kinds.insert(test.kind)
      var image = FloatImage(try fixture.source(test.source))
      switch test.kind {
      case "rotate": image = image.rotated(by: try #require(test.angle))
      case "resize":
        image = image.resized(
          to: try #require(test.size).value,
          interpolation: try #require(test.interpolation.flatMap(Interpolation.init)))
      default:
        let (size, window) = (try #require(test.size).value, try #require(test.window))
        image = image.resized(to: size, interpolation: .bilinear)
        if test.flips == true { image = image.mirrored() }
        image = image.rotated(by: try #require(test.angle))
        image = image.cropped(
          rows: window[0]..<window[0] + window[2], columns: window[1]..<window[1] + window[3]
        ).resized(to: size, interpolation: .bilinear)
        let (mean, std) = (try #require(test.mean), try #require(test.std))
        let area = size.height * size.width
        for index in image.planes.indices {
          image.planes[index] = (image.planes[index] - Float(mean[index / area])) / Float(std[index / area])
        }
      }
      let expected = try fixture.floats(test.result)
      #expect(expected.shape == [3, image.height, image.width])
      let deviation = Deviation(image.planes, from: expected.values)
      let tolerance = test.kind == "recipe" ? Self.recipeTolerance : Self.tolerance
      #expect(deviation.largest < tolerance, "\(test.kind) of \(test.source): \(deviation)")
    }
    #expect(kinds.count == 3)
  }
}
