/// Why an image could not be read or resized.
///
/// A description is one sentence without the path: whoever knows the path puts it in front.
public enum ImageError: Error, Equatable, Sendable {
  /// There is no such file.
  case notFound
  /// The file may not be read.
  case permissionDenied
  /// A folder, pipe, socket or device; `kind` names it with its article.
  case notARegularFile(kind: String)
  /// The file has no bytes.
  case empty
  /// The file is larger than any image that could be decoded.
  case fileTooLarge(bytes: Int, limit: Int)
  /// The operating system's reason for which reading failed.
  case unreadable(reason: String)
  /// Neither JPEG nor PNG; `format` names what it is where its first bytes tell.
  case unknownFormat(format: String?)
  /// The data ends before the image does. `rows` of `height` rows were complete; without a complete header
  /// the height is unknown.
  case truncated(format: String, bytes: Int, rows: Int, height: Int?)
  /// The data contradicts the format. `offset` bytes had been read by then.
  case corrupt(format: String, reason: String, offset: Int)
  /// A valid image of a kind that is not decoded.
  case unsupported(format: String, reason: String)
  /// More pixels than ``DecodingOptions/maxPixels``.
  case tooManyPixels(width: Int, height: Int, limit: Int)
  /// Memory for this many bytes could not be had.
  case outOfMemory(bytes: Int)
  /// Resizing would take more working memory than is reasonable, because the shape is extreme.
  case resizeTooExtreme(from: ImageSize, to: ImageSize)
}

extension ImageError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .notFound:
      "no such file"
    case .permissionDenied:
      "permission to read the file was denied"
    case .notARegularFile(let kind):
      "\(kind), not a file"
    case .empty:
      "the file is empty"
    case .fileTooLarge(let bytes, let limit):
      "file of \(bytes.grouped) bytes is above the limit of \(limit.grouped) bytes; raise it with --max-bytes"
    case .unreadable(let reason):
      "the file could not be read: \(reason)"
    case .unknownFormat(let format?):
      "not a JPEG or PNG image, but \(format); convert it first"
    case .unknownFormat(nil):
      "not a JPEG or PNG image"
    case .truncated(let format, let bytes, let rows, let height?):
      "truncated \(format): \(bytes.grouped) bytes hold \(rows.grouped) of \(height.grouped) rows"
    case .truncated(let format, let bytes, _, nil):
      "truncated \(format): \(bytes.grouped) bytes hold no complete header"
    case .corrupt(let format, let reason, let offset):
      "corrupt \(format): \(reason) (after \(offset.grouped) bytes)"
    case .unsupported(let format, let reason):
      "unsupported kind of \(format): \(reason)"
    case .tooManyPixels(let width, let height, let limit):
      """
      image of \(width.grouped)x\(height.grouped) pixels (\((Double(width) * Double(height)).megapixels)) is above \
      the limit of \(Double(limit).megapixels); raise it with --max-pixels
      """
    case .outOfMemory(let bytes):
      "there is no memory for an image of \(bytes.grouped) bytes"
    case .resizeTooExtreme(let from, let to):
      """
      resizing \(from.width.grouped)x\(from.height.grouped) to \(to.width.grouped)x\(to.height.grouped) pixels \
      takes too much memory
      """
    }
  }
}

extension Int {
  /// With a comma between groups of three digits: "48,230".
  var grouped: String {
    let digits = String(magnitude)
    var result = self < 0 ? "-" : ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index).isMultiple(of: 3) { result.append(",") }
      result.append(digit)
    }
    return result
  }
}

extension Double {
  /// "900 megapixels"; below ten with one decimal place.
  fileprivate var megapixels: String {
    let millions = self / 1e6
    guard millions < 1e15 else { return "\(millions) megapixels" }
    if millions >= 10 { return "\(Int(millions.rounded()).grouped) megapixels" }
    return millions >= 0.1 ? "\((millions * 10).rounded() / 10) megapixels" : "\(Int(self).grouped) pixels"
  }
}
