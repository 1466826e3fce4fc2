import SystemPackage

/// Finds the pickle and the storages in the two layouts.
extension PyTorchStorages {
  /// A compressed pickle is inflated into memory; descriptions of tensors are far below this.
  private static let inflationLimit = 16 << 20
  private static let storageLimit = 1 << 16

  // MARK: - Zip archives

  /// The member with the description, `ROOT/data.pkl`.
  static func pickle(in archive: ZipArchive) -> ZipArchive.Member? {
    archive.members.first { member in
      member.name == "data.pkl"
        || member.name.hasSuffix("/data.pkl") && member.name.split(separator: "/").count == 2
    }
  }

  static func open(
    _ archive: ZipArchive
  ) throws(CheckpointError) -> (document: PickleDocument, storages: PyTorchStorages) {
    let file = archive.file
    guard let member = pickle(in: archive) else {
      throw .unknownContainer(path: file.path, hint: "the zip archive has no data.pkl, as PyTorch's have")
    }
    let source = try contents(of: member, in: archive)
    let (document, _) = try PickleReader.read(source, path: file.path)
    let root = member.name.dropLast("data.pkl".count)
    var places: [String: Place] = [:]
    let folder = root + "data/"
    for storage in archive.members where storage.name.hasPrefix(folder) {
      let key = String(storage.name.dropFirst(folder.count))
      places[key] = archive.storedRange(of: storage).map { .file($0) } ?? .member(archive, storage)
    }
    let order = try byteOrder(archive, name: root + "byteorder")
    return (document, PyTorchStorages(file: file, places: places, isSwapped: order == "big"))
  }

  /// The bytes of a small member: where they lie if they are stored, whose checksums torch can be told to leave out.
  private static func contents(
    of member: ZipArchive.Member, in archive: ZipArchive
  ) throws(CheckpointError) -> TensorElements {
    let file = archive.file
    if let range = archive.storedRange(of: member) {
      return TensorElements(file.bytes(in: range), owner: file)
    }
    guard member.uncompressedSize <= inflationLimit else {
      throw .malformed(
        path: file.path,
        reason:
          "\(member.name) inflates to \(member.uncompressedSize) bytes, more than the \(inflationLimit) that "
          + "any model needs")
    }
    let buffer = try ByteBuffer(count: member.uncompressedSize, path: file.path) {
      output throws(CheckpointError) in
      try archive.read(member, into: output)
    }
    return TensorElements(buffer.bytes, owner: buffer)
  }

  /// The order of the elements' bytes; files from before torch 2.1 do not say it.
  private static func byteOrder(_ archive: ZipArchive, name: String) throws(CheckpointError) -> String {
    guard let member = archive.member(named: name) else { return "little" }
    let order = try contents(of: member, in: archive).withUnsafeBytes {
      String(decoding: $0.prefix(16), as: UTF8.self)
    }
    guard order == "little" || order == "big" else {
      throw .malformed(
        path: archive.file.path, reason: "the byte order is \"\(order)\", expected little or big")
    }
    return order
  }

  // MARK: - The older layout

  /// Numbers that torch writes first: 0x1950a86a20f9469cfc6c, little-endian, and as text in protocol 0.
  private static let magic: [UInt8] = [0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]
  private static let magicText = "119547037146038801333356L"
  private static let protocolVersion = 1001

  static func isTar(_ file: MappedFile) -> Bool {
    file.count >= 512 && file.bytes(in: 257..<262).elementsEqual("ustar".utf8)
  }

  /// Pickles of the magic number, the protocol's version, facts about the machine, the object and the list of storages; then
  /// each storage: the number of its elements (Int64) and the elements. Everything is little-endian on every machine.
  static func open(
    pickle file: MappedFile
  ) throws(CheckpointError) -> (document: PickleDocument, storages: PyTorchStorages) {
    guard !isTar(file) else {
      throw .unknownContainer(
        path: file.path,
        hint: "it is a tar archive, as torch before 0.1.10 wrote; load it with torch and save it again")
    }
    let source = TensorElements(file.bytes(in: 0..<file.count), owner: file)
    let first = try PickleReader.read(source, path: file.path)
    guard isMagic(first.document, bytes: file.bytes(in: 0..<first.end)) else {
      throw .unknownContainer(
        path: file.path,
        hint:
          "it is a Python pickle of \(first.document.kind(first.document.root)), but not one that torch.save "
          + "wrote; save the weights with torch.save(model.state_dict(), ...)")
    }
    let version = try PickleReader.read(source, at: first.end, path: file.path)
    guard version.document.int(version.document.root) == protocolVersion else {
      throw .malformed(
        path: file.path,
        reason: "the version of the PyTorch pickle is not \(protocolVersion), the only one there is")
    }
    let machine = try PickleReader.read(source, at: version.end, path: file.path)
    let object = try PickleReader.read(source, at: machine.end, path: file.path)
    let list = try PickleReader.read(source, at: object.end, path: file.path)
    guard let values = list.document.elements(list.document.root, limit: storageLimit) else {
      throw .malformed(
        path: file.path, reason: "the list of the PyTorch pickle's storages is none, or too long")
    }
    let keys = values.compactMap { list.document.string($0) }
    guard keys.count == values.count else {
      throw .malformed(path: file.path, reason: "a storage of the PyTorch pickle has no name")
    }
    let places = try places(of: keys, from: list.end, sizes: elementSizes(object.document), file: file)
    return (object.document, PyTorchStorages(file: file, places: places, isSwapped: false))
  }

  private static func isMagic(_ document: PickleDocument, bytes: UnsafeRawBufferPointer) -> Bool {
    guard case .long(let offset, let count) = document.node(document.root) else { return false }
    let number = bytes[offset..<offset + Int(count)]
    return number.elementsEqual(magic) || number.elementsEqual(magicText.utf8)
  }

  /// Bytes of an element by storage, as the first tensor of each has it: the rule of torch's own reader.
  private static func elementSizes(_ document: PickleDocument) -> [String: Int] {
    var sizes: [String: Int] = [:]
    for index in document.nodes.indices {
      let value = PickleValue(index: Int32(index))
      guard let storage = document.storage(value), sizes[storage.key] == nil else { continue }
      sizes[storage.key] = storage.elementBytes
    }
    return sizes
  }

  private static func places(
    of keys: [String], from start: Int, sizes: [String: Int], file: MappedFile
  ) throws(CheckpointError) -> [String: Place] {
    var places: [String: Place] = [:]
    var position = start
    for key in keys {
      func failure(_ reason: String) -> CheckpointError {
        .malformed(path: file.path, reason: "storage \"\(key)\" of the PyTorch pickle \(reason)")
      }
      guard let size = sizes[key] else { throw failure("belongs to no tensor, or its type is not known") }
      guard let header = file.record(at: position, count: 8) else {
        throw failure("is cut off: it begins at byte \(position), the file ends at \(file.count)")
      }
      position += 8
      let count = header.uint64(0)
      let (bytes, overflow) = count.multipliedReportingOverflow(by: UInt64(size))
      guard !overflow, bytes <= file.count - position else {
        throw failure(
          "is cut off: \(count) elements of \(size) bytes begin at byte \(position), the file ends at \(file.count)"
        )
      }
      guard places.updateValue(.file(position..<position + Int(bytes)), forKey: key) == nil else {
        throw failure("is there twice")
      }
      position += Int(bytes)
    }
    return places
  }
}
