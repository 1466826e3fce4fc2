/// Reads the orientation from EXIF data, which is a TIFF structure. Offsets are checked, nothing is followed
/// twice.
///
/// What contradicts itself is taken as Pillow takes it. Source: Exif 2.32, section 4.6; TIFF 6.0, section 2; Pillow,
/// `ImageFileDirectory_v2.load`.
struct ExifReader {
  private let bytes: ArraySlice<UInt8>
  private let isLittleEndian: Bool

  /// Takes the data with or without the "Exif" signature in front. Nil if it is no TIFF structure.
  init?(tiff data: ArraySlice<UInt8>) {
    var bytes = data
    for _ in 0..<2 where bytes.starts(with: "Exif\0\0".utf8) {
      bytes = bytes.dropFirst(6)
    }
    // Some writers turn the number behind the order of bytes around.
    if bytes.starts(with: "II*\0".utf8) || bytes.starts(with: "II\0*".utf8) {
      isLittleEndian = true
    } else if bytes.starts(with: "MM\0*".utf8) || bytes.starts(with: "MM*\0".utf8) {
      isLittleEndian = false
    } else {
      return nil
    }
    self.bytes = bytes
  }

  /// Bytes of one value, by the type's number.
  private static let valueSizes = [
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8,
  ]

  /// The first value of the first tag 0x0112 in the first directory; nil if the tag is absent, 0 if it is there but no number.
  var orientation: Int? {
    guard let directory = unsigned(at: 4, size: 4), let count = unsigned(at: directory, size: 2) else {
      return nil
    }
    var total = 0
    for index in 0..<count {
      // 12 bytes an entry: tag, type, number of values, the values themselves if they fit into 4 bytes, else where they are.
      let entry = directory + 2 + 12 * index
      guard let tag = unsigned(at: entry, size: 2), let type = unsigned(at: entry + 2, size: 2),
        let values = unsigned(at: entry + 4, size: 4), var place = unsigned(at: entry + 8, size: 4)
      else { return nil }
      guard let valueSize = Self.valueSizes[type] else { continue }
      let size = values * valueSize
      if size > 4 {
        total += size
        guard total <= bytes.count else { continue }
        // With one entry's values beyond the end, what follows is not believed either.
        guard place <= bytes.count - size else { return nil }
      } else {
        place = entry + 8
      }
      guard tag == 0x0112, size > 0 else { continue }
      let isNumber = [3, 4, 6, 8, 9, 13].contains(type)
      return isNumber ? unsigned(at: place, size: valueSize) : 0
    }
    return nil
  }

  /// A number of up to 4 bytes; nil beyond the end.
  private func unsigned(at offset: Int, size: Int) -> Int? {
    guard offset >= 0, offset <= bytes.count - size else { return nil }
    let field = bytes.dropFirst(offset).prefix(size)
    return isLittleEndian
      ? field.reversed().reduce(0) { $0 << 8 | Int($1) }
      : field.reduce(0) { $0 << 8 | Int($1) }
  }
}
