import SystemPackage

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Finds out how far an interrupted run of `classify` or `embed` came, from the results that it left.
///
/// The results are read as a stream beside the inputs and must name the same paths in the same order. What follows the last
/// whole result, such as a line that was cut short, does not count.
public struct ResumePoint: Sendable, Equatable {
  /// Inputs whose results are there.
  public private(set) var inputs = 0
  /// Those of them that failed.
  public private(set) var failed = 0
  /// Bytes of the file that hold whole results, the header included.
  public private(set) var bytes = 0

  /// Reads results and moves the walker past the inputs that they are for.
  /// - Parameters:
  ///   - predictions: number of predictions that each image has; nil for results that are paths and errors alone.
  ///   - cancellation: ends the comparison.
  /// - Throws: `PipelineError` where the results cannot be read or are of other inputs, `CancellationError`.
  public init(
    _ path: FilePath, format: ResultFormat, predictions: Int?, walker: inout PathWalker,
    cancellation: Cancellation
  ) throws {
    guard let status = fileStatus(path) else { return }
    guard status.isRegular else {
      throw PipelineError.resumeMalformed(
        path: path, line: 0, reason: "not a file that results could be read from")
    }
    var lines = try LineReader(path, quoted: format == .csv)
    if format == .csv {
      guard let header = try lines.next() else { return }
      guard header == format.header else {
        throw PipelineError.resumeMalformed(
          path: path, line: 1, reason: "not the header of these results")
      }
      bytes = header.utf8.count
    }
    while let result = try Self.nextResult(&lines, path: path, format: format, predictions: predictions) {
      let input = walker.next()
      // The list of inputs then seems to end early.
      if cancellation.isCancelled { throw CancellationError() }
      guard let input, result.isOf(input.path) else {
        throw PipelineError.resumeMismatch(
          path: path, line: lines.lineNumber, found: result.path, expected: input?.path.string)
      }
      inputs += 1
      if result.isError { failed += 1 }
      bytes += result.bytes
    }
  }

  private struct Found {
    let path: String
    /// The path's bytes, where the results have them because they are no text.
    var pathBytes: Data?
    let isError: Bool
    let bytes: Int

    func isOf(_ input: FilePath) -> Bool {
      pathBytes.map { $0.elementsEqual(input.bytes) } ?? (path == input.string)
    }
  }

  /// The next whole result; nil at the end.
  private static func nextResult(
    _ lines: inout LineReader, path: FilePath, format: ResultFormat, predictions: Int?
  ) throws(PipelineError) -> Found? {
    guard let first = try lines.next() else { return nil }
    func malformed(_ reason: String) -> PipelineError {
      .resumeMalformed(path: path, line: lines.lineNumber, reason: reason)
    }
    if format == .jsonl {
      struct Line: Decodable {
        struct Prediction: Decodable {}
        enum CodingKeys: String, CodingKey {
          case path, error, predictions
          case pathBytes = "path_base64"
        }
        let path: String
        let pathBytes: Data?
        let error: String?
        let predictions: [Prediction]?
      }
      guard let line = try? JSONDecoder().decode(Line.self, from: Data(first.utf8)) else {
        throw malformed("not a line of these results")
      }
      guard line.error != nil || line.predictions?.count == predictions else {
        throw malformed(
          predictions == nil
            ? "not a line of these results"
            : "the results were written with another --top-k, or by another model")
      }
      return Found(
        path: line.path, pathBytes: line.pathBytes, isError: line.error != nil, bytes: first.utf8.count)
    }
    let fields = CSVText.fields(first)
    guard fields.count == 6 else { throw malformed("not a line of these results") }
    guard fields[5].isEmpty else { return Found(path: fields[0], isError: true, bytes: first.utf8.count) }
    var bytes = first.utf8.count
    for rank in 1...max(predictions ?? 1, 1) {
      if rank > 1 {
        guard let line = try lines.next() else { return nil }
        bytes += line.utf8.count
        let next = CSVText.fields(line)
        guard next.count == 6, next[0] == fields[0], next[1] == "\(rank)" else {
          throw malformed("the results were written with another --top-k")
        }
      } else if fields[1] != "1" {
        throw malformed("the results were written with another --top-k")
      }
    }
    return Found(path: fields[0], isError: false, bytes: bytes)
  }
}

extension CSVText {
  /// The fields of one record, with or without its line end.
  static func fields(_ record: String) -> [String] {
    var fields = [""]
    var isQuoted = false
    var previousWasQuote = false
    for scalar in record.unicodeScalars {
      if isQuoted {
        if scalar == "\"" {
          isQuoted = false
          previousWasQuote = true
        } else {
          fields[fields.count - 1].unicodeScalars.append(scalar)
        }
        continue
      }
      switch scalar {
      case "\"":
        // A doubled quote inside a quoted field is a quote.
        if previousWasQuote { fields[fields.count - 1].append("\"") }
        isQuoted = true
      case ",": fields.append("")
      case "\n", "\r": break
      default: fields[fields.count - 1].unicodeScalars.append(scalar)
      }
      previousWasQuote = false
    }
    return fields
  }
}

/// A text file's whole lines, one at a time.
private struct LineReader {
  let path: FilePath
  /// Whether line ends inside double quotes belong to the line.
  let quoted: Bool
  private(set) var lineNumber = 0
  private let handle: FileDescriptor
  private var buffer: [UInt8] = []
  private var start = 0

  init(_ path: FilePath, quoted: Bool) throws(PipelineError) {
    self.path = path
    self.quoted = quoted
    do {
      handle = try FileDescriptor.open(path, .readOnly)
    } catch {
      throw .resumeMalformed(path: path, line: 0, reason: "\(error)")
    }
  }

  /// The next line with its end; nil where there is no further whole line.
  mutating func next() throws(PipelineError) -> String? {
    var scanned = start
    var isInQuotes = false
    while true {
      while scanned < buffer.count {
        let byte = buffer[scanned]
        scanned += 1
        if quoted, byte == UInt8(ascii: "\"") { isInQuotes.toggle() }
        guard byte == UInt8(ascii: "\n"), !isInQuotes else { continue }
        defer { start = scanned }
        lineNumber += 1
        guard let line = String(validating: buffer[start..<scanned], as: UTF8.self) else {
          throw .resumeMalformed(path: path, line: lineNumber, reason: "not UTF-8 text")
        }
        return line
      }
      buffer.removeSubrange(..<start)
      scanned -= start
      start = 0
      let chunkSize = 65_536
      do {
        let chunk = try [UInt8](unsafeUninitializedCapacity: chunkSize) { bytes, count in
          count = try handle.read(into: UnsafeMutableRawBufferPointer(bytes))
        }
        guard !chunk.isEmpty else {
          try handle.close()
          return nil
        }
        buffer += chunk
      } catch {
        throw .resumeMalformed(path: path, line: lineNumber, reason: "\(error)")
      }
    }
  }
}
