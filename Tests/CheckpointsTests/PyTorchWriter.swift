/// Writes pickles and PyTorch archives byte by byte, sound ones and others.
indirect enum PickleItem: Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
  case none
  case bool(Bool)
  case int(Int)
  case string(String)
  case tuple([PickleItem])
  case list([PickleItem])
  case dict([(PickleItem, PickleItem)])
  case global(String, String)
  /// A call of a global.
  case call(PickleItem, [PickleItem])
  case persistent(PickleItem)
  /// Instructions as they are.
  case raw([UInt8])

  init(stringLiteral value: String) { self = .string(value) }
  init(integerLiteral value: Int) { self = .int(value) }

  /// The instructions that make the value, protocol 2.
  var bytes: [UInt8] {
    switch self {
    case .none: Array("N".utf8)
    case .bool(let value): [value ? 0x88 : 0x89]
    case .int(let value): [0x8A, 8] + little(UInt64(bitPattern: Int64(value)))
    case .string(let value): Array("X".utf8) + little(UInt32(value.utf8.count)) + Array(value.utf8)
    case .tuple(let items): Array("(".utf8) + items.flatMap(\.bytes) + Array("t".utf8)
    case .list(let items): Array("](".utf8) + items.flatMap(\.bytes) + Array("e".utf8)
    case .dict(let items): Array("}(".utf8) + items.flatMap { $0.0.bytes + $0.1.bytes } + Array("u".utf8)
    case .global(let module, let name): Array("c\(module)\n\(name)\n".utf8)
    case .call(let function, let arguments):
      function.bytes + PickleItem.tuple(arguments).bytes + Array("R".utf8)
    case .persistent(let id): id.bytes + Array("Q".utf8)
    case .raw(let bytes): bytes
    }
  }

  /// A whole pickle.
  var file: [UInt8] { [0x80, 2] + bytes + Array(".".utf8) }

  /// A storage of float32 numbers, of another class, or one that is a view of another.
  static func storage(
    _ key: String, count: Int, type: String = "FloatStorage", location: String = "cpu",
    view: PickleItem? = nil
  ) -> PickleItem {
    .persistent(
      .tuple(
        ["storage", .global("torch", type), .string(key), .string(location), .int(count)]
          + (view.map { [$0] } ?? [])))
  }

  /// A tensor as torch has described it since 0.4.
  static func tensor(_ storage: PickleItem, offset: Int = 0, size: [Int], stride: [Int]) -> PickleItem {
    .call(
      .global("torch._utils", "_rebuild_tensor_v2"),
      [
        storage, .int(offset), .tuple(size.map { .int($0) }), .tuple(stride.map { .int($0) }), .bool(false),
        .call(.global("collections", "OrderedDict"), []),
      ])
  }
}

/// An integer's bytes, the lowest first.
func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
  withUnsafeBytes(of: value.littleEndian, Array.init)
}

func floats(_ values: [Float]) -> [UInt8] { values.flatMap { little($0.bitPattern) } }

/// PyTorch files for tests.
enum PyTorchWriter {
  /// A zip archive whose members are stored.
  static func archive(_ members: [(name: String, bytes: [UInt8])]) -> [UInt8] {
    var (file, directory): ([UInt8], [UInt8]) = ([], [])
    for (name, bytes) in members {
      let sizes = little(UInt32(bytes.count)) + little(UInt32(bytes.count)) + little(UInt16(name.utf8.count))
      let offset = UInt32(file.count)
      let common = little(UInt16(20)) + [UInt8](repeating: 0, count: 8) + little(UInt32(0)) + sizes + [0, 0]
      file += little(UInt32(0x0403_4B50)) + common + Array(name.utf8) + bytes
      directory +=
        little(UInt32(0x0201_4B50)) + little(UInt16(20)) + common + [UInt8](repeating: 0, count: 10)
      directory += little(offset) + Array(name.utf8)
    }
    let count = little(UInt16(members.count))
    return file + directory + little(UInt32(0x0605_4B50)) + [0, 0, 0, 0] + count + count
      + little(UInt32(directory.count)) + little(UInt32(file.count)) + [0, 0]
  }

  /// An archive with one object and its storages.
  static func archive(_ object: PickleItem, storages: [String: [UInt8]] = [:]) -> [UInt8] {
    archive(
      [("archive/data.pkl", object.file)]
        + storages.sorted { $0.key < $1.key }.map { ("archive/data/\($0.key)", $0.value) })
  }

  /// A file of the older layout.
  static func legacy(
    _ object: PickleItem, storages: [(key: String, count: Int, bytes: [UInt8])], version: Int = 1001
  ) -> [UInt8] {
    let magic: [UInt8] = [0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]
    let pickles: [PickleItem] = [
      .raw(magic), .int(version), .dict([("protocol_version", 1001), ("little_endian", .bool(true))]), object,
      .list(storages.map { .string($0.key) }),
    ]
    return pickles.flatMap(\.file) + storages.flatMap { little(Int64($0.count)) + $0.bytes }
  }
}
