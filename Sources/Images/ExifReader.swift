/// Reads the orientation from EXIF data, which is a TIFF structure. Offsets are checked, nothing is followed
/// twice.
///
/// Source: Exif 2.32, section 4.6; TIFF 6.0, section 2.
struct ExifReader {
  private let bytes: ArraySlice<UInt8>
  private let isLittleEndian: Bool

  /// Takes the data with or without the "Exif" signature in front. Nil if it is no TIFF structure.
  init?(tiff data: ArraySlice<UInt8>) {
    var bytes = data
    for _ in 0..<2 where bytes.starts(with: "Exif\0\0".utf8) {
      bytes = bytes.dropFirst(6)
    }
    if bytes.starts(with: "II*\0".utf8) {
      isLittleEndian = true
    } else if bytes.starts(with: "MM\0*".utf8) {
      isLittleEndian = false
    } else {
      return nil
    }
    self.bytes = bytes
  }

  /// The value of tag 0x0112 in the first directory; nil if the tag is absent, 0 if it is there but no
  /// number.
  var orientation: Int? {
    guard let directory = unsigned(at: 4, size: 4), let count = unsigned(at: directory, size: 2) else {
      return nil
    }
    var found: Int?
    for index in 0..<count {
      // 12 bytes an entry: tag, type, number of values, the value itself if it fits into 4 bytes.
      let entry = directory + 2 + 12 * index
      guard let tag = unsigned(at: entry, size: 2), let type = unsigned(at: entry + 2, size: 2),
        let values = unsigned(at: entry + 4, size: 4), let long = unsigned(at: entry + 8, size: 4),
        let short = unsigned(at: entry + 8, size: 2)
      else { break }
      guard tag == 0x0112 else { continue }
      switch (type, values) {
      case (3, 1), (8, 1): found = short  // SHORT, SSHORT
      case (4, 1), (9, 1): found = long  // LONG, SLONG
      default: found = 0
      }
    }
    return found
  }

  /// A number of 2 or 4 bytes; nil beyond the end.
  private func unsigned(at offset: Int, size: Int) -> Int? {
    guard offset >= 0, offset <= bytes.count - size else { return nil }
    let field = bytes.dropFirst(offset).prefix(size)
    return isLittleEndian
      ? field.reversed().reduce(0) { $0 << 8 | Int($1) }
      : field.reduce(0) { $0 << 8 | Int($1) }
  }
}
