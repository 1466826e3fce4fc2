/// A value of a pickle: its place among the nodes of a `PickleDocument`.
struct PickleValue: Hashable, Sendable {
  let index: Int32
}

/// The values of a pickle as plain data.
///
/// Values refer to each other by index, in a few flat arrays. A tree of enums would be walked recursively when it is freed, and a
/// file could make it as deep as it likes; it could also refer to itself, which these arrays allow and nothing here follows.
struct PickleDocument: Sendable {
  enum SequenceKind: UInt8 {
    case list, tuple, dict, set
  }

  /// One value in 16 bytes. Strings and bytes stay where they are in the pickle.
  enum Node: Sendable {
    case none
    case bool(Bool)
    case int(Int)
    case float(Double)
    /// An integer of more than 64 bits, as it is written in the pickle.
    case long(offset: Int, count: UInt32)
    case string(offset: Int, count: UInt32)
    /// A string that had escapes: its index in `texts`.
    case text(UInt32)
    case bytes(offset: Int, count: UInt32)
    /// A name: its index in `globals`.
    case global(UInt32)
    /// The first and the last of its items, 0 where it is empty; a dictionary's keys and values take turns.
    case sequence(SequenceKind, first: UInt32, last: UInt32, depth: UInt16)
    /// What a call of a global with a tuple of arguments would be, and its state where one was set, else -1.
    case object(global: UInt32, arguments: Int32, state: Int32, depth: UInt16)
    /// What the pickle says about something that is kept outside of it: a storage.
    case persistent(Int32)

    /// How deep the value is nested, as far as it was filled when it was put into another one.
    var depth: Int {
      switch self {
      case .sequence(_, _, _, let depth), .object(_, _, _, let depth): Int(depth)
      default: 0
      }
    }
  }

  /// A link of the chain that a sequence is.
  struct Item: Sendable {
    let value: Int32
    /// The next link; 0 ends the chain.
    var next: UInt32
  }

  /// The bytes that strings lie in.
  let source: TensorElements
  var nodes: [Node] = []
  /// The first one is no item, so that 0 can mean none.
  var items = [Item(value: -1, next: 0)]
  var texts: [String] = []
  /// Names of globals, module and name joined by a dot.
  var globals: [String] = []
  /// The value that the pickle is.
  var root = PickleValue(index: 0)

  init(source: TensorElements) { self.source = source }

  func node(_ value: PickleValue) -> Node { nodes[Int(value.index)] }

  // MARK: - Reading values

  /// A string of at most `limit` bytes.
  func string(_ value: PickleValue, limit: Int = 4096) -> String? {
    switch node(value) {
    case .text(let index):
      let text = texts[Int(index)]
      return text.utf8.count <= limit ? text : nil
    case .string(let offset, let count), .bytes(let offset, let count):
      guard count <= limit else { return nil }
      return source.withUnsafeBytes { String(decoding: $0[offset..<offset + Int(count)], as: UTF8.self) }
    default:
      return nil
    }
  }

  func int(_ value: PickleValue) -> Int? {
    if case .int(let number) = node(value) { number } else { nil }
  }

  /// The name of a global.
  func global(_ value: PickleValue) -> String? {
    if case .global(let index) = node(value) { globals[Int(index)] } else { nil }
  }

  /// The items of a tuple or list that has at most `limit` of them.
  func elements(_ value: PickleValue, limit: Int) -> [PickleValue]? {
    guard case .sequence(let kind, let first, _, _) = node(value), kind == .tuple || kind == .list else {
      return nil
    }
    var (values, item): ([PickleValue], UInt32) = ([], first)
    while item != 0 {
      guard values.count < limit else { return nil }
      values.append(PickleValue(index: items[Int(item)].value))
      item = items[Int(item)].next
    }
    return values
  }

  /// A tuple or list of at most `limit` integers.
  func integers(_ value: PickleValue, limit: Int) -> [Int]? {
    guard let values = elements(value, limit: limit) else { return nil }
    let numbers = values.compactMap(int)
    return numbers.count == values.count ? numbers : nil
  }

  /// The entries of a dictionary, one after the other; empty for everything else.
  func entries(_ value: PickleValue) -> Entries {
    guard case .sequence(.dict, let first, _, _) = node(value) else {
      return Entries(document: self, item: 0)
    }
    return Entries(document: self, item: first)
  }

  func isDictionary(_ value: PickleValue) -> Bool {
    if case .sequence(.dict, _, _, _) = node(value) { true } else { false }
  }

  /// The global that was called, and what with.
  func call(_ value: PickleValue) -> (global: String, arguments: PickleValue, state: PickleValue?)? {
    guard case .object(let global, let arguments, let state, _) = node(value) else { return nil }
    return (
      globals[Int(global)], PickleValue(index: arguments), state >= 0 ? PickleValue(index: state) : nil
    )
  }

  /// A word for messages.
  func kind(_ value: PickleValue) -> String {
    switch node(value) {
    case .none: "None"
    case .bool: "a truth value"
    case .int, .long, .float: "a number"
    case .string, .text: "a string"
    case .bytes: "bytes"
    case .global(let index): "the name \(globals[Int(index)])"
    case .sequence(.list, _, _, _): "a list"
    case .sequence(.tuple, _, _, _): "a tuple"
    case .sequence(.set, _, _, _): "a set"
    case .sequence(.dict, _, _, _): "a dictionary"
    case .object(let global, _, _, _): "a value of \(globals[Int(global)])"
    case .persistent: "a storage"
    }
  }

  struct Entries: Sequence, IteratorProtocol {
    let document: PickleDocument
    var item: UInt32

    mutating func next() -> (key: PickleValue, value: PickleValue)? {
      guard item != 0 else { return nil }
      let key = document.items[Int(item)]
      guard key.next != 0 else { return nil }
      let value = document.items[Int(key.next)]
      item = value.next
      return (PickleValue(index: key.value), PickleValue(index: value.value))
    }
  }
}
