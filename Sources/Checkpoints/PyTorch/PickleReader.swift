import SystemPackage

/// Reads one pickle as plain data: Python's pickle machine without the part that calls functions.
///
/// Nothing of the pickle is executed: a global is a name, a call of one of those in `PickleGlobals` becomes a node that says so, and
/// every other call is refused. Source: Lib/pickle.py and Lib/pickletools.py of CPython, protocols 0 to 5.
///
/// Memory stays below 64 MB whatever the file says: there are limits for each of the arrays, far above what the description
/// of any model needs.
struct PickleReader {
  static let nodeLimit = 1 << 20
  static let itemLimit = 1 << 20
  static let stackLimit = 1 << 20
  static let textLimit = 1 << 16
  static let escapedByteLimit = 1 << 22
  /// Values within values. Python's own pickler stops at about 500.
  static let depthLimit = 1000
  /// Bytes of a global's module or name.
  static let nameLimit = 512

  let path: FilePath
  /// What to do about a file that asks for code to be run.
  let advice: String
  let bytes: UnsafeRawBufferPointer
  /// The next byte to read.
  var position: Int
  /// Where the instruction that is being read begins.
  private(set) var instruction = 0
  var document: PickleDocument
  var stack: [Int32] = []
  /// The height of the stack at each mark.
  var marks: [Int] = []
  var memo: [Int32] = []
  var globals: [String: UInt32] = [:]
  /// Of strings that are copied since they are written with escapes.
  var escapedBytes = 0

  /// Reads the pickle that begins at a byte of `source`.
  /// - Parameter advice: the end of the message about a file that asks for code to be run.
  /// - Returns: its values, and where it ends.
  /// - Throws: `CheckpointError.malformed` where it is damaged, above a limit or asks for anything that is not plain data.
  static func read(
    _ source: TensorElements, at start: Int = 0, path: FilePath,
    advice: String = "save the state dictionary instead: torch.save(model.state_dict(), ...)"
  ) throws(CheckpointError) -> (document: PickleDocument, end: Int) {
    try source.withUnsafeBytes { bytes throws(CheckpointError) in
      var reader = PickleReader(
        path: path, advice: advice, bytes: bytes, position: start, document: PickleDocument(source: source))
      try reader.run()
      return (reader.document, reader.position)
    }
  }

  private init(
    path: FilePath, advice: String, bytes: UnsafeRawBufferPointer, position: Int, document: PickleDocument
  ) {
    (self.path, self.advice) = (path, advice)
    (self.bytes, self.position, self.document) = (bytes, position, document)
    self.document.nodes = [.none, .bool(false), .bool(true), .sequence(.tuple, first: 0, last: 0, depth: 1)]
  }

  // MARK: - What every instruction needs

  func failure(_ reason: String) -> CheckpointError {
    .malformed(path: path, reason: "the pickle is damaged at byte \(instruction): \(reason)")
  }

  func excess(_ what: String) -> CheckpointError {
    .malformed(path: path, reason: "the pickle holds too much at byte \(instruction): more than \(what)")
  }

  /// The place of the next `count` bytes.
  mutating func take(_ count: Int) throws(CheckpointError) -> Range<Int> {
    guard count >= 0, count <= bytes.count - position else {
      throw failure("it needs \(count) more bytes, but the file ends \(bytes.count - position) bytes later")
    }
    defer { position += count }
    return position..<position + count
  }

  /// A little-endian number.
  mutating func number<T: FixedWidthInteger>(_ type: T.Type) throws(CheckpointError) -> T {
    let range = try take(MemoryLayout<T>.size)
    return T(littleEndian: bytes.loadUnaligned(fromByteOffset: range.lowerBound, as: T.self))
  }

  /// A line of text without its end.
  mutating func line(limit: Int) throws(CheckpointError) -> Range<Int> {
    let start = position
    while position < bytes.count {
      position += 1
      if bytes[position - 1] == UInt8(ascii: "\n") { return start..<position - 1 }
      guard position - start <= limit else { break }
    }
    throw failure("a line of text has no end")
  }

  func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }

  mutating func make(_ node: PickleDocument.Node) throws(CheckpointError) -> Int32 {
    guard document.nodes.count < Self.nodeLimit else { throw excess("\(Self.nodeLimit) values") }
    guard node.depth <= Self.depthLimit else {
      throw excess("\(Self.depthLimit) values nested in one another")
    }
    document.nodes.append(node)
    return Int32(document.nodes.count - 1)
  }

  mutating func push(_ value: Int32) throws(CheckpointError) {
    guard stack.count < Self.stackLimit else { throw excess("\(Self.stackLimit) values on its stack") }
    stack.append(value)
  }

  mutating func push(_ node: PickleDocument.Node) throws(CheckpointError) { try push(make(node)) }

  /// The stack's topmost value, which must lie above the last mark.
  func top() throws(CheckpointError) -> Int32 {
    guard stack.count > marks.last ?? 0, let value = stack.last else { throw failure("a value is missing") }
    return value
  }

  mutating func pop() throws(CheckpointError) -> Int32 {
    let value = try top()
    stack.removeLast()
    return value
  }

  /// The values above the last mark, which goes with them.
  mutating func popMark() throws(CheckpointError) -> [Int32] {
    guard let mark = marks.popLast() else { throw failure("a mark is missing") }
    defer { stack.removeSubrange(mark...) }
    return Array(stack[mark...])
  }

  // MARK: - The machine

  private mutating func run() throws(CheckpointError) {
    while true {
      instruction = position
      guard position < bytes.count else { throw failure("it is cut off") }
      position += 1
      guard let opcode = PickleOpcode(rawValue: bytes[instruction]) else {
        throw failure("\(bytes[instruction]) is no instruction")
      }
      if opcode == .stop { break }
      try execute(opcode)
    }
    document.root = PickleValue(index: try pop())
  }

  private mutating func execute(_ opcode: PickleOpcode) throws(CheckpointError) {
    switch opcode {
    case .proto:
      let version = try number(UInt8.self)
      guard version <= 5 else { throw failure("protocol \(version) is not known; 0 to 5 are") }
    case .frame:
      let count = try number(UInt64.self)
      guard count <= bytes.count - position else {
        throw failure("a frame of \(count) bytes is larger than the file")
      }
    case .mark:
      guard marks.count < Self.depthLimit else {
        throw excess("\(Self.depthLimit) values nested in one another")
      }
      marks.append(stack.count)
    case .pop:
      if stack.count == marks.last { marks.removeLast() } else { _ = try pop() }
    case .popMark: _ = try popMark()
    case .dup: try push(top())
    case .none: try push(Int32(0))
    case .newfalse: try push(Int32(1))
    case .newtrue: try push(Int32(2))
    case .emptyTuple: try push(Int32(3))
    case .int, .long, .binint, .binint1, .binint2, .long1, .long4, .float, .binfloat: try pushNumber(opcode)
    case .string, .unicode, .binstring, .shortBinstring, .binunicode, .shortBinunicode, .binunicode8,
      .binbytes,
      .shortBinbytes, .binbytes8, .bytearray8:
      try pushText(opcode)
    case .emptyList: try push(.sequence(.list, first: 0, last: 0, depth: 1))
    case .emptyDict: try push(.sequence(.dict, first: 0, last: 0, depth: 1))
    case .emptySet: try push(.sequence(.set, first: 0, last: 0, depth: 1))
    case .list: try push(sequence(.list, popMark()))
    case .tuple: try push(sequence(.tuple, popMark()))
    case .frozenset: try push(sequence(.set, popMark()))
    case .dict: try push(sequence(.dict, popMark()))
    case .tuple1, .tuple2, .tuple3:
      var values: [Int32] = []
      for _ in 0...(opcode.rawValue - PickleOpcode.tuple1.rawValue) { values.append(try pop()) }
      try push(sequence(.tuple, values.reversed()))
    case .append:
      let value = try pop()
      try extend(top(), .list, [value])
    case .appends:
      let values = try popMark()
      try extend(top(), .list, values)
    case .additems:
      let values = try popMark()
      try extend(top(), .set, values)
    case .setitem:
      let value = try pop()
      let key = try pop()
      try extend(top(), .dict, [key, value])
    case .setitems:
      let values = try popMark()
      try extend(top(), .dict, values)
    case .get, .binget, .longBinget, .put, .binput, .longBinput, .memoize: try remember(opcode)
    case .global, .stackGlobal: try pushGlobal(opcode)
    case .inst, .obj, .reduce, .newobj, .newobjEx: try call(opcode)
    case .build: try build()
    case .persid: try push(.persistent(pushedText(line(limit: Self.nameLimit))))
    case .binpersid: try push(.persistent(pop()))
    case .ext1, .ext2, .ext4, .nextBuffer, .readonlyBuffer:
      throw failure("the instruction \(opcode) does not occur in checkpoints, and is refused")
    case .stop: break
    }
  }

  // MARK: - Sequences

  private mutating func sequence(
    _ kind: PickleDocument.SequenceKind, _ values: [Int32]
  ) throws(CheckpointError) -> Int32 {
    let container = try make(.sequence(kind, first: 0, last: 0, depth: 1))
    try extend(container, kind, values)
    return container
  }

  /// Adds items to a list or set, or keys and values by turns to a dictionary.
  mutating func extend(
    _ container: Int32, _ kind: PickleDocument.SequenceKind, _ values: [Int32]
  ) throws(CheckpointError) {
    guard case .sequence(kind, var first, var last, let before) = document.nodes[Int(container)] else {
      throw failure("it adds to \(document.kind(PickleValue(index: container))) as to a \(kind)")
    }
    guard kind != .dict || values.count.isMultiple(of: 2) else { throw failure("a key has no value") }
    guard document.items.count + values.count <= Self.itemLimit else {
      throw excess("\(Self.itemLimit) items")
    }
    var depth = Int(before)
    for value in values {
      depth = max(depth, document.nodes[Int(value)].depth + 1)
      document.items.append(.init(value: value, next: 0))
      let item = UInt32(document.items.count - 1)
      if first == 0 { first = item } else { document.items[Int(last)].next = item }
      last = item
    }
    guard depth <= Self.depthLimit else { throw excess("\(Self.depthLimit) values nested in one another") }
    document.nodes[Int(container)] = .sequence(kind, first: first, last: last, depth: UInt16(depth))
  }

  // MARK: - The memo

  private mutating func remember(_ opcode: PickleOpcode) throws(CheckpointError) {
    let index: Int
    switch opcode {
    case .binget, .binput: index = Int(try number(UInt8.self))
    case .longBinget, .longBinput: index = Int(try number(UInt32.self))
    case .memoize: index = memo.count
    default:
      let digits = text(try line(limit: 20))
      guard let number = Int(digits), number >= 0 else {
        throw failure("\"\(digits)\" is no place in the memo")
      }
      index = number
    }
    switch opcode {
    case .get, .binget, .longBinget:
      guard index < memo.count, memo[index] >= 0 else { throw failure("nothing was remembered as \(index)") }
      try push(memo[index])
    default:
      // A pickler counts its places, so that a larger number than there are bytes before is none of its own.
      guard index < min(position, Self.nodeLimit) else { throw failure("\(index) is no place in the memo") }
      let value = try top()
      while memo.count <= index { memo.append(-1) }
      memo[index] = value
    }
  }
}
