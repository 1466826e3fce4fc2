import Checkpoints
import Foundation
import Images
import TestSupport
import Testing

/// Odd, damaged and lying files, made by `hostile_images.py`: each is refused, or has Pillow's pixels.
@Suite struct HostileImageTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let bytes: [UInt8]
    /// Nil where Pillow refuses the file.
    let image: Image?
    /// Pillow's words.
    let refusal: String?

    var testDescription: String { name }
  }

  static let cases = Result { try read() }

  private static func read() throws -> [Case] {
    let archive = try TarArchive(Fixtures.folder.appending("images/hostile.tar.gz"))
    let contents = try archive.contents(of: archive.members).map { $0.withUnsafeBytes { Array($0) } }
    let files = Dictionary(zip(archive.members.map(\.name), contents)) { $1 }
    let document = try JSONDecoder().decode(JSONValue.self, from: Data(files["cases.json"] ?? []))
    return try (document["cases"]?.object ?? [:]).sorted { $0.key < $1.key }.map { name, fields in
      var image: Image?
      if let pixels = fields["pixels"]?.string {
        image = Image(
          width: try #require(fields["width"]?.int), height: try #require(fields["height"]?.int),
          pixels: try #require(files[pixels]))
      }
      let bytes = try #require(files[name])
      return Case(name: name, bytes: bytes, image: image, refusal: fields["refusal"]?.string)
    }
  }

  private func decode(_ file: Case) -> Result<Image, ImageError> {
    Result { () throws(ImageError) in
      try Image(decoding: file.bytes, options: DecodingOptions(maxPixels: 1 << 24))
    }
  }

  @Test func `each file has Pillow's pixels or is refused`() throws {
    let files = try Self.cases.get()
    let refused = Set(HostileImageExceptions.refused.flatMap(\.names))
    let read = Set(HostileImageExceptions.read.flatMap(\.names))
    #expect(files.count > 1900 && files.count { $0.image != nil } > 900)
    #expect(refused.union(read).isSubset(of: files.map(\.name)), "exceptions for files that are not there")
    for file in files {
      switch (decode(file), file.image) {
      case (.success(let image), let expected?):
        #expect(!refused.contains(file.name), "\(file.name) is no exception any more")
        #expect(image.size == expected.size, "\(file.name)")
        if HostileImageExceptions.isGuessed(file.name) {
          #expect(Self.meanDifference(image, expected) < 6, "\(file.name)")
        } else {
          #expect(image == expected, "\(file.name)")
        }
      case (.success, nil):
        #expect(read.contains(file.name), "\(file.name) is read, but Pillow says: \(file.refusal ?? "")")
      case (.failure(let error), let expected):
        #expect(
          expected == nil || refused.contains(file.name),
          "\(file.name) is refused, but not by Pillow: \(error)")
        #expect(!"\(error)".utf8.contains { $0 < 0x20 }, "\(file.name): control characters in the message")
      }
    }
  }

  private static func meanDifference(_ image: Image, _ other: Image) -> Double {
    let sum = zip(image.pixels, other.pixels).reduce(0) { $0 + abs(Int($1.0) - Int($1.1)) }
    return Double(sum) / Double(max(1, image.pixels.count))
  }

  /// A picture that is decoded to fewer pixels passes through other code.
  @Test func `what is read whole is read reduced`() throws {
    let transform = try EvaluationTransform(
      size: ImageSize(height: 3, width: 3), cropFraction: 1, mean: [0, 0, 0], std: [1, 1, 1])
    let options = DecodingOptions(maxPixels: 1 << 24, mayReduce: true)
    for file in try Self.cases.get() {
      let reduced = Result { () throws(ImageError) in
        try DecodedImage(decoding: file.bytes, options: options, for: transform)
      }
      switch (decode(file), reduced) {
      case (.success(let image), .success(let reduced)):
        #expect(image.size == reduced.size, "\(file.name)")
        #expect(try transform.tensor(reduced).allSatisfy { (0...1).contains($0) }, "\(file.name)")
      case (.failure, .failure): break
      default: Issue.record("\(file.name) is read either whole or reduced")
      }
    }
  }
}
