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

  @Test func `each file has Pillow's pixels or is refused`() throws {
    var counts = (read: 0, refused: 0)
    for file in try Self.cases.get() {
      let result = Result { () throws(ImageError) in
        try Image(decoding: file.bytes, options: DecodingOptions(maxPixels: 1 << 24))
      }
      switch (result, file.image) {
      case (.success(let image), let expected?):
        counts.read += 1
        if image != expected { print("DIFF \(file.name) \(image.size) \(expected.size)") }
      case (.failure(let error), nil):
        counts.refused += 1
        if "\(error)".utf8.contains(where: { $0 < 32 }) { print("CTRL \(file.name)") }
      case (.failure(let error), _?): print("REFUSED \(file.name): \(error)")
      case (.success(let image), nil): print("READ \(file.name) \(image.size): \(file.refusal ?? "")")
      }
    }
    print(counts)
  }
}
