import Foundation
import Images
import Testing

/// Whole transforms against timm's and transformers', bit for bit.
@Suite struct TransformTests {
  struct Case: Decodable {
    let library: String
    let transform: EvaluationTransform

    enum CodingKeys: CodingKey {
      case library, configuration
    }

    init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: CodingKeys.self)
      library = try container.decode(String.self, forKey: .library)
      transform =
        library == "timm"
        ? try EvaluationTransform(
          timm: try container.decode(TimmPretrainedConfiguration.self, forKey: .configuration))
        : try EvaluationTransform(
          huggingFace: try container.decode(HuggingFacePreprocessorConfiguration.self, forKey: .configuration)
        )
    }
  }

  @Test func `transforms equal their originals`() throws {
    let fixture = try ImageFixture("transform")
    let cases = try JSONDecoder().decode([Case].self, from: Data(fixture.metadata["cases", default: ""].utf8))
    let sources = fixture.names(endingIn: ".rgb")
    var compared = ["timm": 0, "transformers": 0]
    for (index, item) in cases.enumerated() {
      for source in sources {
        guard let expected = fixture.tensors["\(index).\(source)"] else { continue }
        let image = try fixture.tensor("\(source).rgb").image
        let size = item.transform.size
        #expect(expected.shape == [3, size.height, size.width], "case \(index)")
        if expected.type == "F32" {
          let result = try item.transform.tensor(image)
          #expect(
            result.map(\.bitPattern) == (try expected.floats.map(\.bitPattern)), "case \(index), \(source)")
        } else {
          #expect(planes(of: try item.transform.prepare(image)) == expected.bytes, "case \(index), \(source)")
        }
        compared[item.library, default: 0] += 1
      }
    }
    #expect(compared["timm", default: 0] >= 400 && compared["transformers", default: 0] >= 250)
  }

  /// uint8 [3, height, width].
  private func planes(of image: Image) -> [UInt8] {
    (0..<3).flatMap { channel in stride(from: channel, to: image.pixels.count, by: 3).map { image.pixels[$0] }
    }
  }

  private let mean = [0.485, 0.456, 0.406]
  private let std = [0.229, 0.224, 0.225]

  // MARK: Patches

  @Test(arguments: [ImageSize(8), ImageSize(height: 4, width: 8), ImageSize(5), ImageSize(1), ImageSize(16)])
  func `patches are the tensor in another order`(patch: ImageSize) throws {
    let transform = try EvaluationTransform(
      size: ImageSize(height: 16, width: 24), cropFraction: 0.9, mean: mean, std: std)
    let image = Image.noise(width: 40, height: 30, seed: 6)
    let tensor = try transform.tensor(image)
    let (gridHeight, gridWidth) = (16 / patch.height, 24 / patch.width)
    let area = patch.height * patch.width
    var patches = [Float](repeating: .nan, count: gridHeight * gridWidth * 3 * area)
    let prepared = try transform.prepare(image)
    patches.withUnsafeMutableBufferPointer {
      transform.writePatches(ofPrepared: prepared, patchSize: patch, into: $0)
    }
    var expected: [Float] = []
    for gridRow in 0..<gridHeight {
      for gridColumn in 0..<gridWidth {
        for channel in 0..<3 {
          for row in 0..<patch.height {
            let first = (channel * 16 + gridRow * patch.height + row) * 24 + gridColumn * patch.width
            expected += tensor[first..<first + patch.width]
          }
        }
      }
    }
    #expect(patches == expected)
  }

  // MARK: Extremes

  @Test func `images of extreme aspect take no memory`() throws {
    for mode in CropMode.allCases {
      let transform = try EvaluationTransform(
        size: ImageSize(224), cropFraction: 0.875, cropMode: mode, mean: mean, std: std)
      for image in [
        Image.noise(width: 1, height: 60_000, seed: 7), Image.noise(width: 60_000, height: 1, seed: 8),
      ] {
        #expect(try transform.prepare(image).size == ImageSize(224))
      }
    }
  }

  // MARK: Overrides

  @Test func `another size takes the resized size along`() throws {
    var dino = HuggingFacePreprocessorConfiguration()
    dino.processorType = "BitImageProcessor"
    dino.size = .shortestEdge(256)
    dino.cropSize = .exactly(ImageSize(224))
    let transform = try EvaluationTransform(huggingFace: dino)
    #expect(transform.size == ImageSize(224) && transform.resizing == .shortestEdge(256))
    let larger = try transform.applying(TransformOverrides(size: ImageSize(518)))
    #expect(larger.size == ImageSize(518) && larger.resizing == .shortestEdge(592))
    #expect(larger.normalization == transform.normalization && larger.centerRounding == .down)

    let squashed = try EvaluationTransform(huggingFace: HuggingFacePreprocessorConfiguration())
      .applying(TransformOverrides(size: ImageSize(height: 112, width: 448)))
    #expect(squashed.resizing == .exactly(ImageSize(height: 112, width: 448)))

    let timm = try EvaluationTransform(size: ImageSize(224), cropFraction: 0.9, mean: mean, std: std)
    #expect(timm.resizing == .shortestEdge(248))
    let wide = try timm.applying(TransformOverrides(size: ImageSize(height: 224, width: 448)))
    #expect(wide.resizing == .covering(ImageSize(height: 248, width: 497)))
  }

  @Test func `a crop mode or fraction switches to timm's rules`() throws {
    var configuration = HuggingFacePreprocessorConfiguration()
    configuration.processorType = "BitImageProcessor"
    for edge in 224...300 {
      configuration.size = .shortestEdge(edge)
      let transform = try EvaluationTransform(huggingFace: configuration)
      let squashed = try transform.applying(TransformOverrides(cropMode: .squash))
      #expect(squashed.resizing == .exactly(ImageSize(edge)))
    }
    let transform = try EvaluationTransform(huggingFace: configuration)
    let bordered = try transform.applying(TransformOverrides(cropFraction: 1, cropMode: .border))
    #expect(bordered.resizing == .fitting(ImageSize(224)) && bordered.fill == [123, 117, 104])
    #expect(bordered.normalization.scaling == .multiplied(by: 1.0 / 255))
  }

  @Test func `nothing overridden changes nothing`() throws {
    let timm = try EvaluationTransform(timm: TimmPretrainedConfiguration())
    #expect(try timm.applying(TransformOverrides()) == timm)
    #expect(
      timm.size == ImageSize(224) && timm.resizing == .shortestEdge(256) && timm.interpolation == .bicubic)
    let other = try timm.applying(
      TransformOverrides(interpolation: .lanczos, mean: [0, 0, 0], std: [1, 1, 1]))
    #expect(other.interpolation == .lanczos && other.resizing == timm.resizing)
    #expect(other.normalization.mean == [0, 0, 0] && other.normalization.std == [1, 1, 1])
  }

  /// Pillow's `convert("L")`, before anything else happens.
  @Test func `grey is Pillow's luma`() throws {
    let colors: [UInt8] = [
      255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255, 1, 2, 3, 200, 100, 50, 12, 250, 99, 127, 128, 129,
    ]
    let luma: [Float] = [76, 150, 29, 255, 2, 124, 162, 128]
    let transform = try EvaluationTransform(
      size: ImageSize(height: 1, width: 8), cropFraction: 1, mean: [0.2, 0.5, 0.8], std: [0.25, 0.25, 0.25]
    ).with(channels: 1)
    let image = Image(width: 8, height: 1, pixels: colors)
    let expected = luma.map { ($0 / 255 - 0.5) / 0.25 }
    #expect(try transform.tensor(image) == expected)
    var patches = [Float](repeating: .nan, count: 8)
    try patches.withUnsafeMutableBufferPointer {
      transform.writePatches(
        ofPrepared: try transform.prepare(image), patchSize: ImageSize(height: 1, width: 4), into: $0)
    }
    #expect(patches == expected)
  }
}
