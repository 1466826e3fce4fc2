/// What the first bytes of a file say that it is.
enum ImageFormat: Equatable {
  case jpeg
  case png
  /// Something else, by the name that its users know; nil where the bytes say nothing.
  case other(String?)

  /// As many bytes as ``init(of:)`` looks at.
  static let prefixLength = 512

  /// Tells the format from the beginning of a file.
  init(of bytes: some Sequence<UInt8>) {
    let prefix = Array(bytes.prefix(Self.prefixLength))
    if prefix.starts(with: [0xFF, 0xD8, 0xFF]) {
      self = .jpeg
    } else if prefix.starts(with: [0x89] + Array("PNG\r\n".utf8) + [0x1A, 0x0A]) {
      self = .png
    } else {
      self = .other(Self.name(of: prefix))
    }
  }

  private static func name(of prefix: [UInt8]) -> String? {
    func has(_ text: String, at offset: Int = 0) -> Bool {
      prefix.dropFirst(offset).starts(with: text.utf8)
    }
    if has("GIF87a") || has("GIF89a") { return "GIF" }
    if has("RIFF") && has("WEBP", at: 8) { return "WebP" }
    if has("II*\0") || has("MM\0*") || has("II+\0") || has("MM\0+") { return "TIFF" }
    if has("ftyp", at: 4) { return isoMediaName(brand: prefix.dropFirst(8).prefix(4)) }
    if has("jP  ", at: 4) || prefix.starts(with: [0xFF, 0x4F, 0xFF, 0x51]) { return "JPEG 2000" }
    if prefix.starts(with: [0xFF, 0x0A]) || has("JXL ", at: 4) { return "JPEG XL" }
    if has("%PDF") { return "PDF" }
    if has("8BPS") { return "Photoshop (PSD)" }
    if prefix.starts(with: [0, 0, 1, 0]) { return "ICO" }
    if has("BM") && prefix.count >= 26 { return "BMP" }
    if has("DDS ") { return "DDS" }
    if has("\u{1F}") && prefix.dropFirst().first == 0x8B { return "gzip" }
    if has("PK\u{3}\u{4}") { return "a ZIP archive" }
    if prefix.count >= 3, prefix[0] == UInt8(ascii: "P"), (0x31...0x37).contains(prefix[1]),
      [0x09, 0x0A, 0x0D, 0x20].contains(prefix[2])
    {
      return "Netpbm"
    }
    return textName(of: prefix)
  }

  private static func isoMediaName(brand: ArraySlice<UInt8>) -> String {
    switch String(decoding: brand, as: UTF8.self) {
    case "avif", "avis": "AVIF"
    case "heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1": "HEIC"
    case "crx ": "Canon CR3"
    default: "a video (MP4)"
    }
  }

  private static func textName(of prefix: [UInt8]) -> String? {
    let isText =
      !prefix.isEmpty
      && prefix.allSatisfy { $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 || $0 == 0x0A || $0 == 0x0D }
    guard isText else { return nil }
    let text = String(decoding: prefix, as: UTF8.self).lowercased()
    if text.contains("<svg") { return "SVG" }
    if text.contains("<!doctype html") || text.contains("<html") { return "HTML" }
    return "text"
  }
}
