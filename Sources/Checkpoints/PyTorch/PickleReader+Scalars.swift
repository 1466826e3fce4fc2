/// Numbers and strings.
extension PickleReader {
  mutating func pushNumber(_ opcode: PickleOpcode) throws(CheckpointError) {
    switch opcode {
    case .binint: try push(.int(Int(number(Int32.self))))
    case .binint1: try push(.int(Int(number(UInt8.self))))
    case .binint2: try push(.int(Int(number(UInt16.self))))
    case .long1: try pushLong(take(Int(number(UInt8.self))))
    case .long4: try pushLong(take(Int(number(Int32.self))))
    case .binfloat: try push(.float(Double(bitPattern: number(UInt64.self).byteSwapped)))
    case .float:
      let digits = text(try line(limit: 64))
      guard let value = Double(digits) else { throw failure("\"\(digits)\" is no number") }
      try push(.float(value))
    default:
      let range = try line(limit: 4096)
      var digits = text(range)
      // Protocol 1 and older write truth values as these numbers.
      if opcode == .int, digits == "00" || digits == "01" { return try push(Int32(digits == "00" ? 1 : 2)) }
      if digits.hasSuffix("L") { digits.removeLast() }
      let isNumber = digits.utf8.enumerated().allSatisfy { index, byte in
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || index == 0 && byte == UInt8(ascii: "-")
      }
      guard isNumber, digits != "", digits != "-" else { throw failure("\"\(digits)\" is no number") }
      try push(Int(digits).map { .int($0) } ?? .long(offset: range.lowerBound, count: UInt32(range.count)))
    }
  }

  /// A little-endian two's complement number of any length.
  private mutating func pushLong(_ range: Range<Int>) throws(CheckpointError) {
    guard range.count <= 8 else {
      return try push(.long(offset: range.lowerBound, count: UInt32(range.count)))
    }
    var value: UInt64 = bytes[range].last.map { $0 >= 0x80 ? .max : 0 } ?? 0
    for byte in bytes[range].reversed() { value = value << 8 | UInt64(byte) }
    try push(.int(Int(Int64(bitPattern: value))))
  }

  mutating func pushText(_ opcode: PickleOpcode) throws(CheckpointError) {
    switch opcode {
    case .shortBinstring, .shortBinunicode: try push(pushedText(take(Int(number(UInt8.self)))))
    case .binunicode: try push(pushedText(take(Int(number(UInt32.self)))))
    case .binstring: try push(pushedText(take(Int(number(Int32.self)))))
    case .binunicode8: try push(pushedText(take(length())))
    case .shortBinbytes: try push(bytesNode(take(Int(number(UInt8.self)))))
    case .binbytes: try push(bytesNode(take(Int(number(UInt32.self)))))
    case .binbytes8, .bytearray8: try push(bytesNode(take(length())))
    default:
      var range = try line(limit: bytes.count)
      if opcode == .string {
        guard range.count >= 2, let quote = bytes[range].first, bytes[range].last == quote,
          quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"")
        else { throw failure("a string has no quotes") }
        range = range.lowerBound + 1..<range.upperBound - 1
      }
      guard bytes[range].contains(UInt8(ascii: "\\")) else { return try push(pushedText(range)) }
      guard document.texts.count < Self.textLimit else { throw excess("\(Self.textLimit) escaped strings") }
      escapedBytes += range.count
      guard escapedBytes <= Self.escapedByteLimit else {
        throw excess("\(Self.escapedByteLimit) bytes of escaped strings")
      }
      document.texts.append(unescaped(range, isUnicode: opcode == .unicode))
      try push(.text(UInt32(document.texts.count - 1)))
    }
  }

  /// A string that stays where it is.
  mutating func pushedText(_ range: Range<Int>) throws(CheckpointError) -> Int32 {
    guard let count = UInt32(exactly: range.count) else { throw excess("\(UInt32.max) bytes in one string") }
    return try make(.string(offset: range.lowerBound, count: count))
  }

  private func bytesNode(_ range: Range<Int>) throws(CheckpointError) -> PickleDocument.Node {
    guard let count = UInt32(exactly: range.count) else { throw excess("\(UInt32.max) bytes in one string") }
    return .bytes(offset: range.lowerBound, count: count)
  }

  private mutating func length() throws(CheckpointError) -> Int {
    let count = try number(UInt64.self)
    guard let count = Int(exactly: count) else { throw failure("a length of \(count) bytes is not possible") }
    return count
  }

  /// Resolves the escapes of protocol 0: Python's raw-unicode-escape (`\u`, `\U`), or those of a Python 2 string.
  /// Escapes that are neither stay as they are.
  private func unescaped(_ range: Range<Int>, isUnicode: Bool) -> String {
    let simple: [UInt8: UInt8] = [
      UInt8(ascii: "n"): 10, UInt8(ascii: "t"): 9, UInt8(ascii: "r"): 13, UInt8(ascii: "\\"): 92,
      UInt8(ascii: "'"): 39,
      UInt8(ascii: "\""): 34,
    ]
    let lengths: [UInt8: Int] =
      isUnicode ? [UInt8(ascii: "u"): 4, UInt8(ascii: "U"): 8] : [UInt8(ascii: "x"): 2]
    var result: [UInt8] = []
    var index = range.lowerBound
    while index < range.upperBound {
      let next = index + 1
      if bytes[index] == UInt8(ascii: "\\"), next < range.upperBound {
        if let length = lengths[bytes[next]], range.upperBound - next > length,
          let code = UInt32(text(next + 1..<next + 1 + length), radix: 16), let scalar = Unicode.Scalar(code)
        {
          result += String(scalar).utf8
          index = next + 1 + length
          continue
        }
        if !isUnicode, let byte = simple[bytes[next]] {
          result.append(byte)
          index = next + 1
          continue
        }
      }
      result.append(bytes[index])
      index += 1
    }
    return String(decoding: result, as: UTF8.self)
  }
}
