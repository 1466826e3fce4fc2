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
enum JSONFile {
  /// Configuration files are small; anything above is not one.
  static let sizeLimit = 64 << 20

  /// The file's contents; nil where there is no such file.
  /// - Throws: `CheckpointError` where it is there, but cannot be read.
  static func contents(of path: FilePath) throws(CheckpointError) -> Data? {
    guard FileSystem.exists(path) else { return nil }
    let file = try MappedFile(path)
    guard file.count <= sizeLimit else {
      throw .malformedJSON(path: path, reason: "\(file.count) bytes are too many for a configuration file")
    }
    return Data(file.bytes(in: 0..<file.count))
  }

  /// Decodes a document that must be there.
  static func decode<T: Decodable>(_ type: T.Type, from data: Data, path: FilePath) throws(CheckpointError)
    -> T
  {
    do {
      return try JSONDecoder().decode(type, from: data)
    } catch DecodingError.dataCorrupted(let context) {
      throw .malformedJSON(path: path, reason: "not valid JSON: \(context.debugDescription)")
    } catch DecodingError.keyNotFound(let key, _) {
      throw .malformedJSON(path: path, reason: "field \"\(key.stringValue)\" is missing")
    } catch DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context) {
      let field = context.codingPath.map(\.stringValue).joined(separator: ".")
      throw .malformedJSON(path: path, reason: "field \"\(field)\": \(context.debugDescription)")
    } catch {
      throw .malformedJSON(path: path, reason: "not valid JSON: \(error)")
    }
  }
}

extension JSONValue {
  /// Writes the document, indented and with sorted keys, whole or not at all.
  /// - Throws: `CheckpointError.unwritable`.
  public func write(to path: FilePath) throws(CheckpointError) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    let data: Data
    do {
      data = try encoder.encode(self)
    } catch {
      throw .unwritable(path: path, reason: "not possible in JSON: \(error)")
    }
    let file = try AtomicFile(path)
    try file.write(Array(data) + [UInt8(ascii: "\n")])
    try file.commit()
  }
}

extension JSONValue {
  /// Any value as a document.
  public init(encoding value: some Encodable) throws {
    self = try JSONDecoder().decode(JSONValue.self, from: JSONEncoder().encode(value))
  }
}
