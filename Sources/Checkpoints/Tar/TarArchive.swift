import SystemPackage

/// A tar archive, plain or compressed by gzip: the names of its files, and their bytes.
///
/// Opening reads all headers; of a compressed archive that means to inflate all of it once and to keep nothing. The bytes of files are
/// read in a second pass, which stops behind the last one that is wanted. Sources: POSIX.1-2017, `pax`; the manual of GNU tar; RFC 1952.
package struct TarArchive: Sendable {
  /// One regular file in the archive.
  package struct Member: Sendable, Equatable {
    /// Its path inside the archive, with slashes, as it is written there.
    package let name: String
    /// Size in bytes.
    package let size: Int
    /// Where its bytes lie in the archive, once inflated.
    let offset: Int
  }

  package let path: FilePath
  /// The files in the order in which they are archived, without links and folders.
  package let members: [Member]
  private let file: MappedFile
  private let isCompressed: Bool

  /// - Throws: `CheckpointError` where the file cannot be read, is no tar archive, is damaged or cut off.
  package init(_ path: FilePath) throws(CheckpointError) {
    try self.init(MappedFile(path))
  }

  /// - Throws: as above.
  package init(_ file: MappedFile) throws(CheckpointError) {
    path = file.path
    self.file = file
    isCompressed = Self.isGzip(file.bytes(in: 0..<min(2, file.count)))
    let stream = TarStream(file, isCompressed: isCompressed)
    var reader = TarHeaderReader(stream)
    var members: [Member] = []
    while let member = try reader.next() { members.append(member) }
    self.members = members
    // The checksum of a compressed archive comes behind everything.
    if isCompressed { try stream.finish() }
  }

  /// Whether the files' bytes are used where they lie in the archive.
  package var isPlain: Bool { !isCompressed }

  /// Whether a file begins as gzip files or tar archives do.
  package static func isArchive(_ path: FilePath) -> Bool {
    guard let file = try? MappedFile(path) else { return false }
    let head = file.bytes(in: 0..<min(512, file.count))
    return isGzip(head) || head.count == 512 && String(decoding: head[257..<262], as: UTF8.self) == "ustar"
  }

  private static func isGzip(_ head: UnsafeRawBufferPointer) -> Bool {
    head.count >= 2 && head[0] == 0x1F && head[1] == 0x8B
  }

  /// The bytes of some of the files, in the order in which they are asked for: where they lie in a plain archive, in memory from a
  /// compressed one.
  /// - Throws: `CheckpointError` where there is not enough memory.
  package func contents(of wanted: [Member]) throws(CheckpointError) -> [TensorElements] {
    guard isCompressed else {
      return wanted.map { member in
        TensorElements(file.bytes(in: member.offset..<member.offset + member.size), owner: file)
      }
    }
    let stream = TarStream(file, isCompressed: true)
    var found: [(index: Int, bytes: TensorElements)] = []
    found.reserveCapacity(wanted.count)
    for index in wanted.indices.sorted(by: { wanted[$0].offset < wanted[$1].offset }) {
      let member = wanted[index]
      if let last = found.last, wanted[last.index] == member {
        found.append((index, last.bytes))
        continue
      }
      try stream.skip(member.offset - stream.position)
      let buffer = try ByteBuffer(count: member.size, path: path) { bytes throws(CheckpointError) in
        try stream.fill(bytes)
      }
      found.append((index, TensorElements(buffer.bytes, owner: buffer)))
    }
    return found.sorted { $0.index < $1.index }.map(\.bytes)
  }
}

/// The bytes of an archive from its beginning to its end.
final class TarStream {
  let path: FilePath
  /// Bytes read or passed over.
  private(set) var position = 0
  private let file: MappedFile
  private let inflater: Inflater?
  private let scratch: UnsafeMutableRawBufferPointer

  private static let scratchSize = 1 << 18

  init(_ file: MappedFile, isCompressed: Bool) {
    path = file.path
    self.file = file
    inflater = isCompressed ? Inflater(file.bytes(in: 0..<file.count), .gzip) : nil
    scratch = .allocate(byteCount: isCompressed ? Self.scratchSize : 0, alignment: 16)
  }

  deinit { scratch.deallocate() }

  /// Reads until `output` is full or the archive ends.
  /// - Returns: the number of bytes read.
  func read(into output: UnsafeMutableRawBufferPointer) throws(CheckpointError) -> Int {
    let count: Int
    if let inflater {
      do {
        count = try inflater.read(into: output)
      } catch {
        throw .malformed(path: path, reason: "the compressed archive \(error.reason)")
      }
    } else {
      count = min(output.count, file.count - position)
      output.copyMemory(from: file.bytes(in: position..<position + count))
    }
    position += count
    return count
  }

  /// The next bytes; fewer than `count` only at the archive's end.
  func read(_ count: Int) throws(CheckpointError) -> [UInt8] {
    var failure: CheckpointError?
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      do throws(CheckpointError) {
        filled = try read(
          into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[..<count]))
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }

  /// Fills `output`.
  /// - Throws: `CheckpointError.malformed` where the archive ends before.
  func fill(_ output: UnsafeMutableRawBufferPointer) throws(CheckpointError) {
    guard try read(into: output) == output.count else { throw cutOff }
  }

  /// Passes over bytes.
  /// - Throws: `CheckpointError.malformed` where the archive has fewer.
  func skip(_ count: Int) throws(CheckpointError) {
    guard inflater != nil else {
      guard count <= file.count - position else { throw cutOff }
      position += count
      return
    }
    var rest = count
    while rest > 0 {
      let piece = min(rest, scratch.count)
      try fill(UnsafeMutableRawBufferPointer(rebasing: scratch[0..<piece]))
      rest -= piece
    }
  }

  /// Reads what is left of a compressed archive, so that its checksum is looked at.
  func finish() throws(CheckpointError) {
    while try read(into: scratch) > 0 {}
  }

  private var cutOff: CheckpointError {
    .malformed(path: path, reason: "the archive is cut off after \(position) bytes; get it again")
  }
}
