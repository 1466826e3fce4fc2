/// Builds zip archives byte by byte, sound ones and others: every field can be made to lie.
struct ZipBuilder {
  struct Member {
    var name: [UInt8]
    /// The bytes as they stand in the archive.
    var data: [UInt8]
    var method: UInt16 = 0
    var flags: UInt16 = 0
    var crc32: UInt32
    var compressedSize: UInt32
    var uncompressedSize: UInt32
    var disk: UInt16 = 0
    /// What the member's own header says where that is to differ.
    var localName: [UInt8]?
    var localMethod: UInt16?
    var localSignature: UInt32 = 0x0403_4B50
    var localExtra: [UInt8] = []
    var centralSignature: UInt32 = 0x0201_4B50
    var centralExtra: [UInt8] = []
    /// Where the directory says that the member is; nil for where it is.
    var offset: UInt32?

    /// A stored member, or with `inflatedTo` one whose data are a deflate stream.
    init(_ name: String, _ data: [UInt8], inflatedTo contents: [UInt8]? = nil) {
      (self.name, self.data) = (Array(name.utf8), data)
      method = contents == nil ? 0 : 8
      crc32 = Self.crc32(contents ?? data)
      compressedSize = UInt32(data.count)
      uncompressedSize = UInt32((contents ?? data).count)
    }

    /// CRC-32, bit by bit.
    static func crc32(_ bytes: [UInt8]) -> UInt32 {
      ~bytes.reduce(0xFFFF_FFFF) { crc, byte in
        (0..<8).reduce(crc ^ UInt32(byte)) { crc, _ in crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
      }
    }
  }

  var members: [Member] = []
  var comment: [UInt8] = []
  /// What the end record says where that is to differ.
  var count: UInt16?
  var countOnDisk: UInt16?
  var disk: UInt16 = 0
  var directorySize: UInt32?
  var directoryOffset: UInt32?
  /// Bytes between the last central header and the end record.
  var gap: [UInt8] = []
  /// The zip64 records, given where the directory is and its size.
  var zip64: ((_ offset: Int, _ size: Int, _ count: Int) -> [UInt8])?

  init(_ members: Member...) {
    self.members = members
  }

  /// The archive.
  var bytes: [UInt8] {
    var file: [UInt8] = []
    var directory: [UInt8] = []
    for member in members {
      let offset = member.offset ?? UInt32(file.count)
      let localName = member.localName ?? member.name
      file += little(member.localSignature) + little(20 as UInt16) + little(member.flags)
      file += little(member.localMethod ?? member.method) + little(0 as UInt32) + little(member.crc32)
      file += little(member.compressedSize) + little(member.uncompressedSize)
      file += little(UInt16(localName.count)) + little(UInt16(member.localExtra.count))
      file += localName + member.localExtra + member.data
      directory += little(member.centralSignature) + little(20 as UInt32) + little(member.flags)
      directory += little(member.method) + little(0 as UInt32) + little(member.crc32)
      directory += little(member.compressedSize) + little(member.uncompressedSize)
      directory += little(UInt16(member.name.count)) + little(UInt16(member.centralExtra.count))
      directory += little(0 as UInt16) + little(member.disk) + little(0 as UInt16) + little(0 as UInt32)
      directory += little(offset) + member.name + member.centralExtra
    }
    let start = file.count
    file += directory + gap
    if let zip64 { file += zip64(start, directory.count, members.count) }
    file += little(0x0605_4B50 as UInt32) + little(disk) + little(0 as UInt16)
    file += little(countOnDisk ?? count ?? UInt16(members.count)) + little(count ?? UInt16(members.count))
    file += little(directorySize ?? UInt32(directory.count)) + little(directoryOffset ?? UInt32(start))
    return file + little(UInt16(comment.count)) + comment
  }

  /// A zip64 end record and its locator.
  static func zip64(
    offset: UInt64, size: UInt64, count: UInt64, at recordOffset: UInt64, recordSize: UInt64 = 44,
    disks: UInt32 = 1
  ) -> [UInt8] {
    little(0x0606_4B50 as UInt32) + little(recordSize) + little(45 as UInt32) + little(0 as UInt64)
      + little(count) + little(count) + little(size) + little(offset)
      + little(0x0706_4B50 as UInt32) + little(0 as UInt32) + little(recordOffset) + little(disks)
  }
}

/// A deflate stream of stored blocks: what any bytes can be put into.
func storedBlocks(_ bytes: [UInt8]) -> [UInt8] {
  precondition(bytes.count <= 0xFFFF)
  return [1] + little(UInt16(bytes.count)) + little(~UInt16(bytes.count)) + bytes
}

/// A deflate stream of zeros, as short as deflate can make it: a literal and then matches of 258, two bits each.
/// - Parameter matches: how many of them; a multiple of 4.
func zeroBomb(matches: Int) -> (stream: [UInt8], count: Int) {
  // One dynamic block: code lengths 1 for symbols 0 and 285, 2 for 256 and 1 for distance 0 would overfill the code;
  // literal 0 and end have 2 bits, length 285 has 1, distance 0 (one back) has 1.
  var bits = BitWriter()
  bits.write(1, 1)  // last block
  bits.write(2, 2)  // dynamic codes
  bits.write(29, 5)  // 286 literal and length codes
  bits.write(0, 5)  // one distance code
  bits.write(14, 4)  // 18 code lengths, up to that of symbol 1
  // Lengths of the code that codes the lengths, in deflate's order: 16 17 18 0 8 7 9 6 10 5 11 4 12 3 13 2 14 1.
  for symbol in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1] {
    bits.write([18: 1, 1: 2, 2: 2][symbol] ?? 0, 3)
  }
  // Canonical codes: 18 is 0; 1 is 10; 2 is 11 (most significant bit first).
  func zeros(_ count: Int) {
    bits.writeCode(0, 1)
    bits.write(count - 11, 7)
  }
  bits.writeCode(0b11, 2)  // literal 0: 2 bits
  zeros(138)
  zeros(117)
  bits.writeCode(0b11, 2)  // 256, the end: 2 bits
  zeros(28)
  bits.writeCode(0b10, 2)  // 285, a match of 258: 1 bit
  bits.writeCode(0b10, 2)  // distance 1: 1 bit
  bits.writeCode(0b10, 2)  // literal 0
  for _ in 0..<matches { bits.write(0, 2) }
  bits.writeCode(0b11, 2)  // the end
  return (bits.finished, 1 + 258 * matches)
}

/// Bits in deflate's order: from the lowest of each byte.
private struct BitWriter {
  private var bytes: [UInt8] = []
  private var pending = 0
  private var count = 0

  mutating func write(_ value: Int, _ width: Int) {
    pending |= value << count
    count += width
    while count >= 8 {
      bytes.append(UInt8(pending & 0xFF))
      pending >>= 8
      count -= 8
    }
  }

  /// A Huffman code, whose highest bit comes first.
  mutating func writeCode(_ code: Int, _ width: Int) {
    for bit in (0..<width).reversed() { write(code >> bit & 1, 1) }
  }

  var finished: [UInt8] { count > 0 ? bytes + [UInt8(pending)] : bytes }
}

/// A `.npy` file.
func npy(_ header: String, _ data: [UInt8], version: [UInt8] = [1, 0]) -> [UInt8] {
  let length = version == [1, 0] ? little(UInt16(header.utf8.count)) : little(UInt32(header.utf8.count))
  return [0x93] + Array("NUMPY".utf8) + version + length + Array(header.utf8) + data
}

/// A `.npy` file of float32 zeros, or of any type.
func npy(descr: String = "'<f4'", fortran: String = "False", shape: String, byteCount: Int) -> [UInt8] {
  npy(
    "{'descr': \(descr), 'fortran_order': \(fortran), 'shape': \(shape), }\n",
    [UInt8](repeating: 0, count: byteCount))
}
