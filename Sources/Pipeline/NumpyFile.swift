import Checkpoints
import SystemPackage

/// A float32 array that grows by rows, in numpy's format (version 1.0, little-endian, C order).
///
/// The header is brought up to date with each row, so that the file can be read at any moment.
public final class NumpyFile {
  private let file: ResultFile
  private let rowShape: [Int]
  private var rows: Int

  /// The header's length: wide enough for any number of rows, a multiple of 64 as numpy has it.
  static let headerCount = 192

  /// Begins a file for an array [0, rowShape...].
  /// - Throws: `PipelineError.write`.
  public convenience init(_ path: FilePath, rowShape: [Int]) throws(PipelineError) {
    try self.init(path, rowShape: rowShape, keepingRows: 0)
  }

  /// Continues a file.
  /// - Parameter keepingRows: rows of its present contents to keep; those beyond are cut off.
  /// - Throws: `PipelineError.resumeArray` where it has fewer, or another shape.
  public init(_ path: FilePath, rowShape: [Int], keepingRows rows: Int) throws(PipelineError) {
    let rowBytes = rowShape.reduce(4, *)
    if rows > 0 {
      let needed = Self.headerCount + rows * rowBytes
      let size = fileStatus(path).map { Int($0.st_size) } ?? 0
      guard size >= needed else {
        throw .resumeArray(
          path: path, reason: "it has \(size) bytes, but \(rows) rows of \(rowShape) take \(needed)")
      }
      guard Self.matches(path, rowShape: rowShape) else {
        throw .resumeArray(
          path: path, reason: "it is no float32 array with rows of \(rowShape) that Vitrine wrote")
      }
    }
    file = try ResultFile(path, keeping: rows > 0 ? Self.headerCount + rows * rowBytes : 0)
    self.rowShape = rowShape
    self.rows = rows
    if rows == 0 {
      try file.append(Self.header([0] + rowShape).span.bytes)
    } else {
      try updateHeader()
    }
  }

  /// Writes a whole array at once, whole or not at all.
  /// - Throws: `CheckpointError.unwritable`.
  public static func write(_ values: [Float], shape: [Int], to path: FilePath) throws(CheckpointError) {
    precondition(values.count == shape.reduce(1, *), "values do not fill the shape")
    let file = try AtomicFile(path)
    try file.write(header(shape))
    try values.span.bytes.withUnsafeBytes { bytes throws(CheckpointError) in try file.write(bytes) }
    try file.commit()
  }

  /// Appends one row; nil appends NaN, for an image that failed.
  /// - Throws: `PipelineError.write`.
  public func append(_ row: [Float]?) throws(PipelineError) {
    let values = row ?? [Float](repeating: .nan, count: rowShape.reduce(1, *))
    precondition(
      values.count == rowShape.reduce(1, *), "a row of \(values.count) values in an array of \(rowShape)")
    try file.append(values.span.bytes)
    rows += 1
    try updateHeader()
  }

  private func updateHeader() throws(PipelineError) {
    try file.overwrite(Self.header([rows] + rowShape).span.bytes, at: 0)
  }

  /// Magic, version, the length of the rest, and a Python literal padded with spaces up to a line end.
  private static func header(_ shape: [Int]) -> [UInt8] {
    let sizes = shape.count == 1 ? "\(shape[0])," : shape.map(String.init).joined(separator: ", ")
    let literal = "{'descr': '<f4', 'fortran_order': False, 'shape': (\(sizes)), }"
    let length = headerCount - 10
    let padding = String(repeating: " ", count: length - 1 - literal.utf8.count)
    return [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(length & 0xFF), UInt8(length >> 8)]
      + Array((literal + padding + "\n").utf8)
  }

  /// Whether the file's header is one that this type wrote for rows of that shape.
  private static func matches(_ path: FilePath, rowShape: [Int]) -> Bool {
    guard let header = readStart(of: path, count: headerCount),
      let text = String(validating: header.dropFirst(10), as: UTF8.self),
      let shape = text.firstRange(of: "'shape': ("),
      let rows = Int(text[shape.upperBound...].prefix(while: \.isNumber))
    else { return false }
    return header == Self.header([rows] + rowShape)
  }
}
