import SystemPackage

/// A zip archive, memory-mapped: numpy's `.npz` and PyTorch's files are such archives.
///
/// Opening reads and checks what the archive says about its members (`ZipDirectory`); their bytes are read one member at a time.
/// Source: PKWARE's APPNOTE 6.3.10, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT.
package struct ZipArchive: Sendable {
  /// One file in the archive.
  package struct Member: Sendable, Equatable {
    /// Its path inside the archive, with slashes.
    package let name: String
    package let method: Method
    /// Size in the archive and in memory, in bytes.
    package let compressedSize: Int
    package let uncompressedSize: Int
    /// Checksum of the uncompressed bytes.
    package let crc32: UInt32
    /// Where its bytes, compressed or not, lie in the file.
    package let range: Range<Int>
  }

  /// How a member's bytes are kept.
  package struct Method: RawRepresentable, Sendable, Equatable, CustomStringConvertible {
    package let rawValue: UInt16

    package init(rawValue: UInt16) {
      self.rawValue = rawValue
    }

    package static let stored = Method(rawValue: 0)
    package static let deflated = Method(rawValue: 8)

    /// Whether this is one of the two methods that numpy and PyTorch use, and that are read here.
    package var isSupported: Bool { self == .stored || self == .deflated }

    package var description: String {
      switch rawValue {
      case 0: "no compression"
      case 8: "deflate"
      case 9: "Deflate64"
      case 12: "bzip2"
      case 14: "LZMA"
      case 93: "Zstandard"
      case 95: "XZ"
      default: "method \(rawValue)"
      }
    }
  }

  package let file: MappedFile
  /// The members in the order in which the archive lists them.
  package let members: [Member]
  private let indices: [String: Int]

  /// Reads the archive's directory.
  /// - Throws: `CheckpointError.malformed` where it is cut off, contradicts itself or the file, or cannot be an honest one.
  package init(_ file: MappedFile) throws(CheckpointError) {
    self.file = file
    members = try ZipDirectory(file).members()
    var indices: [String: Int] = [:]
    indices.reserveCapacity(members.count)
    for (index, member) in members.enumerated() {
      guard indices.updateValue(index, forKey: member.name) == nil else {
        throw .malformed(path: file.path, reason: "the zip archive has two members named \"\(member.name)\"")
      }
    }
    self.indices = indices
  }

  package func member(named name: String) -> Member? {
    indices[name].map { members[$0] }
  }

  /// Where the bytes of a member lie in the file that is stored without compression; nil for any other. Their checksum is not
  /// looked at, since that would read them all.
  package func storedRange(of member: Member) -> Range<Int>? {
    member.method == .stored ? member.range : nil
  }

  /// A member's bytes, or its first ones.
  /// - Parameter limit: the largest number of bytes to return; no more of the member is inflated.
  /// - Throws: `CheckpointError.malformed` where its method is not supported or its bytes are damaged; the checksum is compared
  ///   where all of them are read.
  package func contents(of member: Member, upTo limit: Int? = nil) throws(CheckpointError) -> [UInt8] {
    let count = min(limit ?? .max, member.uncompressedSize)
    let buffer = try ByteBuffer(count: count, path: file.path) { output throws(CheckpointError) in
      if count == member.uncompressedSize {
        try read(member, into: output)
      } else {
        try readStart(of: member, into: output)
      }
    }
    return Array(buffer.bytes)
  }

  /// Reads a range of a member's bytes straight into its final place, and checks the whole member on the way: its size, its
  /// checksum, and that a deflated one ends where it should.
  /// - Parameters:
  ///   - offset: where in the member's uncompressed bytes to begin.
  ///   - output: memory for as many of them as it has room for.
  /// - Precondition: the member has `offset + output.count` bytes or more.
  /// - Throws: `CheckpointError.malformed` where its method is not supported or its bytes are damaged.
  package func read(
    _ member: Member, from offset: Int = 0, into output: UnsafeMutableRawBufferPointer
  ) throws(CheckpointError) {
    precondition(offset >= 0 && offset <= member.uncompressedSize - output.count, "beyond the member's end")
    let actual: UInt32
    switch member.method {
    case .stored:
      let bytes = file.bytes(in: member.range)
      output.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + output.count]))
      actual = checksum(of: bytes)
    case .deflated:
      do throws(Inflater.Failure) {
        let inflater = Inflater(file.bytes(in: member.range))
        try skip(offset, of: member, with: inflater)
        try fill(output, of: member, with: inflater)
        try skip(member.uncompressedSize - offset - output.count, of: member, with: inflater)
        try inflater.finish()
        actual = inflater.checksum
      } catch {
        throw failure(member, error.reason)
      }
    default:
      throw unsupported(member)
    }
    guard actual == member.crc32 else {
      throw failure(member, "is damaged: its checksum is not the one that the archive gives")
    }
  }

  /// Reads a member's first bytes and no more.
  private func readStart(
    of member: Member, into output: UnsafeMutableRawBufferPointer
  ) throws(CheckpointError) {
    switch member.method {
    case .stored:
      output.copyMemory(from: UnsafeRawBufferPointer(rebasing: file.bytes(in: member.range)[..<output.count]))
    case .deflated:
      do throws(Inflater.Failure) {
        try fill(output, of: member, with: Inflater(file.bytes(in: member.range)))
      } catch {
        throw failure(member, error.reason)
      }
    default:
      throw unsupported(member)
    }
  }

  private func fill(
    _ output: UnsafeMutableRawBufferPointer, of member: Member, with inflater: Inflater
  ) throws(Inflater.Failure) {
    guard try inflater.read(into: output) == output.count else {
      throw .init(reason: "inflates to fewer than the \(member.uncompressedSize) bytes that its archive says")
    }
  }

  private func skip(_ count: Int, of member: Member, with inflater: Inflater) throws(Inflater.Failure) {
    guard count > 0 else { return }
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: min(count, 64 << 10), alignment: 64)
    defer { scratch.deallocate() }
    var remaining = count
    while remaining > 0 {
      let piece = UnsafeMutableRawBufferPointer(rebasing: scratch[..<min(remaining, scratch.count)])
      try fill(piece, of: member, with: inflater)
      remaining -= piece.count
    }
  }

  /// The reason why a member's bytes cannot be read at all; nil where they can.
  func obstacle(to member: Member) -> String? {
    member.method.isSupported
      ? nil : "is compressed with \(member.method); only stored and deflated zip members are read"
  }

  private func unsupported(_ member: Member) -> CheckpointError {
    failure(member, obstacle(to: member) ?? "cannot be read")
  }

  private func failure(_ member: Member, _ reason: String) -> CheckpointError {
    .malformed(path: file.path, reason: "member \"\(member.name)\" of the zip archive \(reason)")
  }
}
