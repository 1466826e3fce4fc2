/// A tensor's name with places for numbers: `#` stands for an index that is kept, `$` for one that does not matter.
struct NamePattern: Sendable, Equatable {
  let text: String
  /// The name with each run of digits, and each place for one, as `#`: what a name and its pattern have in common.
  let key: String
  private let numbers: [Number]

  private enum Number: Sendable, Equatable {
    case literal(Substring)
    case index
    case any
  }

  init(_ text: String) {
    self.text = text
    var numbers: [Number] = []
    key = Self.replacingNumbers(in: text, including: Array("#$".utf8)) { run in
      numbers.append(run == "#" ? .index : run == "$" ? .any : .literal(run))
    }
    self.numbers = numbers
  }

  /// The key of a name and its numbers.
  static func parse(_ name: some StringProtocol) -> (key: String, numbers: [Substring]) {
    var numbers: [Substring] = []
    let key = replacingNumbers(in: String(name), including: []) { numbers.append($0) }
    return (key, numbers)
  }

  /// The indices of a name with the same key; nil where a number differs that the pattern fixes.
  func indices(of found: [Substring]) -> [Int]? {
    guard found.count == numbers.count else { return nil }
    var indices: [Int] = []
    for (number, digits) in zip(numbers, found) {
      switch number {
      case .literal(let expected): guard expected == digits else { return nil }
      case .any: continue
      case .index:
        guard let index = Int(digits), index < Self.indexLimit else { return nil }
        indices.append(index)
      }
    }
    return indices
  }

  /// No network is that deep; a number beyond is not an index.
  static let indexLimit = 1000

  /// Puts indices into the places of a name, one after the other; `#-1` stands for one less, where the file counts from 1.
  /// Nil where that would be negative.
  static func fill(_ name: String, with indices: [Int]) -> String? {
    // Byte by byte: this runs once for each tensor, and splitting texts by characters would take most of opening a file.
    var result: [UInt8] = []
    var (remaining, places) = (name.utf8[...], indices[...])
    while let byte = remaining.popFirst() {
      guard byte == UInt8(ascii: "#") else {
        result.append(byte)
        continue
      }
      guard let index = places.popFirst() else { break }
      let countsFromOne = remaining.starts(with: "-1".utf8)
      guard !countsFromOne || index > 0 else { return nil }
      if countsFromOne { remaining = remaining.dropFirst(2) }
      result += "\(countsFromOne ? index - 1 : index)".utf8
    }
    return String(decoding: result, as: UTF8.self)
  }

  /// The indices that `fill` would put into a pattern to make the name; nil where none do.
  static func indices(of name: String, in pattern: String) -> [Int]? {
    let countsFromOne = pattern.contains("#-1")
    let plain = NamePattern(
      pattern.split(separator: "#-1", omittingEmptySubsequences: false).joined(separator: "#"))
    let (key, numbers) = parse(name)
    guard plain.key == key, let indices = plain.indices(of: numbers) else { return nil }
    return countsFromOne ? indices.map { $0 + 1 } : indices
  }

  /// A name without the indices of blocks: `blocks.3.attn.qkv.bias` becomes `blocks.#.attn.qkv.bias`.
  static func kind(of name: String) -> String {
    let fields = name.utf8.split(separator: UInt8(ascii: ".")).map { field in
      Int(Substring(field)) == nil ? field : "#".utf8[...]
    }
    return String(decoding: Array(fields.joined(separator: ".".utf8)), as: UTF8.self)
  }

  private static func replacingNumbers(
    in text: String, including places: [UInt8], _ body: (Substring) -> Void
  ) -> String {
    var key: [UInt8] = []
    let bytes = text.utf8
    var position = bytes.startIndex
    while position < bytes.endIndex {
      let start = position
      while position < bytes.endIndex, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position]) {
        position = bytes.index(after: position)
      }
      if position > start {
        body(text[start..<position])
        key.append(UInt8(ascii: "#"))
        continue
      }
      position = bytes.index(after: position)
      let isPlace = places.contains(bytes[start])
      if isPlace { body(text[start..<position]) }
      key.append(isPlace ? UInt8(ascii: "#") : bytes[start])
    }
    return String(decoding: key, as: UTF8.self)
  }
}
