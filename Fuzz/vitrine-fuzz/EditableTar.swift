/// The headers of a tar archive, each with the bytes that follow it, and whether gzip is around them.
struct EditableTar: PartedFile {
  /// The name of a part is its header of 512 bytes; it is the first of its bytes in the archive.
  var parts: [Part] = []
  private var isCompressed = false
  private static let block = 512

  init?(_ input: [UInt8]) {
    isCompressed = input.starts(with: [0x1F, 0x8B])
    guard let archive = isCompressed ? inflated(input, .gzip) : input else { return nil }
    var position = 0
    while position + Self.block <= archive.count, archive[position] != 0 {
      let header = Array(archive[position..<position + Self.block])
      position += Self.block
      let digits = header[124..<136].filter { (0x30...0x37).contains($0) }
      let size = Int(String(decoding: digits, as: UTF8.self), radix: 8) ?? 0
      let end = min(position + size, archive.count)
      parts.append(Part(name: header, bytes: Array(archive[position..<end]), isDeflated: isCompressed))
      position = min(position + (size + Self.block - 1) / Self.block * Self.block, archive.count)
    }
    guard !parts.isEmpty else { return nil }
  }

  var favourite: Int? { parts.firstIndex { !$0.bytes.isEmpty } }

  /// With the sizes and the checksums of the headers; compressed where the first part is.
  func file() -> [UInt8] {
    var archive: [UInt8] = []
    for part in parts {
      var header = part.name + Array(repeating: 0, count: max(0, Self.block - part.name.count))
      header.removeLast(header.count - Self.block)
      header.replaceSubrange(124..<136, with: octal(part.bytes.count, digits: 11) + [0])
      header.replaceSubrange(148..<156, with: Array(repeating: UInt8(ascii: " "), count: 8))
      let sum = header.reduce(0) { $0 + Int($1) }
      header.replaceSubrange(148..<156, with: octal(sum, digits: 6) + [0, UInt8(ascii: " ")])
      archive += header + part.bytes
      archive += Array(repeating: 0, count: (Self.block - part.bytes.count % Self.block) % Self.block)
    }
    archive += Array(repeating: 0, count: 2 * Self.block)
    return parts.first?.isDeflated == true ? deflated(archive, .gzip) : archive
  }

  private func octal(_ value: Int, digits: Int) -> [UInt8] {
    let text = Array(String(value, radix: 8).utf8)
    return Array(repeating: UInt8(ascii: "0"), count: max(0, digits - text.count)) + text.suffix(digits)
  }
}
