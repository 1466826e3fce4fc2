import Checkpoints
import SystemPackage
import TestSupport
import Testing

/// Zip archives built byte by byte: what is right is read, and what lies is refused by name.
@Suite struct ZipTests {
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
  }

  private func open(_ builder: ZipBuilder) throws -> ZipArchive {
    try ZipArchive(MappedFile(folder.write(builder.bytes, to: "archive.zip")))
  }

  private func failure(_ builder: ZipBuilder) throws -> String {
    try failure(builder.bytes)
  }

  private func failure(_ bytes: [UInt8]) throws -> String {
    let file = try folder.write(bytes, to: "archive.zip")
    let error = try #require(throws: CheckpointError.self) { try ZipArchive(MappedFile(file)) }
    #expect("\(error)".hasPrefix("\(file): the zip archive"))
    return "\(error)"
  }

  private let text = Array("a text that is long enough to be cut".utf8)

  /// An archive whose first member is changed.
  private func changed(_ change: (inout ZipBuilder.Member) -> Void) -> ZipBuilder {
    var builder = ZipBuilder(.init("a", text), .init("b", [1, 2, 3]))
    change(&builder.members[0])
    return builder
  }

  // MARK: - What is right

  @Test func storedAndDeflatedMembers() throws {
    var builder = ZipBuilder(
      .init("folder/stored", text), .init("deflated", storedBlocks(text), inflatedTo: text),
      .init("empty", []),
      .init("empty deflated", storedBlocks([]), inflatedTo: []), .init("Grüße", [7]))
    builder.members[0].localExtra = [UInt8](repeating: 0, count: 61)
    builder.members[1].centralExtra = [9, 9, 2, 0, 1, 1]
    builder.comment = [UInt8](repeating: 0x50, count: 0xFFFF)
    let archive = try open(builder)
    #expect(archive.members.map(\.name) == ["folder/stored", "deflated", "empty", "empty deflated", "Grüße"])
    #expect(archive.members.map(\.uncompressedSize) == [text.count, text.count, 0, 0, 1])
    for name in ["folder/stored", "deflated"] {
      let member = try #require(archive.member(named: name))
      #expect(try archive.contents(of: member) == text)
      #expect(try archive.contents(of: member, upTo: 5) == Array(text.prefix(5)))
      #expect(try archive.contents(of: member, upTo: 0) == [])
      #expect(try archive.contents(of: member, upTo: 1000) == text)
      var part = [UInt8](repeating: 0xEE, count: 7)
      try part.withUnsafeMutableBytes { try archive.read(member, from: 3, into: $0) }
      #expect(part == Array(text[3..<10]))
    }
    for name in ["empty", "empty deflated"] {
      #expect(try archive.contents(of: #require(archive.member(named: name))) == [])
    }
    let stored = try #require(archive.storedRange(of: archive.members[0]))
    #expect(Array(archive.file.bytes(in: stored)) == text)
    #expect(archive.storedRange(of: archive.members[1]) == nil)
    #expect(archive.member(named: "nothing") == nil)
  }

  @Test func namesThatAreNoUTF8() throws {
    #expect(try open(changed { $0.name = [0x61, 0xFF, 0x62] }).members.map(\.name) == ["a\u{FFFD}b", "b"])
  }

  @Test func archivesWithoutMembers() throws {
    #expect(try open(ZipBuilder()).members.isEmpty)
    let file = try folder.write(ZipBuilder().bytes, to: "empty.zip")
    let error = try #require(throws: CheckpointError.self) { try Checkpoint(file) }
    #expect("\(error)".contains("neither numpy arrays nor a PyTorch model"))
  }

  // MARK: - Lies of the directory

  @Test func cutFiles() throws {
    var builder = ZipBuilder(.init("a", text), .init("b", storedBlocks(text), inflatedTo: text))
    builder.comment = text
    let whole = builder.bytes
    for count in 1..<whole.count {
      #expect(throws: CheckpointError.self, "cut to \(count) of \(whole.count) bytes") {
        try ZipArchive(MappedFile(folder.write(whole.prefix(count), to: "cut.zip")))
      }
    }
    #expect(try failure(whole + [0]).contains("has no end record; the file is cut off"))
    #expect(try failure([0] + whole).contains("does not end at byte"))
  }

  @Test func membersThatLie() throws {
    let cases: [(String, (inout ZipBuilder.Member) -> Void)] = [
      ("whose header is not at byte 4294967295", { $0.offset = 0xFFFF_FFFF }),
      ("whose header is not at byte 1", { $0.offset = 1 }),
      ("whose header is not at byte 0", { $0.localSignature = 0 }),
      ("that is encrypted", { $0.flags = 1 }),
      ("whose own header gives method 8, but the directory 0", { $0.localMethod = 8 }),
      ("whose own header gives another name", { $0.localName = [0x7A] }),
      ("whose own header gives another name", { $0.localName = [UInt8](repeating: 0x61, count: 0xFFFF) }),
      (
        "where the directory begins",
        {
          $0.localExtra = []
          $0.compressedSize = 9999
          $0.uncompressedSize = 9999
        }
      ),
      ("said to be 37", { $0.uncompressedSize += 1 }),
      (
        "where the directory begins",
        {
          $0.compressedSize = 0xFFFF_FFFF
          $0.uncompressedSize = 0xFFFF_FFFF
        }
      ),
      ("one part of several", { $0.disk = 1 }),
      ("no member's header at its byte 0", { $0.centralSignature = 0 }),
      (
        "has a zip64 field that is cut off",
        {
          $0.uncompressedSize = 0xFFFF_FFFF
          $0.centralExtra = [1, 0, 4, 0, 1, 2, 3, 4]
        }
      ),
      (
        "where the directory begins",
        {
          ($0.uncompressedSize, $0.compressedSize) = (0xFFFF_FFFF, 0xFFFF_FFFF)
          $0.centralExtra = [1, 0, 16, 0] + little(Int64.max) + little(Int64.max)
        }
      ),
      (
        "whose header is not at byte 18446744073709551615",
        {
          $0.offset = 0xFFFF_FFFF
          $0.centralExtra = [1, 0, 8, 0] + little(UInt64.max)
        }
      ),
    ]
    for (message, change) in cases {
      let text = try failure(changed(change))
      #expect(text.contains(message), "\(text)")
    }
  }

  @Test func endRecordsThatLie() throws {
    func lie(_ change: (inout ZipBuilder) -> Void) throws -> String {
      var builder = changed { _ in }
      change(&builder)
      return try failure(builder)
    }
    #expect(try lie { $0.count = 3 }.contains("counts more members than it holds"))
    #expect(try lie { $0.count = 0xFFFF }.contains("has 65535 members in 94 bytes, above the limit"))
    #expect(try lie { $0.count = 1 }.contains("after the last of the 1 members"))
    #expect(try lie { $0.count = 0 }.contains("after the last of the 0 members"))
    #expect(try lie { $0.gap = [1] }.contains("does not end at byte"))
    #expect(try lie { $0.directorySize = 0xFFFF_FFFF }.contains("does not end at byte"))
    #expect(try lie { $0.directoryOffset = 0xFFFF_FFFF }.contains("does not end at byte"))
    #expect(try lie { $0.directoryOffset = 0 }.contains("does not end at byte"))
    #expect(try lie { $0.disk = 1 }.contains("one part of several"))
    #expect(try lie { $0.countOnDisk = 1 }.contains("one part of several"))
  }

  @Test func zip64RecordsThatLie() throws {
    typealias Record = (
      offset: UInt64, size: UInt64, count: UInt64, at: UInt64, recordSize: UInt64, disks: UInt32
    )
    func with(_ change: @escaping (inout Record) -> Void) -> ZipBuilder {
      var builder = changed { _ in }
      builder.zip64 = { offset, size, count in
        var record: Record = (UInt64(offset), UInt64(size), UInt64(count), UInt64(offset + size), 44, 1)
        change(&record)
        return ZipBuilder.zip64(
          offset: record.offset, size: record.size, count: record.count, at: record.at,
          recordSize: record.recordSize, disks: record.disks)
      }
      return builder
    }
    func saturated(_ change: @escaping (inout Record) -> Void) -> ZipBuilder {
      var builder = with(change)
      (builder.count, builder.directorySize, builder.directoryOffset) = (0xFFFF, 0xFFFF_FFFF, 0xFFFF_FFFF)
      return builder
    }
    #expect(try open(with { _ in }).members.count == 2)
    #expect(try open(saturated { _ in }).members.count == 2)
    for builder in [with { $0.count = 3 }, with { $0.size += 1 }, with { $0.offset += 1 }] {
      #expect(try failure(builder).contains("contradict each other"))
    }
    for lie in [0, 1, .max, UInt64(Int.max)] as [UInt64] {
      #expect(try failure(saturated { $0.at = lie }).contains("no zip64 end record at byte \(lie)"))
      #expect(try failure(saturated { $0.recordSize = lie }).contains("no zip64 end record"))
      #expect(try failure(saturated { $0.size = lie }).contains("does not end at byte"))
      #expect(try failure(saturated { $0.count = lie }).contains("members"))
    }
    for lie in [.max, UInt64(Int.max), 1] as [UInt64] {
      #expect(try failure(saturated { $0.offset = lie }).contains("does not end at byte"))
    }
    #expect(try failure(with { $0.disks = 2 }).contains("one part of several"))
  }

  @Test func membersThatOverlap() throws {
    var builder = ZipBuilder(.init("a", text), .init("a", [1]))
    #expect(try failure(builder).contains("two members named \"a\""))
    // The same bytes under two names, and a member inside another one's data.
    builder = ZipBuilder(.init("a", text), .init("a", text))
    builder.members[1].offset = 0
    #expect(try failure(builder).contains("members that overlap: \"a\" and \"a\""))
    var inner = ZipBuilder(.init("in", [1, 2, 3]))
    inner.members[0].localExtra = [0, 0, 0, 0]
    let nested = Array(inner.bytes.prefix(30 + 2 + 4 + 3))
    builder = ZipBuilder(.init("out", nested), .init("in", [1, 2, 3]))
    builder.members[1].offset = 30 + 3
    #expect(try failure(builder).contains("members that overlap: \"out\" and \"in\""))
  }

  @Test func tooManyMembers() throws {
    var directory: [UInt8] = []
    directory.reserveCapacity(46 * 70_000)
    for _ in 0..<70_000 { directory += little(0x0201_4B50 as UInt32) + [UInt8](repeating: 0, count: 42) }
    let size = UInt64(directory.count)
    let file =
      directory + ZipBuilder.zip64(offset: 0, size: size, count: 70_000, at: size)
      + little(0x0605_4B50 as UInt32) + [0, 0, 0, 0] + [UInt8](repeating: 0xFF, count: 12) + [0, 0]
    #expect(try failure(file).contains("70000 members in 3220000 bytes, above the limit"))
  }

  // MARK: - Damaged members

  /// The message of the error that reading the first member must give, whole and as a part.
  private func readingFailure(_ builder: ZipBuilder) throws -> String {
    let archive = try open(builder)
    let member = archive.members[0]
    let error = try #require(throws: CheckpointError.self) { try archive.contents(of: member) }
    var part = [UInt8](repeating: 0, count: 1)
    #expect(throws: error) { try part.withUnsafeMutableBytes { try archive.read(member, from: 2, into: $0) } }
    return "\(error)"
  }

  @Test func damagedMembers() throws {
    func deflated(_ data: [UInt8], count: Int? = nil) -> ZipBuilder {
      var builder = ZipBuilder(.init("a", data, inflatedTo: text), .init("b", [1, 2, 3]))
      if let count { builder.members[0].uncompressedSize = UInt32(count) }
      return builder
    }
    let sound = storedBlocks(text)
    #expect(
      try readingFailure(changed { $0.crc32 ^= 1 }).contains(
        "member \"a\" of the zip archive is damaged: its checksum"))
    #expect(try readingFailure(deflated(storedBlocks(Array(text.reversed())))).contains("checksum"))
    #expect(
      try readingFailure(deflated(Array(sound.dropLast()))).contains("cut off inside its deflated bytes"))
    #expect(
      try readingFailure(deflated(sound, count: text.count + 1)).contains(
        "inflates to fewer than the 37 bytes"))
    #expect(try readingFailure(deflated(sound, count: text.count - 1)).contains("inflates to more bytes"))
    #expect(try readingFailure(deflated(sound + [0, 0])).contains("has 2 bytes after the end"))
    #expect(try readingFailure(deflated([7] + sound)).contains("damaged deflated bytes (invalid block type)"))
    #expect(
      try readingFailure(deflated([0] + sound.dropFirst())).contains("cut off inside its deflated bytes"))
    // The beginning alone can be read as long as it is sound.
    let archive = try open(deflated(Array(sound.dropLast())))
    #expect(try archive.contents(of: archive.members[0], upTo: 8) == Array(text.prefix(8)))
  }

  @Test(arguments: [
    (9, "Deflate64"), (12, "bzip2"), (14, "LZMA"), (93, "Zstandard"), (95, "XZ"), (77, "method 77"),
  ])
  func otherMethods(_ method: UInt16, _ name: String) throws {
    let message = try readingFailure(changed { $0.method = method })
    #expect(message.hasSuffix("is compressed with \(name); only stored and deflated zip members are read"))
    // Another member's method is nobody's concern.
    let archive = try open(changed { $0.method = method })
    #expect(try archive.contents(of: archive.members[1]) == [1, 2, 3])
  }

  // MARK: - Bombs

  /// More than deflate can hold, by one byte and by far.
  @Test(arguments: [36 * 1032 + 1, 0x7FFF_FFFF]) func impossibleSizes(_ size: UInt32) throws {
    let text = try failure(changed { ($0.method, $0.uncompressedSize) = (8, size) })
    #expect(text.contains("said to inflate from 36 to \(size) bytes, more than deflate can"))
  }

  @Test func bombs() throws {
    let (stream, count) = zeroBomb(matches: 40_000)
    #expect(stream.count * 1000 < count)
    let contents = [UInt8](repeating: 0, count: count)
    func archive(_ members: Int, _ change: (inout ZipBuilder.Member) -> Void = { _ in }) -> ZipBuilder {
      var builder = ZipBuilder()
      var member = ZipBuilder.Member("a0", stream, inflatedTo: nil)
      (member.method, member.uncompressedSize) = (8, UInt32(count))
      member.crc32 = Self.zerosChecksum(count)
      change(&member)
      for index in 0..<members {
        member.name = Array("a\(index)".utf8)
        builder.members.append(member)
      }
      return builder
    }
    // Within 64 MiB the archive is read, and the stream is what it is said to be.
    let small = try open(archive(6))
    #expect(try small.contents(of: small.members[5]) == contents)
    // Above, it is not even begun.
    #expect(try failure(archive(7)).contains("is said to inflate to more than 67108864"))
    // A stream that gives more than it says is stopped there.
    let lying = try open(archive(1) { $0.uncompressedSize = 1000 })
    let error = try #require(throws: CheckpointError.self) { try lying.contents(of: lying.members[0]) }
    #expect("\(error)".contains("inflates to more bytes"))
    // 10 MB that are said to be 4 GB, as an .npz.
    var builder = ZipBuilder(.init("a.npy", stream + [UInt8](repeating: 0, count: 10_000_000)))
    (builder.members[0].method, builder.members[0].uncompressedSize) = (8, 0xFFFF_FFF0)
    let file = try folder.write(builder.bytes, to: "bomb.npz")
    let clock = ContinuousClock()
    let time = try clock.measure {
      let error = try #require(throws: CheckpointError.self) { try NpzFile(file) }
      #expect("\(error)".contains("zip bomb"))
    }
    #expect(time < .seconds(1))
  }

  /// CRC-32 of zeros, byte by byte.
  private static func zerosChecksum(_ count: Int) -> UInt32 {
    let table = (0..<256).map { (index: UInt32) in
      (0..<8).reduce(index) { crc, _ in crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
    }
    var crc: UInt32 = 0xFFFF_FFFF
    for _ in 0..<count { crc = crc >> 8 ^ table[Int(crc & 0xFF)] }
    return ~crc
  }
}
