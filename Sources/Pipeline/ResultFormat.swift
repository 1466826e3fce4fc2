import Images
import SystemPackage
import VisionTransformer

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What `classify` says of one input.
public struct ClassificationRecord: Sendable, Equatable {
  public let path: FilePath
  public let outcome: Outcome

  public enum Outcome: Sendable, Equatable {
    /// Size in pixels and the most probable classes, most probable first.
    case predictions(size: ImageSize, [Prediction])
    /// Why there is no result.
    case error(String)
  }

  public init(path: FilePath, outcome: Outcome) {
    self.path = path
    self.outcome = outcome
  }
}

/// How results of `classify` are written down.
public enum ResultFormat: String, CaseIterable, Sendable {
  /// For people: a line for the image, then one for each prediction.
  case table
  /// One JSON object a line. A path that is not UTF-8 is there as its bytes, too: `path_base64`.
  case jsonl
  /// `path,rank,index,label,probability,error`, one line a prediction (RFC 4180).
  case csv

  /// What stands before the first result.
  public var header: String {
    self == .csv ? "path,rank,index,label,probability,error\n" : ""
  }

  /// The lines of one result, the last line end included.
  public func lines(for record: ClassificationRecord) -> String {
    switch self {
    case .table: table(record)
    case .jsonl: jsonLine(record)
    case .csv: csvLines(record)
    }
  }

  private func table(_ record: ClassificationRecord) -> String {
    let name = record.path.string.visible
    switch record.outcome {
    case .error(let message):
      return "\(name)\n  error: \(message.visible)\n"
    case .predictions(let size, let predictions):
      let lines = predictions.map { prediction in
        let percent = (prediction.probability * 1000).rounded() / 10
        let padding = String(repeating: " ", count: max(0, 7 - "\(percent)".count))
        return "\(padding)\(percent) %  \(prediction.label?.visible ?? "class \(prediction.index)")\n"
      }
      return "\(name)  \(size.width)x\(size.height)\n" + lines.joined()
    }
  }

  private func jsonLine(_ record: ClassificationRecord) -> String {
    switch record.outcome {
    case .error(let message):
      return "{\(JSONText.members(of: record.path)),\"error\":\(JSONText.quoted(message))}\n"
    case .predictions(let size, let predictions):
      let list = predictions.map { prediction in
        let label = prediction.label.map { ",\"label\":\(JSONText.quoted($0))" } ?? ""
        return "{\"index\":\(prediction.index)\(label),\"probability\":\(Float(prediction.probability))}"
      }
      return "{\(JSONText.members(of: record.path)),\"width\":\(size.width),\"height\":\(size.height),"
        + "\"predictions\":[\(list.joined(separator: ","))]}\n"
    }
  }

  private func csvLines(_ record: ClassificationRecord) -> String {
    let path = CSVText.field(record.path.string)
    switch record.outcome {
    case .error(let message):
      return "\(path),,,,,\(CSVText.field(message))\n"
    case .predictions(_, let predictions):
      return predictions.enumerated().map { rank, prediction in
        "\(path),\(rank + 1),\(prediction.index),\(CSVText.field(prediction.label ?? "")),"
          + "\(Float(prediction.probability)),\n"
      }.joined()
    }
  }
}

/// Writes results of `classify` in one of the formats.
public struct ResultWriter {
  private let file: ResultFile
  private let format: ResultFormat

  public init(_ file: ResultFile, format: ResultFormat) {
    self.file = file
    self.format = format
  }

  /// Writes what stands before the first result.
  /// - Throws: `PipelineError`.
  public func begin() throws(PipelineError) {
    if !format.header.isEmpty { try file.append(format.header) }
  }

  /// Writes one result.
  /// - Throws: `PipelineError`.
  public func write(_ record: ClassificationRecord) throws(PipelineError) {
    try file.append(format.lines(for: record))
  }
}

/// JSON's text literals.
public enum JSONText {
  /// The text in quotes, escaped.
  public static func quoted(_ text: String) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .withoutEscapingSlashes
    guard let data = try? encoder.encode(text) else { return "\"\"" }
    return String(decoding: data, as: UTF8.self)
  }

  /// The members of an object that name a file: its path as text and, where the path is not UTF-8 and the text therefore not all of it,
  /// the path's bytes.
  static func members(of path: FilePath) -> String {
    let text = "\"path\":\(quoted(path.string))"
    guard String(validating: path) == nil else { return text }
    return "\(text),\"path_base64\":\"\(Data(path.bytes).base64EncodedString())\""
  }
}

/// Fields of comma-separated values (RFC 4180).
enum CSVText {
  static func field(_ text: String) -> String {
    let needsQuotes = text.utf8.contains { [UInt8(ascii: ","), UInt8(ascii: "\""), 10, 13].contains($0) }
    guard needsQuotes else { return text }
    return "\"" + text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"")
      + "\""
  }
}

extension String {
  /// The text with control characters made visible, so that a file's name cannot command the terminal.
  public var visible: String {
    guard unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else { return self }
    return unicodeScalars.map { scalar in
      scalar.properties.generalCategory == .control ? scalar.escaped(asASCII: false) : String(scalar)
    }.joined()
  }
}
