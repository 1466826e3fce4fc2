import Foundation
import Pipeline
import SystemPackage
import TestSupport
import Testing

@Suite struct PathWalkerTests {
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
  }

  /// What the walker finds, relative to the folder, errors after a colon.
  private func walk(_ paths: [String] = [""]) -> (found: [String], skipped: Int) {
    var walker = PathWalker(paths.map { $0.isEmpty ? folder.path : folder.path.appending($0) })
    var found: [String] = []
    while let input = walker.next() {
      let name = String(input.path.string.dropFirst(folder.path.string.count).drop { $0 == "/" })
      found.append(input.error.map { "\(name): \($0)" } ?? name)
    }
    return (found, walker.skippedCount)
  }

  private func touch(_ names: String...) throws {
    for name in names { try folder.write("", to: name) }
  }

  @Test func foldersAreRecursedInOrder() throws {
    try touch("b.jpg", "a/z.PNG", "a/b/c.jpeg", "a/b.jpg", "c.jpg", "A.jpg")
    #expect(walk().found == ["A.jpg", "a/b/c.jpeg", "a/b.jpg", "a/z.PNG", "b.jpg", "c.jpg"])
  }

  @Test func givenFilesComeAsTheyAre() throws {
    try touch("b.txt", "a.jpg")
    #expect(
      walk(["b.txt", "missing.jpg", "a.jpg", "a.jpg"]).found == ["b.txt", "missing.jpg", "a.jpg", "a.jpg"])
  }

  @Test func otherFilesInFoldersArePassedOver() throws {
    try touch("a.jpg", "README.md", "b.webp", "none", ".hidden.jpg", "._a.jpg", ".git/c.jpg")
    let (found, skipped) = walk()
    #expect(found == ["a.jpg", "b.webp"])
    #expect(skipped == 2)
  }

  @Test func foldersWithoutImages() throws {
    try touch("empty/README.md", "full/a.jpg", "full/none/b.txt")
    try FileManager.default.createDirectory(
      atPath: folder.path.appending("bare").string, withIntermediateDirectories: true)
    let noImages = "no images in this folder (files are looked for by their names: .jpg, .png and so on)"
    #expect(
      walk(["empty", "full", "bare"]).found == ["empty: \(noImages)", "full/a.jpg", "bare: \(noImages)"])
  }

  @Test func linksAreFollowedButNotInCircles() throws {
    try touch("a/b.jpg", "outside/c.jpg")
    func link(_ name: String, to target: String) throws {
      try FileManager.default.createSymbolicLink(
        atPath: folder.path.appending(name).string, withDestinationPath: target)
    }
    try link("a/again", to: "..")
    try link("a/other", to: "../outside")
    try link("a/photo.jpg", to: "../outside/c.jpg")
    try link("a/dangling.jpg", to: "nowhere.jpg")
    #expect(
      walk(["a"]).found == [
        "a/again/outside/c.jpg", "a/b.jpg",
        "a/dangling.jpg", "a/other/c.jpg", "a/photo.jpg",
      ])
  }

  /// Pipes, sockets and devices would block or never end.
  @Test func specialFilesArePassedOver() throws {
    try touch("a.jpg")
    #expect(folder.path.appending("pipe.jpg").withPlatformString { mkfifo($0, 0o600) } == 0)
    #expect(walk().found == ["a.jpg"])
  }

  @Test func namesOfAnyBytes() throws {
    let name = "line\nbreak \u{1F408}.jpg"
    try touch(name)
    // "a\xFF\xFE.jpg"
    let bytes =
      (folder.path.string + "/").utf8.map { CChar(bitPattern: $0) } + [
        0x61, -1, -2, 0x2E, 0x6A, 0x70, 0x67, 0,
      ]
    let descriptor = creat(bytes, 0o600)
    #expect(descriptor >= 0)
    close(descriptor)
    var walker = PathWalker([folder.path])
    let invalid = try #require(walker.next()?.path)
    #expect(invalid.withPlatformString { open($0, O_RDONLY) } >= 0, "the bytes of the name were not kept")
    #expect(walker.next()?.path.lastComponent?.string == name)
    #expect(walker.next()?.path == nil)
  }

  /// A folder is listed in pages; no name may be lost or doubled where one ends.
  @Test(arguments: [1, 2, 3, 7, 100, 101]) func pages(_ size: Int) throws {
    let names = (0..<100).map { "\(($0 * 37) % 100).jpg" }
    for name in names { try touch(name) }
    var listing = DirectoryListing(folder.path, pageSize: size)
    var found: [String] = []
    while let entry = try listing.next() { found.append(String(decoding: entry.name, as: UTF8.self)) }
    #expect(found == names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
  }
}

@Suite struct PathListTests {
  /// Paths out of a pipe that is filled in pieces.
  private func read(_ pieces: [String], separator: Character) throws -> [String] {
    let pipe = Pipe()
    Thread.detachNewThread {
      for piece in pieces {
        pipe.fileHandleForWriting.write(Data(piece.utf8))
        usleep(2000)
      }
      try? pipe.fileHandleForWriting.close()
    }
    var list = PathList(
      descriptor: pipe.fileHandleForReading.fileDescriptor, separator: separator.asciiValue ?? 0)
    var paths: [String] = []
    while let path = list.next() { paths.append(path.string) }
    #expect(list.error == nil)
    return paths
  }

  @Test func lines() throws {
    #expect(
      try read(["a.jpg\n\nb c.jpg\nd", "/e.jpg\nlast"], separator: "\n") == [
        "a.jpg", "b c.jpg", "d/e.jpg", "last",
      ])
    #expect(try read([], separator: "\n") == [])
    let many = (0..<20_000).map { "folder/\($0).jpg" }
    #expect(try read([many.joined(separator: "\n") + "\n"], separator: "\n") == many)
  }

  @Test func nulSeparated() throws {
    #expect(try read(["a\nb.jpg\0c.jpg\0"], separator: "\0") == ["a\nb.jpg", "c.jpg"])
  }

  /// What is not the list that it is said to be must not be taken for one.
  @Test func otherLists() throws {
    func error(_ bytes: [UInt8]) throws -> String? {
      let pipe = Pipe()
      Thread.detachNewThread {
        pipe.fileHandleForWriting.write(Data(bytes))
        try? pipe.fileHandleForWriting.close()
      }
      var list = PathList(descriptor: pipe.fileHandleForReading.fileDescriptor, separator: UInt8(ascii: "\n"))
      #expect(list.next() == nil)
      return list.error
    }
    #expect(try error(Array("a.jpg\0b.jpg\0".utf8)) == "it is separated by NUL bytes; give --null")
    let long = try error([UInt8](repeating: 0x61, count: 100_000)) ?? ""
    #expect(long.contains("longer than 65536 bytes"))
  }

  /// A list that never ends must not keep a cancelled run alive.
  @Test func cancellation() {
    let pipe = Pipe()
    let cancellation = Cancellation()
    var list = PathList(
      descriptor: pipe.fileHandleForReading.fileDescriptor, separator: 10, cancellation: cancellation)
    Thread.detachNewThread {
      usleep(50_000)
      cancellation.cancel()
    }
    #expect(list.next() == nil)
  }
}
