import SystemPackage

/// A pickled dictionary of plain data, as data sets are published: numbers, texts, lists of them, numpy arrays. Nothing of it is executed.
package struct PickledDictionary: Sendable {
  private let document: PickleDocument
  private let values: [String: PickleValue]

  /// A numpy array.
  package struct Array: Sendable {
    /// numpy's name of the elements' type, such as "u1".
    package let type: String
    package let shape: [Int]
    /// Whether the first index runs fastest.
    package let isFortranOrder: Bool
    /// The elements, as many bytes as the pickle has for them.
    package let bytes: TensorElements
  }

  /// Keys that are looked at.
  private static let entryLimit = 1 << 12
  private static let itemLimit = 1 << 20

  /// - Throws: `CheckpointError.malformed` where it is damaged, no dictionary, or asks for code to be run.
  package init(_ source: TensorElements, path: FilePath) throws(CheckpointError) {
    let (document, _) = try PickleReader.read(
      source, path: path, advice: "get the file from where the data set is published")
    guard document.isDictionary(document.root) else {
      throw .malformed(path: path, reason: "the pickle is \(document.kind(document.root)), not a dictionary")
    }
    var values: [String: PickleValue] = [:]
    for (key, value) in document.entries(document.root).prefix(Self.entryLimit) {
      if let key = document.string(key) { values[key] = value }
    }
    self.document = document
    self.values = values
  }

  package var keys: [String] { values.keys.sorted() }

  /// A list of whole numbers.
  package func integers(_ key: String) -> [Int]? {
    values[key].flatMap { document.integers($0, limit: Self.itemLimit) }
  }

  /// A list of texts.
  package func texts(_ key: String) -> [String]? {
    guard let list = values[key].flatMap({ document.elements($0, limit: Self.itemLimit) }) else { return nil }
    let texts = list.compactMap { document.string($0) }
    return texts.count == list.count ? texts : nil
  }

  package func array(_ key: String) -> Array? {
    values[key].flatMap { document.array($0) }
  }
}

extension PickleDocument {
  /// A numpy array, in any of the forms in which numpy pickles one.
  fileprivate func array(_ value: PickleValue) -> PickledDictionary.Array? {
    guard let (global, arguments, state) = call(value) else { return nil }
    let name = global.split(separator: ".").last.map(String.init)
    switch name {
    case "_reconstruct":
      // What is made is empty; its state is (version, shape, type, is Fortran's order, bytes).
      guard let fields = state.flatMap({ elements($0, limit: 5) }), fields.count == 5 else { return nil }
      return array(shape: fields[1], type: fields[2], isFortranOrder: bool(fields[3]), bytes: fields[4])
    case "_frombuffer":
      guard let fields = elements(arguments, limit: 4), fields.count == 4 else { return nil }
      return array(
        shape: fields[2], type: fields[1], isFortranOrder: string(fields[3]) == "F", bytes: fields[0])
    default:
      return nil
    }
  }

  private func array(
    shape: PickleValue, type: PickleValue, isFortranOrder: Bool?, bytes: PickleValue
  ) -> PickledDictionary.Array? {
    guard let shape = integers(shape, limit: 32), let isFortranOrder,
      let (global, arguments, _) = call(type), global == "numpy.dtype",
      let typeName = elements(arguments, limit: 3)?.first.flatMap({ string($0) }),
      let bytes = rawBytes(bytes)
    else { return nil }
    return PickledDictionary.Array(
      type: typeName, shape: shape, isFortranOrder: isFortranOrder, bytes: bytes)
  }

  private func bool(_ value: PickleValue) -> Bool? {
    switch node(value) {
    case .bool(let value): value
    case .int(let value): value != 0
    default: nil
    }
  }

  /// Bytes, or a string of Python 2, which is the same; or a text that is to be encoded as Latin-1, which is how Python 3 writes bytes
  /// for Python 2.
  private func rawBytes(_ value: PickleValue) -> TensorElements? {
    switch node(value) {
    case .bytes(let offset, let count), .string(let offset, let count):
      return slice(offset..<offset + Int(count))
    case .object(let global, let arguments, _, _):
      let name = globals[Int(global)]
      guard let fields = elements(PickleValue(index: arguments), limit: 2) else { return nil }
      if name.hasSuffix(".bytearray"), fields.count == 1 { return rawBytes(fields[0]) }
      guard name == "_codecs.encode", fields.count == 2, string(fields[1]) == "latin1",
        case .string(let offset, let count) = node(fields[0])
      else { return nil }
      return latin1(offset..<offset + Int(count))
    default: return nil
    }
  }

  private func slice(_ range: Range<Int>) -> TensorElements {
    source.withUnsafeBytes {
      TensorElements(UnsafeRawBufferPointer(rebasing: $0[range]), owner: source.owner)
    }
  }

  /// The characters of UTF-8 as bytes; nil where one is above 255.
  private func latin1(_ range: Range<Int>) -> TensorElements? {
    let bytes: [UInt8]? = source.withUnsafeBytes { source in
      var bytes: [UInt8] = []
      bytes.reserveCapacity(range.count)
      var index = range.lowerBound
      while index < range.upperBound {
        let byte = source[index]
        if byte < 0x80 {
          bytes.append(byte)
          index += 1
        } else {
          guard byte == 0xC2 || byte == 0xC3, index + 1 < range.upperBound, source[index + 1] & 0xC0 == 0x80
          else { return nil }
          bytes.append((byte & 0x03) << 6 | source[index + 1] & 0x3F)
          index += 2
        }
      }
      return bytes
    }
    guard let bytes,
      let buffer = try? ByteBuffer(count: bytes.count, path: "", fill: { $0.copyBytes(from: bytes) })
    else { return nil }
    return TensorElements(buffer.bytes, owner: buffer)
  }
}
