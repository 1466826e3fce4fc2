import Checkpoints

/// The members of a zip archive in memory, and the archive that they make.
struct EditableZip: PartedFile {
  var parts: [Part]

  init?(_ input: [UInt8]) {
    let parts = input.withUnsafeBytes { bytes -> [Part]? in
      guard !bytes.isEmpty, let archive = try? ZipArchive(MappedFile(borrowing: bytes, path: "input")),
        archive.members.reduce(0, { $0 + $1.uncompressedSize }) <= partLimit
      else { return nil }
      return archive.members.compactMap { member in
        guard let contents = try? archive.contents(of: member) else { return nil }
        return Part(name: Array(member.name.utf8), bytes: contents, isDeflated: member.method == .deflated)
      }
    }
    guard let parts, !parts.isEmpty else { return nil }
    self.parts = parts
  }

  /// The pickle.
  var favourite: Int? { parts.firstIndex { $0.name.suffix(8).elementsEqual("data.pkl".utf8) } }

  /// The archive: each member after its header, the directory, the end record.
  func file() -> [UInt8] {
    var file: [UInt8] = []
    var directory: [UInt8] = []
    for part in parts {
      let kept = part.isDeflated ? deflated(part.bytes, .none) : part.bytes
      // Version, flags and method; time and date; checksum, sizes, and the lengths of name and extra field.
      let common =
        number(20, 2) + number(0, 2) + number(part.isDeflated ? 8 : 0, 2) + number(0, 4)
        + number(checksum(part.bytes), 4) + number(kept.count, 4) + number(part.bytes.count, 4)
        + number(part.name.count, 2) + number(0, 2)
      directory += number(0x0201_4B50, 4) + number(20, 2) + common + number(0, 10) + number(file.count, 4)
      directory += part.name
      file += number(0x0403_4B50, 4) + common + part.name + kept
    }
    let end =
      number(0x0605_4B50, 4) + number(0, 4) + number(parts.count, 2) + number(parts.count, 2)
      + number(directory.count, 4) + number(file.count, 4) + number(0, 2)
    return file + directory + end
  }

  private func number(_ value: Int, _ count: Int) -> [UInt8] { bigEndian(value, count).reversed() }
}
