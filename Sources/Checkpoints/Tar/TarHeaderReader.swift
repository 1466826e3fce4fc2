import SystemPackage

/// Reads the headers of a tar archive one after the other.
struct TarHeaderReader {
  private let stream: TarStream
  /// A name that is too long for a header, as the header before it gave it.
  private var longName: String?
  private var longSize: Int?
  /// Bytes of the last file that have not been passed over.
  private var pending = 0
  private var isFirst = true

  static let blockSize = 512
  /// Extended headers hold names and the like.
  private static let extensionLimit = 1 << 20

  init(_ stream: TarStream) { self.stream = stream }

  private func failure(_ reason: String) -> CheckpointError {
    .malformed(path: stream.path, reason: "the archive is damaged at byte \(stream.position): \(reason)")
  }

  /// The next regular file; nil at the end.
  mutating func next() throws(CheckpointError) -> TarArchive.Member? {
    while true {
      try stream.skip(pending)
      pending = 0
      guard let header = try block(), header.contains(where: { $0 != 0 }) else { return nil }
      try check(header)
      var size = try number(header[124..<136])
      let kind = header[156]
      switch kind {
      case UInt8(ascii: "L"), UInt8(ascii: "K"), UInt8(ascii: "x"), UInt8(ascii: "g"):
        let bytes = try contents(size)
        switch kind {
        case UInt8(ascii: "L"): longName = text(bytes[...])
        case UInt8(ascii: "x"): try readExtension(bytes)
        default: break
        }
      case 0, UInt8(ascii: "0"), UInt8(ascii: "7"):
        size = longSize ?? size
        let name = longName ?? self.name(in: header)
        (longName, longSize) = (nil, nil)
        pending = try padded(size)
        // Before POSIX, folders were files whose names end so.
        guard !name.hasSuffix("/") else { continue }
        return TarArchive.Member(name: name, size: size, offset: stream.position)
      case UInt8(ascii: "S"):
        throw failure(
          "\(self.name(in: header)) is a sparse file, which is not read; archive it without --sparse")
      default:
        // Links, folders and devices have no bytes of their own, except with kinds that nobody knows.
        (longName, longSize) = (nil, nil)
        pending = (UInt8(ascii: "1")...UInt8(ascii: "6")).contains(kind) ? 0 : try padded(size)
      }
    }
  }

  /// The bytes that contents of a size take in the archive.
  private func padded(_ size: Int) throws(CheckpointError) -> Int {
    guard size <= Int.max - stream.position - Self.blockSize else {
      throw failure("contents of \(size) bytes are not possible")
    }
    return (size + Self.blockSize - 1) / Self.blockSize * Self.blockSize
  }

  /// The next header; nil where the archive ends without the zeros that mark its end.
  private func block() throws(CheckpointError) -> [UInt8]? {
    let block = try stream.read(Self.blockSize)
    guard block.isEmpty || block.count == Self.blockSize else {
      throw failure(stream.position < Self.blockSize ? "it is no tar archive" : "it is cut off; get it again")
    }
    return block.isEmpty ? nil : block
  }

  private func contents(_ size: Int) throws(CheckpointError) -> [UInt8] {
    guard size <= Self.extensionLimit else { throw failure("an extended header of \(size) bytes") }
    let bytes = try stream.read(size)
    // Where bytes are missing, there are none to pass over.
    try stream.skip(try padded(size) - bytes.count)
    return bytes
  }

  /// The checksum is that of the header with spaces in its place; some have summed signed bytes.
  private mutating func check(_ header: [UInt8]) throws(CheckpointError) {
    var (unsigned, signed) = (0, 0)
    for (index, byte) in header.enumerated() {
      let value = (148..<156).contains(index) ? UInt8(ascii: " ") : byte
      unsigned += Int(value)
      signed += Int(Int8(bitPattern: value))
    }
    let stated = try? number(header[148..<156])
    guard stated == unsigned || stated == signed else {
      throw failure(isFirst ? "it is no tar archive" : "the checksum of a header is wrong")
    }
    isFirst = false
  }

  private func name(in header: [UInt8]) -> String {
    let name = text(header[0..<100])
    // GNU's headers, whose version differs, have times in the place of the prefix.
    guard header[257..<263].elementsEqual("ustar\0".utf8), header[345] != 0 else { return name }
    return text(header[345..<500]) + "/" + name
  }

  private func text(_ bytes: ArraySlice<UInt8>) -> String {
    String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  }

  /// A number in octal digits, or in GNU's base 256, whose first bit is set.
  private func number(_ field: ArraySlice<UInt8>) throws(CheckpointError) -> Int {
    if let first = field.first, first & 0x80 != 0 {
      var value = Int(first & 0x7F)
      for byte in field.dropFirst() {
        guard value <= Int.max >> 8 else { throw failure("a number is too large") }
        value = value << 8 | Int(byte)
      }
      return value
    }
    let digits = field.drop { $0 == UInt8(ascii: " ") }.prefix { $0 != 0 && $0 != UInt8(ascii: " ") }
    guard !digits.isEmpty else { return 0 }
    guard let value = Int(String(decoding: digits, as: UTF8.self), radix: 8), value >= 0 else {
      throw failure("a number is not written in octal digits")
    }
    return value
  }

  /// Lines `LENGTH KEY=VALUE`, whose length is that of the whole line.
  private mutating func readExtension(_ bytes: [UInt8]) throws(CheckpointError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let digits = rest.prefix { $0 != UInt8(ascii: " ") }
      guard let length = Int(String(decoding: digits, as: UTF8.self)), length > digits.count + 1,
        length <= rest.count
      else { throw failure("an extended header has a line of no length") }
      let line = rest.prefix(length).dropFirst(digits.count + 1).dropLast()
      rest = rest.dropFirst(length)
      let key = String(decoding: line.prefix { $0 != UInt8(ascii: "=") }, as: UTF8.self)
      let value = String(decoding: line.dropFirst(key.utf8.count + 1), as: UTF8.self)
      switch key {
      case "path": longName = value
      case "size":
        guard let size = Int(value), size >= 0 else { throw failure("a size of \"\(value)\" bytes") }
        longSize = size
      case _ where key.hasPrefix("GNU.sparse"):
        throw failure("it holds a sparse file, which is not read; archive it without --sparse")
      default: break
      }
    }
  }
}
