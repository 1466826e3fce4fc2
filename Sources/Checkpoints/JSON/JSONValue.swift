import SystemPackage

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Any JSON document, for files whose fields vary: a `config.json` written by timm or transformers.
public enum JSONValue: Sendable, Equatable, Codable {
  case null
  case bool(Bool)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([String: JSONValue])

  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .null
    } else if let value = try? container.decode(Bool.self) {
      self = .bool(value)
    } else if let value = try? container.decode(Double.self) {
      self = .number(value)
    } else if let value = try? container.decode(String.self) {
      self = .string(value)
    } else if let value = try? container.decode([JSONValue].self) {
      self = .array(value)
    } else {
      self = .object(try container.decode([String: JSONValue].self))
    }
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .null: try container.encodeNil()
    case .bool(let value): try container.encode(value)
    // Whole numbers without a fraction, as Python reads integers.
    case .number(let value):
      if let int = Int(exactly: value) { try container.encode(int) } else { try container.encode(value) }
    case .string(let value): try container.encode(value)
    case .array(let values): try container.encode(values)
    case .object(let members): try container.encode(members)
    }
  }

  /// The member of an object; nil where this is no object, has no such member, or the member is `null`.
  public subscript(key: String) -> JSONValue? {
    guard case .object(let members) = self, let value = members[key], value != .null else { return nil }
    return value
  }

  public var bool: Bool? {
    if case .bool(let value) = self { value } else { nil }
  }

  /// A number without fraction.
  public var int: Int? {
    if case .number(let value) = self { Int(exactly: value) } else { nil }
  }

  public var double: Double? {
    if case .number(let value) = self { value } else { nil }
  }

  public var string: String? {
    if case .string(let value) = self { value } else { nil }
  }

  public var array: [JSONValue]? {
    if case .array(let value) = self { value } else { nil }
  }

  public var object: [String: JSONValue]? {
    if case .object(let value) = self { value } else { nil }
  }
}

/// Reads JSON files of a checkpoint.
package enum JSONFile {
  /// Configuration files are small, even with the names of 21,843 classes twice; anything above is not one.
  static let sizeLimit = 16 << 20
  static let valueLimit = 1 << 18

  /// The document; nil where there is no such file.
  /// - Throws: `CheckpointError` where it is there, but cannot be read.
  static func document(at path: FilePath, limits: FileLimits) throws(CheckpointError) -> JSONValue? {
    FileSystem.exists(path) ? try value(of: MappedFile(path, limits: limits)) : nil
  }

  /// The document.
  /// - Throws: `CheckpointError.malformedJSON` where it is none, or too large for a configuration.
  package static func value(of file: MappedFile) throws(CheckpointError) -> JSONValue {
    var reader = try reader(of: file)
    var remaining = valueLimit
    let value = try reader.value(remaining: &remaining)
    try reader.finish()
    withExtendedLifetime(file) {}
    return value
  }

  /// The value at a place of the file; what follows it is not looked at.
  package static func value(at place: Range<Int>, of file: MappedFile) throws(CheckpointError) -> JSONValue {
    var reader = JSONReader(file.bytes(in: place), path: file.path, limits: file.limits)
    var remaining = valueLimit
    defer { withExtendedLifetime(file) {} }
    return try reader.value(remaining: &remaining)
  }

  /// A reader of the file, which must stay mapped.
  static func reader(of file: MappedFile) throws(CheckpointError) -> JSONReader {
    guard file.count <= file.limits[.headerBytes, standard: sizeLimit] else {
      throw .malformedJSON(
        path: file.path,
        reason:
          "\(file.count) bytes are too many for a configuration file\(FileLimits.Limit.headerBytes.remedy)")
    }
    return JSONReader(file.bytes(in: 0..<file.count), path: file.path, limits: file.limits)
  }
}

extension JSONValue {
  /// The document, indented and with sorted keys, in UTF-8.
  public var document: [UInt8] {
    get throws {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
      return Array(try encoder.encode(self)) + [UInt8(ascii: "\n")]
    }
  }

  /// Writes the document, whole or not at all.
  /// - Throws: `CheckpointError.unwritable`.
  public func write(to path: FilePath) throws(CheckpointError) { try write(to: AtomicFile(path)) }

  /// Writes the document into a place that was taken before.
  /// - Throws: `CheckpointError.unwritable`.
  package func write(to file: AtomicFile) throws(CheckpointError) {
    let bytes: [UInt8]
    do {
      bytes = try document
    } catch {
      throw .unwritable(path: file.path, reason: "not possible in JSON: \(error)")
    }
    try file.write(bytes)
    try file.commit()
  }
}

extension JSONValue {
  /// Any value as a document.
  public init(encoding value: some Encodable) throws {
    self = try JSONDecoder().decode(JSONValue.self, from: JSONEncoder().encode(value))
  }
}

extension JSONValue {
  /// On one line, keys sorted.
  package var compactText: String {
    get throws {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
      return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
  }
}
