/// Reads what a zip archive says about its members, and holds each statement against the others and the file.
///
/// The directory stands at the end of the file: one header for every member, then the end record (with zip64: a second, wider one
/// before it and a locator between the two). Each member has a header of its own before its bytes, too.
struct ZipDirectory {
  private let file: MappedFile

  init(_ file: MappedFile) {
    self.file = file
  }

  /// No checkpoint has this many members, nor names this long; what is above would only serve to fill memory.
  static let memberLimit = 1 << 14
  static let sizeLimit = 16 << 20

  /// One byte of a deflate stream gives 1032 bytes at most: a match of 258 takes two bits or more.
  static let deflateRatio = 1032

  /// What all members together may inflate to: trained weights hardly shrink, so that this is no honest archive's.
  static func inflatedLimit(fileSize: Int) -> Int {
    let (limit, overflow) = fileSize.multipliedReportingOverflow(by: 20)
    return overflow ? .max : max(64 << 20, limit)
  }

  private enum Signature {
    static let localHeader: UInt32 = 0x0403_4B50
    static let centralHeader: UInt32 = 0x0201_4B50
    static let end: UInt32 = 0x0605_4B50
    static let end64: UInt32 = 0x0606_4B50
    static let locator64: UInt32 = 0x0706_4B50
  }

  /// Where the central headers are, and how many.
  private struct Extent {
    var count: UInt64
    var size: UInt64
    var offset: UInt64
    /// Where the record that says so stands.
    var recordOffset: Int
  }

  /// Every member, in the order of the central headers.
  /// - Throws: `CheckpointError.malformed`.
  func members() throws(CheckpointError) -> [ZipArchive.Member] {
    let extent = try extent()
    guard let offset = Int(exactly: extent.offset), let size = Int(exactly: extent.size),
      let directory = file.record(at: offset, count: size), offset + size == extent.recordOffset
    else {
      throw failure(
        "directory of \(extent.size) bytes at byte \(extent.offset) does not end at byte \(extent.recordOffset), "
          + "where its end record is; the file is damaged or cut")
    }
    let memberLimit = file.limits[.tensors, standard: Self.memberLimit]
    let sizeLimit = file.limits[.headerBytes, standard: Self.sizeLimit]
    guard size <= sizeLimit, extent.count <= memberLimit else {
      throw failure(
        "directory has \(extent.count) members in \(size) bytes, above the limit of \(memberLimit) in "
          + "\(sizeLimit)"
          + (size <= sizeLimit ? FileLimits.Limit.tensors : FileLimits.Limit.headerBytes).remedy)
    }
    var members: [ZipArchive.Member] = []
    // The count is believed only as far as the directory has room for it.
    members.reserveCapacity(min(Int(extent.count), size / 46))
    var spans: [(span: Range<Int>, index: Int)] = []
    var position = 0
    for index in 0..<Int(extent.count) {
      let header = try CentralHeader(directory, at: &position, signature: Signature.centralHeader, in: self)
      let (member, span) = try member(header, dataEnd: offset)
      members.append(member)
      spans.append((span, index))
    }
    guard position == size else {
      throw failure(
        "directory has \(size - position) bytes after the last of the \(extent.count) members that it counts")
    }
    try checkOverlap(spans, members)
    try checkSizes(members)
    return members
  }

  // MARK: - End records

  /// The end record, and its zip64 companion where there is one.
  private func extent() throws(CheckpointError) -> Extent {
    guard let (offset, end) = endRecord() else {
      throw failure("has no end record; the file is cut off or no zip archive")
    }
    let narrow = Extent(
      count: UInt64(end.uint16(10)), size: UInt64(end.uint32(12)), offset: UInt64(end.uint32(16)),
      recordOffset: offset)
    guard let locator = file.record(at: offset - 20, count: 20), locator.uint32(0) == Signature.locator64
    else {
      guard end.uint16(4) == 0, end.uint16(6) == 0, end.uint16(8) == end.uint16(10) else { throw multiDisk }
      return narrow
    }
    guard locator.uint32(4) == 0, locator.uint32(16) <= 1 else { throw multiDisk }
    guard let offset64 = Int(exactly: locator.uint64(8)), offset64 <= offset - 20 - 56,
      let end64 = file.record(at: offset64, count: 56), end64.uint32(0) == Signature.end64,
      end64.uint64(4) == UInt64(offset - 20 - offset64 - 12)
    else {
      throw failure("has no zip64 end record at byte \(locator.uint64(8)), where its locator points")
    }
    guard end64.uint32(16) == 0, end64.uint32(20) == 0, end64.uint64(24) == end64.uint64(32) else {
      throw multiDisk
    }
    let wide = Extent(
      count: end64.uint64(32), size: end64.uint64(40), offset: end64.uint64(48), recordOffset: offset64)
    // What fits into the narrow record must be the same in both, or two readers would see two archives.
    guard narrow.count == min(wide.count, 0xFFFF) || narrow.count == 0xFFFF,
      narrow.size == min(wide.size, 0xFFFF_FFFF) || narrow.size == 0xFFFF_FFFF,
      narrow.offset == min(wide.offset, 0xFFFF_FFFF) || narrow.offset == 0xFFFF_FFFF
    else { throw failure("has two end records that contradict each other") }
    return wide
  }

  /// The record and its place: the last one whose comment ends where the file does.
  private func endRecord() -> (offset: Int, record: Record)? {
    let last = file.count - 22
    guard last >= 0 else { return nil }
    for offset in stride(from: last, through: max(0, last - 0xFFFF), by: -1) {
      guard let record = file.record(at: offset, count: 22), record.uint32(0) == Signature.end,
        Int(record.uint16(20)) == last - offset
      else { continue }
      return (offset, record)
    }
    return nil
  }

  // MARK: - Members

  /// A member as the directory describes it.
  private struct CentralHeader {
    let flags: UInt16
    let method: UInt16
    let crc32: UInt32
    let name: Record
    var compressedSize: UInt64
    var uncompressedSize: UInt64
    var offset: UInt64

    init(
      _ directory: Record, at position: inout Int, signature: UInt32, in archive: ZipDirectory
    ) throws(CheckpointError) {
      guard directory.count - position >= 46 else {
        throw archive.failure("directory counts more members than it holds")
      }
      let fixed = directory[position..<position + 46]
      guard fixed.uint32(0) == signature else {
        throw archive.failure("directory is damaged: no member's header at its byte \(position)")
      }
      flags = fixed.uint16(8)
      method = fixed.uint16(10)
      crc32 = fixed.uint32(16)
      let (nameCount, extraCount) = (Int(fixed.uint16(28)), Int(fixed.uint16(30)))
      let count = 46 + nameCount + extraCount + Int(fixed.uint16(32))
      guard count <= directory.count - position else {
        throw archive.failure("directory is damaged: a member's header goes beyond its end")
      }
      name = directory[position + 46..<position + 46 + nameCount]
      compressedSize = UInt64(fixed.uint32(20))
      uncompressedSize = UInt64(fixed.uint32(24))
      offset = UInt64(fixed.uint32(42))
      var disk = UInt32(fixed.uint16(34))
      let extra = directory[position + 46 + nameCount..<position + 46 + nameCount + extraCount]
      position += count
      if let wide = Self.zip64(extra) {
        // The field holds, in this order, what did not fit into the header.
        var next = 0
        func take(_ value: inout UInt64) throws(CheckpointError) {
          guard value == 0xFFFF_FFFF else { return }
          guard wide.count - next >= 8 else { throw archive.failure("has a zip64 field that is cut off") }
          value = wide.uint64(next)
          next += 8
        }
        try take(&uncompressedSize)
        try take(&compressedSize)
        try take(&offset)
        if disk == 0xFFFF, wide.count - next >= 4 { disk = wide.uint32(next) }
      }
      guard disk == 0 else { throw archive.multiDisk }
    }

    /// The contents of the extra field with zip64's sizes. What follows a field that is cut off is padding.
    private static func zip64(_ extra: Record) -> Record? {
      var position = 0
      while extra.count - position >= 4 {
        let count = Int(extra.uint16(position + 2))
        guard count <= extra.count - position - 4 else { return nil }
        if extra.uint16(position) == 1 { return extra[position + 4..<position + 4 + count] }
        position += 4 + count
      }
      return nil
    }
  }

  /// Checks a central header against the member's own, and returns the member with the bytes that both take in the file.
  /// - Parameter dataEnd: where the central headers begin.
  private func member(
    _ header: CentralHeader, dataEnd: Int
  ) throws(CheckpointError) -> (ZipArchive.Member, span: Range<Int>) {
    let name = String(decoding: header.name.bytes, as: UTF8.self)
    func failure(_ reason: String) -> CheckpointError { self.failure("has a member \"\(name)\" \(reason)") }
    guard let offset = Int(exactly: header.offset), let compressedSize = Int(exactly: header.compressedSize),
      let uncompressedSize = Int(exactly: header.uncompressedSize),
      let local = file.record(at: offset, count: 30), local.uint32(0) == Signature.localHeader
    else {
      throw failure("whose header is not at byte \(header.offset)")
    }
    guard header.flags & 1 == 0, local.uint16(6) & 1 == 0 else { throw failure("that is encrypted") }
    guard local.uint16(8) == header.method else {
      throw failure("whose own header gives method \(local.uint16(8)), but the directory \(header.method)")
    }
    let nameCount = Int(local.uint16(26))
    guard let localName = file.record(at: offset + 30, count: nameCount),
      localName.bytes.elementsEqual(header.name.bytes)
    else {
      throw failure("whose own header gives another name")
    }
    let start = offset + 30 + nameCount + Int(local.uint16(28))
    guard start <= dataEnd, compressedSize <= dataEnd - start else {
      throw failure(
        "of \(compressedSize) bytes at byte \(start), which go beyond byte \(dataEnd), where the directory begins"
      )
    }
    let method = ZipArchive.Method(rawValue: header.method)
    guard method != .stored || compressedSize == uncompressedSize else {
      throw failure("stored in \(compressedSize) bytes that are said to be \(uncompressedSize)")
    }
    let reach = compressedSize.multipliedReportingOverflow(by: Self.deflateRatio)
    guard method != .deflated || reach.overflow || uncompressedSize <= reach.partialValue else {
      throw failure(
        "said to inflate from \(compressedSize) to \(uncompressedSize) bytes, more than deflate can; it is damaged or a "
          + "zip bomb")
    }
    let member = ZipArchive.Member(
      name: name, method: method, compressedSize: compressedSize, uncompressedSize: uncompressedSize,
      crc32: header.crc32, range: start..<start + compressedSize)
    return (member, offset..<start + compressedSize)
  }

  private func checkOverlap(
    _ spans: [(span: Range<Int>, index: Int)], _ members: [ZipArchive.Member]
  ) throws(CheckpointError) {
    let sorted = spans.sorted { $0.span.lowerBound < $1.span.lowerBound }
    for (first, second) in zip(sorted, sorted.dropFirst())
    where first.span.upperBound > second.span.lowerBound {
      throw failure(
        "has members that overlap: \"\(members[first.index].name)\" and \"\(members[second.index].name)\"")
    }
  }

  private func checkSizes(_ members: [ZipArchive.Member]) throws(CheckpointError) {
    let limit = Self.inflatedLimit(fileSize: file.count)
    var total = 0
    for member in members {
      let (sum, overflow) = total.addingReportingOverflow(member.uncompressedSize)
      guard !overflow, sum <= limit else {
        throw failure(
          "of \(file.count) bytes is said to inflate to more than \(limit), which no file of weights does; it is damaged "
            + "or a zip bomb")
      }
      total = sum
    }
  }

  private var multiDisk: CheckpointError { failure("is one part of several, which are not read") }

  private func failure(_ reason: String) -> CheckpointError {
    .malformed(path: file.path, reason: "the zip archive \(reason)")
  }
}
