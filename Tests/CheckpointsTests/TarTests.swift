import Checkpoints
import Foundation
import SystemPackage
import TestSupport
import Testing

@Suite struct TarTests {
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
  }

  static let archives = Fixtures.folder.appending("datasets")
  private static let deep = String(repeating: "a", count: 60) + "/" + String(repeating: "b", count: 60)

  private func bytes(_ elements: TensorElements) -> [UInt8] { elements.withUnsafeBytes { Array($0) } }

  /// The message of the error that opening an archive, or reading all of it, must give.
  private func failure(_ data: [UInt8]) throws -> String {
    let path = try folder.write(data, to: "data.tar")
    let error = try #require(throws: CheckpointError.self) {
      let archive = try TarArchive(path)
      _ = try archive.contents(of: archive.members)
    }
    #expect("\(error)".hasPrefix("\(path): "))
    return "\(error)"
  }

  /// A header as `tar` writes it.
  private func header(_ name: String, size: Int, kind: Character = "0", sizeField: [UInt8]? = nil) -> [UInt8]
  {
    var header = [UInt8](repeating: 0, count: 512)
    func put(_ bytes: some Sequence<UInt8>, at offset: Int) {
      for (index, byte) in bytes.enumerated() { header[offset + index] = byte }
    }
    put(name.utf8, at: 0)
    put("0000644\0".utf8, at: 100)
    let octal = String(size, radix: 8)
    put(sizeField ?? Array((String(repeating: "0", count: 11 - octal.count) + octal).utf8), at: 124)
    put("        ".utf8, at: 148)
    put([kind.asciiValue ?? 0], at: 156)
    put("ustar\u{0}00".utf8, at: 257)
    let sum = String(header.reduce(0) { $0 + Int($1) }, radix: 8)
    put((String(repeating: "0", count: 6 - sum.count) + sum + "\u{0} ").utf8, at: 148)
    return header
  }

  private func padded(_ bytes: [UInt8]) -> [UInt8] {
    bytes + [UInt8](repeating: 0, count: (512 - bytes.count % 512) % 512)
  }

  private let end = [UInt8](repeating: 0, count: 1024)

  @Test func readsMembers() throws {
    let archive = try TarArchive(Self.archives.appending("folders.tar.gz"))
    #expect(
      archive.members.map(\.name) == [
        "train/cat/0100.jpg", "train/cat/0500.jpg", "train/ship/0100.jpg", "train/ship/0500.jpg",
        "test/cat/0900.jpg",
        "test/ship/0900.jpg",
      ])
    // In any order, and twice.
    let wanted = [5, 0, 3, 0].map { archive.members[$0] }
    let contents = try archive.contents(of: wanted)
    for (member, elements) in zip(wanted, contents) {
      let parts = member.name.split(separator: "/").dropFirst().joined(separator: "/")
      let path = Fixtures.project.appending("samples/cifar10").appending(parts)
      #expect(bytes(elements) == [UInt8](try Data(contentsOf: URL(fileURLWithPath: path.string))))
    }
  }

  /// Names of more than 100 bytes: POSIX's prefix, GNU's long names, pax headers; plain, compressed, and compressed in pieces.
  @Test(arguments: ["long-plain.tar", "long-gnu.tar.gz", "long-pieces.tar.gz"])
  func longNames(_ name: String) throws {
    let path = Self.archives.appending(name)
    #expect(TarArchive.isArchive(path))
    let archive = try TarArchive(path)
    #expect(archive.members.count == 8)
    #expect(archive.members.contains { $0.name == Self.deep + "/train/cat/0500.jpg" })
    let contents = try archive.contents(of: archive.members)
    for (member, elements) in zip(archive.members, contents) where member.name.hasSuffix(".jpg") {
      #expect(bytes(elements).count == member.size && bytes(elements).starts(with: [0xFF, 0xD8]))
    }
  }

  @Test func kindsOfMembers() throws {
    let data =
      header("folder/", size: 0, kind: "5") + header("link", size: 0, kind: "2")
      + header("hard", size: 9, kind: "1")
      + header("old/", size: 0, kind: "0") + header("a", size: 3) + padded([1, 2, 3])
      + header("empty", size: 0)
      + header("big", size: 0, sizeField: [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]) + padded([4, 5])
    // With the two blocks of zeros that mark the end, without, and with more behind them.
    for tail in [end, [], end + header("no", size: 0)] {
      let archive = try TarArchive(folder.write(data + tail, to: "data.tar"))
      #expect(archive.members.map(\.name) == ["a", "empty", "big"])
      #expect(try archive.contents(of: archive.members).map(bytes) == [[1, 2, 3], [], [4, 5]])
    }
  }

  @Test func paxSizeAndPath() throws {
    let records = "21 path=another/name\n9 size=4\n"
    let data =
      header("x", size: records.utf8.count, kind: "x") + padded(Array(records.utf8)) + header("a", size: 0)
    let archive = try TarArchive(
      folder.write(data + padded([9, 8, 7, 6]) + header("b", size: 0) + end, to: "data.tar"))
    #expect(archive.members.map(\.name) == ["another/name", "b"])
    #expect(try archive.contents(of: [archive.members[0]]).map(bytes) == [[9, 8, 7, 6]])
  }

  @Test func damagedArchives() throws {
    var wrongSum = header("a", size: 3)
    wrongSum[0] ^= 1
    for (data, reason) in [
      (Array("no archive at all".utf8), "it is no tar archive"),
      ([UInt8](repeating: 7, count: 2000), "it is no tar archive"),
      (header("a", size: 0) + wrongSum, "the checksum of a header is wrong"),
      (header("a", size: 3000) + padded([1]), "the archive is cut off"),
      (header("a", size: 0) + [1, 2], "it is cut off"),
      (header("a", size: 0, sizeField: Array("00000000zz\u{0}\u{0}".utf8)), "not written in octal digits"),
      (header("a", size: 0, sizeField: [UInt8](repeating: 0xFF, count: 12)), "a number is too large"),
      (
        header("a", size: 0, sizeField: [0x80, 0, 0, 0, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
        "bytes are not possible"
      ),
      (
        header(
          "a", size: 0, kind: "V", sizeField: [0x80, 0, 0, 0, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
        "bytes are not possible"
      ),
      (header("a", size: 0, kind: "S"), "sparse"),
      (header("x", size: 5, kind: "x") + padded(Array("99 a=".utf8)), "of no length"),
      (header("x", size: 11, kind: "x") + padded(Array("11 size=-1\n".utf8)), "a size of \"-1\" bytes"),
      (header("x", size: 5, kind: "x"), "cut off"),
      (header("L", size: 1 << 21, kind: "L"), "an extended header of"),
    ] as [([UInt8], String)] {
      #expect(try failure(data).contains(reason), "\(reason)")
    }
  }

  /// Bytes changed by lot: an archive is read or refused, and nothing else happens.
  @Test func mutatedArchives() throws {
    let good = [UInt8](
      try Data(contentsOf: URL(fileURLWithPath: Self.archives.appending("long-plain.tar").string)))
    var random = SplitMix64(state: 1)
    var refused = 0
    for _ in 0..<400 {
      var data = good
      // Headers lie at multiples of 512 bytes.
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let block = Int.random(in: 0..<data.count / 512, using: &random) * 512
        data[block + Int.random(in: 0..<512, using: &random)] = UInt8.random(
          in: .min ... .max, using: &random)
      }
      if Bool.random(using: &random) {
        data = Array(data.prefix(Int.random(in: 1...data.count, using: &random)))
      }
      let path = try folder.write(data, to: "mutated.tar")
      do {
        let archive = try TarArchive(path)
        for elements in try archive.contents(of: archive.members) { _ = bytes(elements).reduce(0, ^) }
      } catch {
        refused += 1
      }
    }
    #expect(refused > 100)
  }

  @Test func damagedCompression() throws {
    let data = [UInt8](
      try Data(contentsOf: URL(fileURLWithPath: Self.archives.appending("folders.tar.gz").string)))
    #expect(try failure(Array(data[..<(data.count - 400)])).contains("the compressed archive is cut off"))
    #expect(try failure([0x1F, 0x8B]).contains("the compressed archive"))
    var flipped = data
    flipped[data.count / 2] ^= 0x40
    _ = try failure(flipped)
    var wrongChecksum = data
    wrongChecksum[data.count - 6] ^= 1
    #expect(try failure(wrongChecksum).contains("damaged"))
  }
}

@Suite struct PickledDictionaryTests {
  private func read(_ archive: String, _ member: String) throws -> PickledDictionary {
    let path = TarTests.archives.appending(archive)
    let tar = try TarArchive(path)
    let entry = try #require(tar.members.first { $0.name.hasSuffix(member) })
    return try PickledDictionary(#require(tar.contents(of: [entry]).first), path: path)
  }

  /// numpy's arrays as Python 2 wrote them, as Python 3 writes them for Python 2, and as protocols 4 and 5 have them.
  @Test(arguments: [
    ("cifar-10-python.tar.gz", "test_batch", 4, "labels"),
    ("cifar-100-python-2.tar.gz", "test", 3, "fine_labels"),
    ("cifar-100-python-4.tar.gz", "test", 3, "fine_labels"),
    ("cifar-100-python-5.tar.gz", "test", 3, "fine_labels"),
  ]) func arrays(_ archive: String, _ member: String, _ count: Int, _ labels: String) throws {
    let dictionary = try read(archive, "/" + member)
    let array = try #require(dictionary.array("data"))
    #expect(array.type == "u1" && array.shape == [count, 3072] && !array.isFortranOrder)
    let bytes = array.bytes.withUnsafeBytes { Array($0) }
    let expected = (0..<count).flatMap { i in
      (0..<3072).map { UInt8(truncatingIfNeeded: 7 * i + 50 * ($0 / 1024) + 3 * ($0 % 1024 / 32) + $0 % 32) }
    }
    #expect(bytes == expected)
    #expect(dictionary.integers(labels)?.count == count)
    #expect(
      dictionary.integers("data") == nil && dictionary.array(labels) == nil && dictionary.texts(labels) == nil
    )
  }

  @Test func texts() throws {
    #expect(
      try read("cifar-10-python.tar.gz", "batches.meta").texts("label_names")?.prefix(2) == [
        "airplane", "automobile",
      ])
    #expect(try read("cifar-100-python-4.tar.gz", "meta").texts("fine_label_names")?.last == "fine 99")
  }

  /// Bytes changed by lot, in the description rather than in the pixels.
  @Test func mutatedPickles() throws {
    let path = TarTests.archives.appending("cifar-10-python.tar.gz")
    let tar = try TarArchive(path)
    let entry = try #require(tar.members.first { $0.name.hasSuffix("test_batch") })
    let good = try #require(tar.contents(of: [entry]).first).withUnsafeBytes { Array($0) }
    let folder = try TemporaryFolder()
    var random = SplitMix64(state: 2)
    var refused = 0
    for _ in 0..<400 {
      var data = good
      let places = Array(0..<260) + Array(data.count - 60..<data.count)
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        data[places.randomElement(using: &random) ?? 0] = UInt8.random(in: .min ... .max, using: &random)
      }
      let file = try folder.write(data, to: "batch")
      do {
        let dictionary = try PickledDictionary(MappedFile(file).contents, path: file)
        for key in dictionary.keys {
          _ = dictionary.array(key)?.bytes.withUnsafeBytes { $0.reduce(0, ^) }
          _ = (dictionary.integers(key), dictionary.texts(key))
        }
      } catch {
        refused += 1
      }
    }
    #expect(refused > 100)
  }

  @Test func refusesCodeAndOthers() throws {
    let folder = try TemporaryFolder()
    for (bytes, reason) in [
      (
        Array("cposix\nsystem\n(S'true'\ntR.".utf8),
        "nothing from a pickle is ever executed; get the file from where the data set is published"
      ), (Array("].".utf8), "the pickle is a list, not a dictionary"), ([0x80, 2, 0x7D], "cut off"),
    ] {
      let path = try folder.write(bytes, to: "batch")
      let error = #expect(throws: CheckpointError.self) {
        try PickledDictionary(MappedFile(path).contents, path: path)
      }
      #expect("\(String(describing: error))".contains(reason), "\(String(describing: error))")
    }
  }
}
