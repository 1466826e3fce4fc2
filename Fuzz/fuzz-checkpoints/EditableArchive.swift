import CZlib
import Checkpoints

/// The members of a zip archive in memory, and the archive that they make.
struct EditableArchive {
  struct Member {
    var name: [UInt8]
    var bytes: [UInt8]
    var isDeflated: Bool
  }

  var members: [Member]

  /// Nil where the bytes are no archive, or one that is too large to be changed quickly.
  init?(_ input: [UInt8]) {
    let members = input.withUnsafeBytes { bytes -> [Member]? in
      guard !bytes.isEmpty, let archive = try? ZipArchive(MappedFile(borrowing: bytes, path: "input")),
        archive.members.reduce(0, { $0 + $1.uncompressedSize }) <= 1 << 20
      else { return nil }
      return archive.members.compactMap { member in
        guard let contents = try? archive.contents(of: member) else { return nil }
        return Member(
          name: Array(member.name.utf8), bytes: contents, isDeflated: member.method == .deflated)
      }
    }
    guard let members, !members.isEmpty else { return nil }
    self.members = members
  }

  /// The archive: each member after its header, the directory, the end record.
  func file() -> [UInt8] {
    var file: [UInt8] = []
    var directory: [UInt8] = []
    for member in members {
      let kept = member.isDeflated ? deflated(member.bytes) : member.bytes
      let checksum = UInt32(truncatingIfNeeded: crc32_z(0, member.bytes, member.bytes.count))
      // Version, flags and method; time and date; checksum, sizes, and the lengths of name and extra field.
      let common =
        number(20, 2) + number(0, 2) + number(member.isDeflated ? 8 : 0, 2) + number(0, 4)
        + number(Int(checksum), 4) + number(kept.count, 4) + number(member.bytes.count, 4)
        + number(member.name.count, 2) + number(0, 2)
      directory += number(0x0201_4B50, 4) + number(20, 2) + common + number(0, 10) + number(file.count, 4)
      directory += member.name
      file += number(0x0403_4B50, 4) + common + member.name + kept
    }
    let end =
      number(0x0605_4B50, 4) + number(0, 4) + number(members.count, 2) + number(members.count, 2)
      + number(directory.count, 4) + number(file.count, 4) + number(0, 2)
    return file + directory + end
  }

  private func number(_ value: Int, _ count: Int) -> [UInt8] {
    (0..<count).map { $0 < 8 ? UInt8(truncatingIfNeeded: value >> ($0 * 8)) : 0 }
  }

  private func deflated(_ bytes: [UInt8]) -> [UInt8] {
    var stream = z_stream()
    deflateInit2_(
      &stream, 1, Z_DEFLATED, -MAX_WBITS, 1, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
      CInt(MemoryLayout<z_stream>.size))
    defer { deflateEnd(&stream) }
    var input = bytes
    let capacity = Int(deflateBound(&stream, uLong(bytes.count)))
    return [UInt8](unsafeUninitializedCapacity: capacity) { output, count in
      input.withUnsafeMutableBufferPointer { input in
        stream.next_in = input.baseAddress
        stream.avail_in = uInt(input.count)
        stream.next_out = output.baseAddress
        stream.avail_out = uInt(output.count)
        deflate(&stream, Z_FINISH)
      }
      count = output.count - Int(stream.avail_out)
    }
  }
}
