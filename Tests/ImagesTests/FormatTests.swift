import Foundation
import Images
import SystemPackage
import Testing

/// Files that are no images, and paths that are no files.
@Suite struct FormatTests {
  static let others: [([UInt8], String)] = [
    (Array("GIF89a".utf8) + [1, 0, 1, 0], "GIF"),
    (Array("RIFF\u{10}\0\0\0WEBPVP8 ".utf8), "WebP"),
    (Array("BM".utf8) + [UInt8](repeating: 0, count: 60), "BMP"),
    (Array("II*\0".utf8), "TIFF"), (Array("MM\0*".utf8), "TIFF"),
    ([0, 0, 0, 24] + Array("ftypavif".utf8), "AVIF"), ([0, 0, 0, 24] + Array("ftypheic".utf8), "HEIC"),
    ([0, 0, 0, 24] + Array("ftypisom".utf8), "a video (MP4)"),
    ([0, 0, 0, 12] + Array("jP  ".utf8), "JPEG 2000"), ([0xFF, 0x0A, 0], "JPEG XL"),
    (Array("%PDF-1.7".utf8), "PDF"), (Array("P6\n3 2\n255\n".utf8), "Netpbm"),
    (Array("<?xml version=\"1.0\"?>\n<svg xmlns=\"\">".utf8), "SVG"),
    (Array("<!DOCTYPE html><p>".utf8), "HTML"), (Array("hello\n".utf8), "text"),
    (Array("PK\u{3}\u{4}".utf8), "a ZIP archive"),
  ]

  @Test(arguments: others) func `other formats are named`(bytes: [UInt8], name: String) {
    #expect(throws: ImageError.unknownFormat(format: name)) { try Image(decoding: bytes) }
  }

  @Test func `the message tells what to do`() {
    #expect(
      ImageError.unknownFormat(format: "WebP").description
        == "not a JPEG or PNG image, but WebP; convert it first")
    #expect(ImageError.unknownFormat(format: nil).description == "not a JPEG or PNG image")
  }

  @Test func `bytes without meaning have no name`() {
    #expect(throws: ImageError.unknownFormat(format: nil)) { try Image(decoding: [0, 1, 2, 3]) }
    #expect(throws: ImageError.empty) { try Image(decoding: []) }
    for byte in UInt8.min...UInt8.max {
      #expect(throws: ImageError.self) { try Image(decoding: [byte]) }
    }
  }

  // MARK: Files

  private func inTemporaryFolder(_ body: (FilePath) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "images-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try body(FilePath(folder.path(percentEncoded: false)))
  }

  private func write(_ bytes: [UInt8], to path: FilePath) throws {
    let file = try FileDescriptor.open(path, .writeOnly, options: [.create], permissions: [.ownerReadWrite])
    _ = try file.closeAfter { try file.writeAll(bytes) }
  }

  @Test func `a file is read whatever it is called`() throws {
    try inTemporaryFolder { folder in
      let fixture = try ImageFixture("jpeg")
      try write(fixture.tensor("444.file").bytes, to: folder.appending("photo.png"))
      let image = try Image(contentsOf: folder.appending("photo.png"))
      #expect(image == (try fixture.tensor("444.rgb").image))
    }
  }

  @Test func `what is no image file is refused at once`() throws {
    try inTemporaryFolder { folder in
      try write([], to: folder.appending("empty.jpg"))
      try write(Array("GIF89a".utf8), to: folder.appending("other.jpg"))
      let pipe = folder.appending("pipe.jpg")
      #expect(mkfifo(pipe.string, 0o600) == 0)
      #expect(throws: ImageError.empty) { try Image(contentsOf: folder.appending("empty.jpg")) }
      #expect(throws: ImageError.notFound) { try Image(contentsOf: folder.appending("missing.jpg")) }
      #expect(throws: ImageError.notFound) { try Image(contentsOf: folder.appending("other.jpg/in.jpg")) }
      #expect(throws: ImageError.notARegularFile(kind: "a folder")) { try Image(contentsOf: folder) }
      #expect(throws: ImageError.notARegularFile(kind: "a named pipe")) { try Image(contentsOf: pipe) }
      #expect(throws: ImageError.notARegularFile(kind: "a device")) { try Image(contentsOf: "/dev/null") }
      #expect(throws: ImageError.unknownFormat(format: "GIF")) {
        try Image(contentsOf: folder.appending("other.jpg"))
      }
      #expect(throws: ImageError.self) { try Image(contentsOf: "") }
    }
  }

  @Test func `a huge file of something else is not read`() throws {
    try inTemporaryFolder { folder in
      let path = folder.appending("sparse.jpg")
      let file = try FileDescriptor.open(path, .readWrite, options: [.create], permissions: [.ownerReadWrite])
      try file.closeAfter { try file.resize(to: 1 << 40) }
      #expect(throws: ImageError.unknownFormat(format: nil)) { try Image(contentsOf: path) }
      let again = try FileDescriptor.open(path, .readWrite)
      _ = try again.closeAfter { try again.writeAll(toAbsoluteOffset: 0, [0xFF, 0xD8, 0xFF, 0xE0]) }
      let limit = 4 * 1024 * 1024 * 1024
      #expect(throws: ImageError.fileTooLarge(bytes: 1 << 40, limit: limit)) { try Image(contentsOf: path) }
    }
  }
}
