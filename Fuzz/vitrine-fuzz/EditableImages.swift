/// The chunks of a PNG file. Pixel data is one part, inflated.
struct EditablePNG: PartedFile {
  var parts: [Part] = []
  private static let signature: [UInt8] = [0x89] + Array("PNG\r\n\u{1A}\n".utf8)
  private static let pixels = Array("IDAT".utf8)

  init?(_ input: [UInt8]) {
    guard input.starts(with: Self.signature) else { return nil }
    var position = 8
    while position + 12 <= input.count {
      let length = number(input[position..<position + 4])
      let end = min(position + 8 + length, input.count)
      let part = Part(
        name: Array(input[position + 4..<position + 8]), bytes: Array(input[position + 8..<end]))
      if part.name == Self.pixels, let last = parts.indices.last, parts[last].name == Self.pixels {
        parts[last].bytes += part.bytes
      } else {
        parts.append(part)
      }
      position = end + 4
    }
    for index in parts.indices where parts[index].name == Self.pixels {
      guard let bytes = inflated(parts[index].bytes, .zlib) else { continue }
      (parts[index].bytes, parts[index].isDeflated) = (bytes, true)
    }
    guard !parts.isEmpty else { return nil }
  }

  var favourite: Int? { parts.firstIndex { $0.name == Self.pixels } }

  func file() -> [UInt8] {
    parts.reduce(into: Self.signature) { file, part in
      let payload = part.isDeflated ? deflated(part.bytes, .zlib) : part.bytes
      let name = (part.name + [0x61, 0x61, 0x61, 0x61]).prefix(4)
      file += bigEndian(payload.count, 4) + name + payload + bigEndian(checksum(name + payload), 4)
    }
  }
}

/// The segments of a JPEG file, and the data between them, which has no name.
struct EditableJPEG: PartedFile {
  var parts: [Part] = []

  init?(_ input: [UInt8]) {
    guard input.starts(with: [0xFF, 0xD8]) else { return nil }
    var position = 2
    while position < input.count {
      guard position + 4 <= input.count, input[position] == 0xFF, input[position + 1] >= 0xC0,
        !(0xD0...0xD9).contains(input[position + 1])
      else {
        // Up to the next marker with a segment: pixels, restarts, the end.
        var end = position + 1
        while end < input.count,
          !(input[end] == 0xFF && end + 1 < input.count && input[end + 1] >= 0xC0
            && !(0xD0...0xD9).contains(input[end + 1]))
        { end += 1 }
        parts.append(Part(name: [], bytes: Array(input[position..<end])))
        position = end
        continue
      }
      let end = min(position + 2 + max(number(input[position + 2..<position + 4]), 2), input.count)
      parts.append(Part(name: [input[position + 1]], bytes: Array(input[position + 4..<end])))
      position = end
    }
    guard !parts.isEmpty else { return nil }
  }

  /// The first data.
  var favourite: Int? { parts.firstIndex { $0.name.isEmpty } }

  func file() -> [UInt8] {
    parts.reduce(into: [0xFF, 0xD8]) { file, part in
      guard let marker = part.name.first else {
        file += part.bytes
        return
      }
      let payload = part.bytes.prefix(0xFFFF - 2)
      file += [0xFF, marker] + bigEndian(payload.count + 2, 2) + payload
    }
  }
}
