import SystemPackage

/// Reads JSON (RFC 8259) value by value from where it lies: what nobody asks for takes no memory, and a member that is there twice is
/// seen twice.
struct JSONReader {
  private let bytes: UnsafeRawBufferPointer
  private let path: FilePath
  /// Values within values; configurations have six or so.
  private let depthLimit: Int
  private var position = 0
  private var depth = 0

  /// - Parameters:
  ///   - bytes: the document, which must stay in memory while it is read.
  ///   - path: the file, for messages.
  ///   - limits: what the document is held to.
  init(_ bytes: UnsafeRawBufferPointer, path: FilePath, limits: FileLimits) {
    (self.bytes, self.path) = (bytes, path)
    depthLimit = limits[.depth, standard: 100]
  }

  func failure(_ reason: String) -> CheckpointError { .malformedJSON(path: path, reason: reason) }

  private func invalid(_ expected: String) -> CheckpointError {
    failure(
      position < bytes.count
        ? "not valid JSON: no \(expected) at byte \(position)" : "not valid JSON: it ends without \(expected)"
    )
  }

  /// A value is there, but of another kind; or there is none.
  private func unexpected(_ kind: String) -> CheckpointError {
    position < bytes.count ? failure("no \(kind) at byte \(position), where one belongs") : invalid(kind)
  }

  // MARK: - Structure

  private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func skipSpace() {
    while let next, next == 0x20 || next == 0x0A || next == 0x0D || next == 0x09 { position += 1 }
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    guard next == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func require(_ character: Unicode.Scalar) throws(CheckpointError) {
    guard take(character) else { throw invalid("\"\(character)\"") }
  }

  private mutating func take(word: StaticString) -> Bool {
    let end = position + word.utf8CodeUnitCount
    guard end <= bytes.count else { return false }
    let matches = word.withUTF8Buffer { $0.elementsEqual(bytes[position..<end]) }
    if matches { position = end }
    return matches
  }

  /// Whether the next value begins with a character, such as `"` for a string.
  private mutating func begins(with character: Unicode.Scalar) -> Bool {
    skipSpace()
    return next == UInt8(ascii: character)
  }

  /// Makes sure that nothing follows.
  mutating func finish() throws(CheckpointError) {
    skipSpace()
    guard position == bytes.count else { throw invalid("end") }
  }

  /// Reads an object.
  /// - Parameter member: is called with the name of each member, and must read its value.
  mutating func object(
    nameLimit: Int = .max, _ member: (inout JSONReader, String) throws(CheckpointError) -> Void
  ) throws(CheckpointError) {
    try enter("{", "object")
    while !take("}") {
      guard begins(with: "\"") else { throw invalid("name") }
      let name = try string(limit: nameLimit)
      try require(":")
      try member(&self, name)
      if take(",") {
        guard !begins(with: "}") else { throw invalid("name") }
      } else if !begins(with: "}") {
        throw invalid("\",\" or \"}\"")
      }
    }
    depth -= 1
  }

  /// Reads an array.
  /// - Parameter element: must read one value at each call.
  mutating func array(
    _ element: (inout JSONReader) throws(CheckpointError) -> Void
  ) throws(CheckpointError) {
    try enter("[", "list")
    while !take("]") {
      try element(&self)
      if take(",") {
        guard !begins(with: "]") else { throw invalid("value") }
      } else if !begins(with: "]") {
        throw invalid("\",\" or \"]\"")
      }
    }
    depth -= 1
  }

  private mutating func enter(_ bracket: Unicode.Scalar, _ kind: String) throws(CheckpointError) {
    guard take(bracket) else { throw unexpected(kind) }
    guard depth < depthLimit else {
      throw failure(
        "more than \(depthLimit) values are nested in one another\(FileLimits.Limit.depth.remedy)")
    }
    depth += 1
  }

  // MARK: - Values

  /// A whole number in decimal digits.
  mutating func integer() throws(CheckpointError) -> Int {
    skipSpace()
    guard let next, next == UInt8(ascii: "-") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(next) else {
      throw unexpected("whole number")
    }
    let range = try numberRange()
    let text = String(decoding: bytes[range], as: UTF8.self)
    guard let number = Int(text) else { throw failure("\(text.prefix(40)) is no whole number in range") }
    return number
  }

  /// The place of a number, in the one form that JSON has for it.
  /// - Parameter expected: what is missing where there is none.
  private mutating func numberRange(_ expected: String = "number") throws(CheckpointError) -> Range<Int> {
    skipSpace()
    let start = position
    func digits(_ reader: inout JSONReader) throws(CheckpointError) {
      let first = reader.position
      while let next = reader.next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(next) {
        reader.position += 1
      }
      guard reader.position > first else { throw reader.invalid(expected) }
    }
    if next == UInt8(ascii: "-") { position += 1 }
    if next == UInt8(ascii: "0") { position += 1 } else { try digits(&self) }
    if next == UInt8(ascii: ".") {
      position += 1
      try digits(&self)
    }
    if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
      position += 1
      if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
      try digits(&self)
    }
    return start..<position
  }

  /// A string of at most `limit` bytes in the file.
  /// - Parameter kind: which limit that is, for the message.
  mutating func string(
    limit: Int = .max, _ kind: FileLimits.Limit = .textBytes
  ) throws(CheckpointError) -> String {
    guard begins(with: "\"") else { throw unexpected("string") }
    position += 1
    let start = position
    var hasEscapes = false
    while let next, next != UInt8(ascii: "\"") {
      guard next >= 0x20 else { throw invalid("end of a string") }
      if next == UInt8(ascii: "\\") {
        hasEscapes = true
        position += 1
      }
      position += 1
      guard position - start <= limit else {
        throw failure("a string of more than \(limit) bytes\(kind.remedy)")
      }
    }
    guard position < bytes.count else {
      position = bytes.count
      throw invalid("end of a string")
    }
    let range = start..<position
    position += 1
    let text = hasEscapes ? unescaped(range) : String(validating: bytes[range], as: UTF8.self)
    guard let text else { throw failure("not valid JSON: the string at byte \(start) is no Unicode") }
    return text
  }

  /// Nil where an escape is none, or half of a pair.
  private func unescaped(_ range: Range<Int>) -> String? {
    var result: [UInt8] = []
    var index = range.lowerBound
    func hexadecimal(at start: Int) -> UInt32? {
      guard start + 6 <= range.upperBound, bytes[start] == UInt8(ascii: "\\"),
        bytes[start + 1] == UInt8(ascii: "u")
      else { return nil }
      let digits = bytes[start + 2..<start + 6]
      guard digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit && $0 < 0x80 }) else { return nil }
      return UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
    }
    while index < range.upperBound {
      guard bytes[index] == UInt8(ascii: "\\") else {
        result.append(bytes[index])
        index += 1
        continue
      }
      guard index + 1 < range.upperBound else { return nil }
      if var code = hexadecimal(at: index) {
        index += 6
        if code & 0xFC00 == 0xD800 {
          guard let low = hexadecimal(at: index), low & 0xFC00 == 0xDC00 else { return nil }
          code = 0x10000 + (code & 0x3FF) << 10 + (low & 0x3FF)
          index += 6
        }
        guard let scalar = Unicode.Scalar(code) else { return nil }
        result += String(scalar).utf8
        continue
      }
      switch bytes[index + 1] {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(bytes[index + 1])
      case UInt8(ascii: "b"): result.append(0x08)
      case UInt8(ascii: "f"): result.append(0x0C)
      case UInt8(ascii: "n"): result.append(0x0A)
      case UInt8(ascii: "r"): result.append(0x0D)
      case UInt8(ascii: "t"): result.append(0x09)
      default: return nil
      }
      index += 2
    }
    return String(validating: result, as: UTF8.self)
  }

  /// Any value.
  /// - Parameter remaining: how many more values there may be.
  mutating func value(remaining: inout Int) throws(CheckpointError) -> JSONValue {
    skipSpace()
    guard remaining > 0 else { throw failure("too many values for a configuration file") }
    remaining -= 1
    switch next {
    case UInt8(ascii: "{"):
      var members: [String: JSONValue] = [:]
      // Of a name that is there twice the last one counts, as in Python, whose libraries write these files.
      try object { reader, name throws(CheckpointError) in
        members[name] = try reader.value(remaining: &remaining)
      }
      return .object(members)
    case UInt8(ascii: "["):
      var values: [JSONValue] = []
      try array { reader throws(CheckpointError) in values.append(try reader.value(remaining: &remaining)) }
      return .array(values)
    case UInt8(ascii: "\""): return .string(try string())
    default:
      if take(word: "null") { return .null }
      if take(word: "true") { return .bool(true) }
      if take(word: "false") { return .bool(false) }
      // Not JSON, but Python's own.
      if take(word: "NaN") { return .number(.nan) }
      if take(word: "Infinity") { return .number(.infinity) }
      if take(word: "-Infinity") { return .number(-.infinity) }
      let text = String(decoding: bytes[try numberRange("value")], as: UTF8.self)
      guard let number = Double(text) else { throw failure("\(text.prefix(40)) is no number") }
      return .number(number)
    }
  }

  /// Reads past any value.
  mutating func skip() throws(CheckpointError) {
    skipSpace()
    switch next {
    case UInt8(ascii: "{"): try object { reader, _ throws(CheckpointError) in try reader.skip() }
    case UInt8(ascii: "["): try array { reader throws(CheckpointError) in try reader.skip() }
    case UInt8(ascii: "\""): _ = try string()
    default:
      if take(word: "null") || take(word: "true") || take(word: "false") { return }
      _ = try numberRange("value")
    }
  }
}
