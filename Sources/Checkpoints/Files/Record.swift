/// A stretch of a binary file whose integers are little-endian. Every access is checked, in release builds too.
struct Record {
  let bytes: UnsafeRawBufferPointer

  init(_ bytes: UnsafeRawBufferPointer) {
    self.bytes = bytes
  }

  var count: Int { bytes.count }

  /// - Precondition: the integer lies within the record.
  func integer<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type, at offset: Int) -> T {
    precondition(offset >= 0 && offset <= count - MemoryLayout<T>.size, "offset \(offset) of \(count) bytes")
    return T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
  }

  func uint16(_ offset: Int) -> UInt16 { integer(UInt16.self, at: offset) }
  func uint32(_ offset: Int) -> UInt32 { integer(UInt32.self, at: offset) }
  func uint64(_ offset: Int) -> UInt64 { integer(UInt64.self, at: offset) }

  /// - Precondition: the range lies within the record.
  subscript(range: Range<Int>) -> Record {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "range \(range) of \(count) bytes")
    return Record(UnsafeRawBufferPointer(rebasing: bytes[range]))
  }
}

extension MappedFile {
  /// The record at a place in the file; nil where the file does not hold all of it.
  func record(at offset: Int, count: Int) -> Record? {
    guard offset >= 0, count >= 0, offset <= self.count, count <= self.count - offset else { return nil }
    return Record(bytes(in: offset..<offset + count))
  }
}
