/// Globals, and what the pickle would call them for.
extension PickleReader {
  mutating func pushGlobal(_ opcode: PickleOpcode) throws(CheckpointError) {
    if opcode == .global { return try push(.global(namedGlobal())) }
    let (name, module) = (try pop(), try pop())
    guard let name = document.string(PickleValue(index: name), limit: Self.nameLimit),
      let module = document.string(PickleValue(index: module), limit: Self.nameLimit)
    else { throw failure("a global's name is no string, or too long") }
    try push(.global(index(of: "\(module).\(name)")))
  }

  /// The global whose module and name are the next two lines.
  private mutating func namedGlobal() throws(CheckpointError) -> UInt32 {
    let module = text(try line(limit: Self.nameLimit))
    return try index(of: "\(module).\(text(line(limit: Self.nameLimit)))")
  }

  private mutating func index(of global: String) throws(CheckpointError) -> UInt32 {
    if let index = globals[global] { return index }
    guard document.globals.count < Self.textLimit else { throw excess("\(Self.textLimit) globals") }
    document.globals.append(global)
    let index = UInt32(document.globals.count - 1)
    globals[global] = index
    return index
  }

  /// A call of a function (REDUCE), or a new instance of a class (the others).
  mutating func call(_ opcode: PickleOpcode) throws(CheckpointError) {
    let arguments: Int32
    let callee: PickleDocument.Node
    switch opcode {
    case .inst:
      callee = .global(try namedGlobal())
      arguments = try tuple(popMark())
    case .obj:
      let values = try popMark()
      guard let first = values.first else { throw failure("a class is missing") }
      callee = document.nodes[Int(first)]
      arguments = try tuple(Array(values.dropFirst()))
    default:
      // Keyword arguments, which no class of the table needs.
      if opcode == .newobjEx { _ = try pop() }
      arguments = try pop()
      callee = document.nodes[Int(try pop())]
    }
    guard let global = self.global(callee) else {
      throw failure("it calls something that is no global")
    }
    guard case .sequence(.tuple, _, _, _) = document.nodes[Int(arguments)] else {
      throw failure("the arguments of \(document.globals[Int(global)]) are no tuple")
    }
    try push(result(of: global, arguments, isCall: opcode == .reduce))
  }

  /// The global that a value names. The older layout writes a module's class as a persistent id with its source code.
  private func global(_ node: PickleDocument.Node) -> UInt32? {
    var node = node
    if case .persistent(let id) = node, let fields = document.elements(PickleValue(index: id), limit: 4),
      fields.count >= 2, document.string(fields[0]) == "module"
    {
      node = document.node(fields[1])
    }
    if case .global(let global) = node { return global } else { return nil }
  }

  private mutating func tuple(_ values: [Int32]) throws(CheckpointError) -> Int32 {
    let tuple = try make(.sequence(.tuple, first: 0, last: 0, depth: 1))
    try extend(tuple, .tuple, values)
    return tuple
  }

  private mutating func result(
    of global: UInt32, _ arguments: Int32, isCall: Bool
  ) throws(CheckpointError) -> Int32 {
    let name = document.globals[Int(global)]
    let values = document.elements(PickleValue(index: arguments), limit: 16) ?? []
    switch PickleGlobals.role(of: name) {
    case nil:
      throw refusal(of: name, isCall: isCall)
    case .dictionary:
      return try dictionary(name, values)
    case .reconstructor:
      guard let first = values.first, case .global(let type) = document.nodes[Int(first.index)] else {
        throw failure("\(name) is called without a class")
      }
      let typeName = document.globals[Int(type)]
      switch PickleGlobals.role(of: typeName) {
      case .dictionary: return try dictionary(typeName, [])
      case .plain, .module: return try object(type, Int32(3))
      case .tensor, .reconstructor, nil: throw refusal(of: typeName, isCall: false)
      }
    case .tensor:
      // The function that it would call in turn must be one of the table too.
      if name == "torch._tensor._rebuild_from_type_v2" {
        guard let function = values.first.flatMap(document.global) else {
          throw failure("\(name) is called without a function")
        }
        guard PickleGlobals.role(of: function) == .tensor else { throw refusal(of: function, isCall: true) }
      }
      return try object(global, arguments)
    case .plain, .module:
      return try object(global, arguments)
    }
  }

  private mutating func object(_ global: UInt32, _ arguments: Int32) throws(CheckpointError) -> Int32 {
    let depth = document.nodes[Int(arguments)].depth + 1
    return try make(
      .object(global: global, arguments: arguments, state: -1, depth: UInt16(min(depth, Self.depthLimit + 1)))
    )
  }

  /// A new dictionary with the entries of the one, or of the list of pairs, that it is made from.
  private mutating func dictionary(_ name: String, _ values: [PickleValue]) throws(CheckpointError) -> Int32 {
    let result = try make(.sequence(.dict, first: 0, last: 0, depth: 1))
    guard let first = values.first else { return result }
    if name == "collections.defaultdict" {
      if case .none = document.node(first) { return result }
      guard let factory = document.global(first) else { throw failure("a defaultdict without a factory") }
      guard PickleGlobals.factories.contains(factory) else { throw refusal(of: factory, isCall: true) }
      return result
    }
    let space = Self.itemLimit - document.items.count
    var entries: [Int32] = []
    if document.isDictionary(first) {
      for (key, value) in document.entries(first) {
        guard entries.count < space else { throw excess("\(Self.itemLimit) items") }
        entries += [key.index, value.index]
      }
    } else if let pairs = document.elements(first, limit: space) {
      for pair in pairs {
        guard let pair = document.elements(pair, limit: 2), pair.count == 2 else {
          throw failure("\(name) is made from something that is no list of pairs")
        }
        entries += pair.map(\.index)
      }
    } else {
      throw failure("\(name) is made from \(document.kind(first))")
    }
    try extend(result, .dict, entries)
    return result
  }

  /// Gives the topmost object a state.
  mutating func build() throws(CheckpointError) {
    let state = try pop()
    let target = try top()
    switch document.nodes[Int(target)] {
    case .object(let global, let arguments, _, let before):
      let depth = max(Int(before), document.nodes[Int(state)].depth + 1)
      guard depth <= Self.depthLimit else { throw excess("\(Self.depthLimit) values nested in one another") }
      document.nodes[Int(target)] = .object(
        global: global, arguments: arguments, state: state, depth: UInt16(depth))
    case .sequence(.dict, _, _, _):
      // Attributes of a dictionary, such as the `_metadata` of a state dictionary, hold versions of modules.
      break
    default:
      throw failure("it sets the state of \(document.kind(PickleValue(index: target)))")
    }
  }

  private func refusal(of name: String, isCall: Bool) -> CheckpointError {
    let subject =
      isCall
      ? "the pickle asks for \(name)"
      : stack.isEmpty
        ? "the file holds a whole object of class \(name)" : "the pickle holds an object of class \(name)"
    return .malformed(
      path: path,
      reason:
        "\(subject), which is neither a tensor nor a plain container, and nothing from a pickle is ever "
        + "executed; \(advice)")
  }
}
