/// The parts of a file that tell its orientation, found without trusting any length in it.
package struct ImageMetadata {
  /// A TIFF structure.
  private(set) var exif: ArraySlice<UInt8>?
  /// An XML packet.
  private(set) var xmp: ArraySlice<UInt8>?

  /// EXIF first, XMP where EXIF has no orientation, upright where neither has a valid one.
  package var orientation: Orientation {
    let value =
      exif.flatMap { ExifReader(tiff: $0)?.orientation } ?? xmp.flatMap(Self.xmpOrientation(in:)) ?? 1
    return Orientation(rawValue: value) ?? .upright
  }

  // MARK: JPEG

  /// Collects the APP1 segments in front of the first scan. EXIF spread over several is put together.
  package init(jpeg bytes: [UInt8]) {
    let exifSignature = Array("Exif\0\0".utf8)
    let xmpSignature = Array("http://ns.adobe.com/xap/1.0/\0".utf8)
    var position = 2
    while position + 4 <= bytes.count {
      guard bytes[position] == 0xFF else {
        position += 1
        continue
      }
      let marker = bytes[position + 1]
      switch marker {
      case 0xFF:
        position += 1
      case 0x00, 0x01, 0xD0...0xD8:
        position += 2
      case 0xD9, 0xDA:
        return
      default:
        let length = Int(bytes[position + 2]) << 8 | Int(bytes[position + 3])
        let (start, end) = (position + 4, position + 2 + length)
        guard end >= start, end <= bytes.count else { return }
        let payload = bytes[start..<end]
        if marker == 0xE1, payload.starts(with: exifSignature) {
          let tiff = payload.dropFirst(exifSignature.count)
          exif = exif.map { $0 + tiff } ?? tiff
        } else if marker == 0xE1, payload.starts(with: xmpSignature) {
          xmp = payload.dropFirst(xmpSignature.count)
        }
        position = end
      }
    }
  }

  // MARK: PNG

  /// Collects the eXIf chunk and the uncompressed iTXt chunk that carries XMP, wherever they stand.
  package init(png bytes: [UInt8]) {
    let xmpKeyword = Array("XML:com.adobe.xmp\0\0\0".utf8)
    var position = 8
    while position + 12 <= bytes.count {
      let length = bytes[position..<position + 4].reduce(0) { $0 << 8 | Int($1) }
      let (start, end) = (position + 8, position + 8 + length)
      guard end + 4 <= bytes.count else { return }
      let payload = bytes[start..<end]
      switch String(decoding: bytes[position + 4..<start], as: UTF8.self) {
      case "eXIf":
        exif = payload
      case "iTXt" where payload.starts(with: xmpKeyword):
        xmp = payload.dropFirst(xmpKeyword.count)
      case "IEND":
        return
      default:
        break
      }
      position = end + 4
    }
  }

  // MARK: XMP

  /// The digit behind the first `tiff:Orientation="` or `tiff:Orientation>`.
  private static func xmpOrientation(in packet: ArraySlice<UInt8>) -> Int? {
    let name = Array("tiff:Orientation".utf8)
    var rest = packet
    while let first = rest.firstIndex(of: name[0]) {
      rest = rest[first...]
      if rest.starts(with: name) {
        let value = rest.dropFirst(name.count)
        for opening in ["=\"", ">"] where value.starts(with: opening.utf8) {
          if let digit = value.dropFirst(opening.utf8.count).first, (0x30...0x39).contains(digit) {
            return Int(digit) - 0x30
          }
        }
      }
      rest = rest.dropFirst()
    }
    return nil
  }
}
