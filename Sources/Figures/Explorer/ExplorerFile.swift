import Checkpoints
import Images
import SystemPackage

/// A page in one file on which people see where a model looks: no network, no other files. Pictures are added one after the other, so
/// that memory does not grow with their number.
///
/// `explorer.html` is the page; its pictures are `script` elements of data in front of its code, of which each picture has three: a JSON
/// object, the photo as a data URL, and the maps (`ExplorerMaps`) in base64. Their names come last.
public final class ExplorerFile {
  private let file: AtomicFile
  private let tail: [UInt8]
  public private(set) var count = 0

  /// Pictures that a page holds at most.
  public static let maxCount = 100

  /// - Parameter model: what the page says below its title.
  /// - Throws: `CheckpointError.unwritable`.
  public init(_ path: FilePath, model: String) throws {
    let page = String(decoding: PackageResources.explorer_html, as: UTF8.self)
    let parts = page.split(separator: "<!--PICTURES-->", maxSplits: 1)
    file = try AtomicFile(path)
    tail = Array((parts.last ?? "").utf8)
    try file.write(Array((parts.first ?? "").utf8))
    let colors = Base64.encoded(ColorMap.viridis.table)
    let settings = JSONValue.object(["model": .string(model), "colors": .string(colors)])
    try write(element: "id=\"page\" type=\"application/json\"", try Self.text(settings))
  }

  /// One picture.
  public struct Picture: Sendable {
    /// What the network sees of the photo.
    public var photo: Image
    public var maps: ExplorerMaps
    public var hasClassToken: Bool
    /// The likeliest classes; attributions, where there are any, in the same order.
    public var predictions: [(label: String, probability: Double)]

    public init(
      photo: Image, maps: ExplorerMaps, hasClassToken: Bool,
      predictions: [(label: String, probability: Double)]
    ) {
      (self.photo, self.maps) = (photo, maps)
      (self.hasClassToken, self.predictions) = (hasClassToken, predictions)
    }

    /// The picture in the page's form.
    /// - Parameter limit: of bytes in the page, kept as far as the maps can be made coarser.
    /// - Throws: `ImageError.outOfMemory`.
    public func encoded(limit: Int) throws -> Encoded {
      let png = "data:image/png;base64," + Base64.encoded(try photo.encodedPNG())
      let (bytes, levels) = maps.packed(limit: max(0, limit - png.utf8.count) / 4 * 3)
      let entries: [String: JSONValue] = [
        "layers": .number(Double(maps.layers)), "heads": .number(Double(maps.heads)),
        "rows": .number(Double(maps.rows)), "columns": .number(Double(maps.columns)),
        "levels": .number(Double(levels)),
        "hasClass": .bool(hasClassToken), "attributions": .number(Double(maps.attributionCount)),
        "predictions": .array(
          predictions.map { .object(["label": .string($0.label), "probability": .number($0.probability)]) }),
      ]
      return Encoded(entries: entries, photo: png, maps: Base64.encoded(bytes))
    }
  }

  /// A picture as it stands in the page.
  public struct Encoded: Sendable {
    let entries: [String: JSONValue]
    let photo: String
    let maps: String
  }

  /// - Throws: `CheckpointError.unwritable`.
  public func add(_ picture: Encoded) throws {
    let entries = JSONValue.object(picture.entries)
    try write(element: "data-picture=\"\(count)\" type=\"application/json\"", try Self.text(entries))
    try write(element: "id=\"photo-\(count)\" type=\"text/plain\"", picture.photo)
    try write(element: "id=\"maps-\(count)\" type=\"text/plain\"", picture.maps)
    count += 1
  }

  /// Ends the page, and gives the file its name.
  /// - Parameter names: of the pictures: only all of them together show how much of their paths tells them apart.
  /// - Throws: `CheckpointError.unwritable`.
  public func finish(names: [String]) throws {
    precondition(names.count == count, "\(names.count) names of \(count) pictures")
    let list = JSONValue.array(names.map(JSONValue.string))
    try write(element: "id=\"names\" type=\"application/json\"", try Self.text(list))
    try file.write(tail)
    try file.commit()
  }

  private func write(element: String, _ text: String) throws {
    try file.write(Array("<script \(element)>\(text)</script>\n".utf8))
  }

  /// JSON that does not end the element it stands in.
  private static func text(_ value: JSONValue) throws -> String {
    try value.compactText.split(separator: "<", omittingEmptySubsequences: false).joined(separator: "\\u003c")
  }
}

/// RFC 4648, section 4.
enum Base64 {
  private static let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  static func encoded(_ bytes: [UInt8]) -> String {
    var text: [UInt8] = []
    text.reserveCapacity((bytes.count + 2) / 3 * 4)
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let rest = min(3, bytes.count - start)
      var bits = 0
      for index in 0..<3 { bits = bits << 8 | (index < rest ? Int(bytes[start + index]) : 0) }
      for index in 0..<4 {
        text.append(index <= rest ? digits[bits >> (18 - 6 * index) & 63] : UInt8(ascii: "="))
      }
    }
    return String(decoding: text, as: UTF8.self)
  }
}
