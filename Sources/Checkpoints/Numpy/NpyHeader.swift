/// What stands before the elements of a numpy array: their type, their order and the shape.
///
/// Layout: the magic bytes, a version, the length of the text, the text: a Python dictionary with the keys `descr`,
/// `fortran_order` and `shape`. Source: numpy's `numpy/lib/_format_impl.py` (versions 1.0, 2.0 and 3.0), which accepts the
/// same keys and no others.
struct NpyHeader: Equatable {
  enum Elements: Equatable {
    /// Numbers that Vitrine reads.
    case numbers(ScalarType, isBigEndian: Bool)
    /// Anything else, by its beginning as it stands in the file: Python objects, text, records, complex numbers.
    case other(String)
  }

  /// What is wrong with a header, as the end of a sentence about the array.
  struct Problem: Error {
    let reason: String
  }

  let elements: Elements
  /// Whether the first index is the fastest instead of the last.
  let isFortranOrder: Bool
  let shape: [Int]

  static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)

  /// numpy's own limits (`_MAX_HEADER_SIZE`, and the rank that NPY_MAXDIMS was for long).
  static let textLimit = 10_000
  static let rankLimit = 32

  /// Enough of an array's bytes to ask for `byteCount(in:)`.
  static let prefixSize = 12

  /// The number of bytes before the elements.
  /// - Parameter bytes: the first `prefixSize` bytes of the array or more, or all of them.
  /// - Throws: `Problem` where these are not an array's.
  static func byteCount(in bytes: [UInt8]) throws(Problem) -> Int {
    try bytes.withUnsafeBytes { Self.text(in: Record($0)) }.get().upperBound
  }

  /// Reads the header.
  /// - Parameter bytes: the first `byteCount` bytes of the array or more.
  /// - Throws: `Problem`.
  init(_ bytes: [UInt8]) throws(Problem) {
    let range = try bytes.withUnsafeBytes { Self.text(in: Record($0)) }.get()
    guard range.upperBound <= bytes.count else { throw Problem(reason: "is cut off inside its header") }
    var reader = PythonLiteralReader(bytes[range])
    var elements: Elements?
    var isFortranOrder: Bool?
    var shape: [Int]?
    try reader.require("{")
    while !reader.take("}") {
      let key = try reader.string()
      try reader.require(":")
      switch key {
      case "descr" where elements == nil: elements = Self.elements(try reader.stringOrText())
      case "fortran_order" where isFortranOrder == nil: isFortranOrder = try reader.bool()
      case "shape" where shape == nil: shape = try reader.shape(rankLimit: Self.rankLimit)
      default: throw reader.problem("key \"\(key.prefix(40))\" twice or out of place")
      }
      if !reader.take(",") {
        try reader.require("}")
        break
      }
    }
    guard reader.isAtEnd else { throw reader.problem("something after its dictionary") }
    guard let elements, let isFortranOrder, let shape else {
      throw Problem(reason: "has a header without one of \"descr\", \"fortran_order\" and \"shape\"")
    }
    (self.elements, self.isFortranOrder, self.shape) = (elements, isFortranOrder, shape)
  }

  /// Where the text of the header lies.
  private static func text(in record: Record) -> Result<Range<Int>, Problem> {
    guard record.count >= prefixSize, record[0..<6].bytes.elementsEqual(magic) else {
      return .failure(Problem(reason: "is no numpy array: it does not begin with numpy's magic bytes"))
    }
    let version = (record.bytes[6], record.bytes[7])
    let start: Int
    let count: Int
    switch version {
    case (1, 0): (start, count) = (10, Int(record.uint16(8)))
    case (2, 0), (3, 0): (start, count) = (12, Int(record.uint32(8)))
    default:
      return .failure(
        Problem(
          reason: "is in version \(version.0).\(version.1) of numpy's format; 1.0, 2.0 and 3.0 are read"))
    }
    guard count <= textLimit else {
      return .failure(Problem(reason: "has a header of \(count) bytes, above the limit of \(textLimit)"))
    }
    return .success(start..<start + count)
  }

  /// The type that numpy calls `descr`, such as `<f4`.
  private static func elements(_ descr: String) -> Elements {
    let order = descr.first.flatMap { "<>|=".contains($0) ? $0 : nil }
    let type: ScalarType? =
      switch descr.dropFirst(order == nil ? 0 : 1) {
      case "f8": .float64
      case "f4": .float32
      case "f2": .float16
      // numpy knows no bfloat16: the type that ml_dtypes adds (for JAX) is written as two bytes without meaning.
      case "V2", "bfloat16": .bfloat16
      case "i8": .int64
      case "i4": .int32
      case "i2": .int16
      case "i1": .int8
      case "u8": .uint64
      case "u4": .uint32
      case "u2": .uint16
      case "u1": .uint8
      case "b1": .bool
      default: nil
      }
    guard let type else { return .other(String(descr.prefix(40))) }
    return .numbers(type, isBigEndian: order == ">" && type.byteCount > 1)
  }
}

/// Reads the few Python literals that numpy's headers are made of. Nothing is evaluated.
private struct PythonLiteralReader {
  private let bytes: ArraySlice<UInt8>
  private var position: Int

  init(_ bytes: ArraySlice<UInt8>) {
    self.bytes = bytes
    position = bytes.startIndex
  }

  /// Whether nothing but white space is left.
  var isAtEnd: Bool {
    mutating get {
      skipSpace()
      return position == bytes.endIndex
    }
  }

  func problem(_ found: String) -> NpyHeader.Problem {
    .init(reason: "has a header with \(found) at byte \(position)")
  }

  private var next: UInt8? { position < bytes.endIndex ? bytes[position] : nil }

  private mutating func skipSpace() {
    while let next, [0x20, 0x09, 0x0A, 0x0D].contains(next) { position += 1 }
  }

  /// Steps over a character, and white space before it, if it is the next one.
  mutating func take(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    guard next == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  mutating func require(_ character: Unicode.Scalar) throws(NpyHeader.Problem) {
    guard take(character) else { throw problem("no \"\(character)\"") }
  }

  /// A string in single or double quotes. Escapes stay as they are written: no name that matters has one.
  mutating func string() throws(NpyHeader.Problem) -> String {
    String(decoding: try stringBytes(), as: UTF8.self)
  }

  private mutating func stringBytes() throws(NpyHeader.Problem) -> ArraySlice<UInt8> {
    skipSpace()
    guard let quote = next, quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else {
      throw problem("no string")
    }
    let start = position + 1
    position = start
    while let byte = next, byte != quote { position += byte == UInt8(ascii: "\\") ? 2 : 1 }
    guard position < bytes.endIndex else {
      position = start
      throw problem("a string without end")
    }
    position += 1
    return bytes[start..<position - 1]
  }

  /// A string, or the text of any other value.
  mutating func stringOrText() throws(NpyHeader.Problem) -> String {
    skipSpace()
    if next == UInt8(ascii: "'") || next == UInt8(ascii: "\"") { return try string() }
    let start = position
    var closers: [UInt8] = []
    scan: while let byte = next {
      switch byte {
      case UInt8(ascii: "'"), UInt8(ascii: "\""):
        _ = try stringBytes()
        continue
      case UInt8(ascii: "("): closers.append(UInt8(ascii: ")"))
      case UInt8(ascii: "["): closers.append(UInt8(ascii: "]"))
      case UInt8(ascii: "{"): closers.append(UInt8(ascii: "}"))
      case UInt8(ascii: ","), UInt8(ascii: ")"), UInt8(ascii: "]"), UInt8(ascii: "}"):
        if closers.isEmpty { break scan }
        if byte != UInt8(ascii: ",") {
          guard closers.removeLast() == byte else { throw problem("brackets that do not match") }
        }
      default: break
      }
      position += 1
    }
    guard position > start, closers.isEmpty else { throw problem("a value without end") }
    return String(decoding: bytes[start..<position], as: UTF8.self)
  }

  mutating func bool() throws(NpyHeader.Problem) -> Bool {
    skipSpace()
    for (word, value) in [("True", true), ("False", false)] where bytes[position...].starts(with: word.utf8) {
      position += word.utf8.count
      return value
    }
    throw problem("neither True nor False")
  }

  /// A tuple of sizes: `()`, `(3,)`, `(3, 4)`.
  mutating func shape(rankLimit: Int) throws(NpyHeader.Problem) -> [Int] {
    var shape: [Int] = []
    try require("(")
    while !take(")") {
      guard shape.count < rankLimit else { throw problem("more than \(rankLimit) dimensions") }
      shape.append(try size())
      if !take(",") {
        // Python's tuple of one element has a comma.
        guard shape.count > 1 else { throw problem("no \",\"") }
        try require(")")
        break
      }
    }
    return shape
  }

  private mutating func size() throws(NpyHeader.Problem) -> Int {
    skipSpace()
    let start = position
    while let next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(next) { position += 1 }
    guard position > start else { throw problem("no size") }
    guard let size = Int(String(decoding: bytes[start..<position], as: UTF8.self)) else {
      throw problem("a size that is too large")
    }
    return size
  }
}
