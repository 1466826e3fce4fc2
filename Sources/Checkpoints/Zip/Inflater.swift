import CZlib

/// A deflate stream (RFC 1951), raw with its CRC-32 or as a gzip file, that is inflated piece by piece into memory of the caller's.
///
/// A class because zlib's state points back at the structure that holds it, which therefore must not move.
final class Inflater {
  /// What is wrong with a stream, as the end of a sentence about it.
  struct Failure: Error {
    let reason: String
  }

  private let stream: UnsafeMutablePointer<z_stream>
  /// What zlib has not been handed yet; it counts in 32 bits.
  private var input: UnsafeRawBufferPointer
  private let initialStatus: CInt
  private var isAtEnd = false
  private let wrapping: Wrapping
  /// CRC-32 of everything inflated so far from a raw stream; a gzip file has its own, which is checked.
  private(set) var checksum: UInt32 = 0

  /// What is around the stream.
  enum Wrapping {
    case none
    /// RFC 1952; several such files one after the other are one.
    case gzip
  }

  /// Small enough that the checksum finds the bytes in cache.
  private static let pieceSize = 256 << 10

  /// - Parameter input: the whole stream, which must stay in memory while it is read.
  init(_ input: UnsafeRawBufferPointer, _ wrapping: Wrapping = .none) {
    self.input = input
    self.wrapping = wrapping
    stream = .allocate(capacity: 1)
    stream.initialize(to: z_stream())
    // Negative window bits: no zlib header around the stream; 16 more: that of gzip.
    let windowBits = wrapping == .gzip ? MAX_WBITS + 16 : -MAX_WBITS
    initialStatus = inflateInit2_(stream, windowBits, ZLIB_VERSION, CInt(MemoryLayout<z_stream>.size))
  }

  deinit {
    inflateEnd(stream)
    stream.deallocate()
  }

  /// Inflates until `output` is full or the stream has ended.
  /// - Returns: the number of bytes written; fewer than there is room for only at the stream's end.
  /// - Throws: `Failure` where the stream is damaged or cut off.
  func read(into output: UnsafeMutableRawBufferPointer) throws(Failure) -> Int {
    guard initialStatus == Z_OK else { throw Failure(reason: "cannot be inflated for want of memory") }
    var written = 0
    while written < output.count, !isAtEnd {
      refill()
      let room = min(output.count - written, Self.pieceSize)
      let piece = UnsafeMutableRawBufferPointer(rebasing: output[written..<written + room])
      stream.pointee.next_out = piece.baseAddress?.assumingMemoryBound(to: Bytef.self)
      stream.pointee.avail_out = uInt(room)
      let status = inflate(stream, Z_NO_FLUSH)
      let count = room - Int(stream.pointee.avail_out)
      if wrapping == .none {
        checksum = UInt32(
          truncatingIfNeeded: crc32(
            uLong(checksum), piece.baseAddress?.assumingMemoryBound(to: Bytef.self), uInt(count)))
      }
      written += count
      switch status {
      case Z_STREAM_END:
        isAtEnd = !beginsAnotherFile
        if !isAtEnd { inflateReset(stream) }
      case Z_OK: break
      case Z_BUF_ERROR:
        guard remainingInput > 0 else { throw Failure(reason: "is cut off inside its deflated bytes") }
      case Z_MEM_ERROR: throw Failure(reason: "cannot be inflated for want of memory")
      default:
        let detail = stream.pointee.msg.map { " (\(String(cString: $0)))" } ?? ""
        throw Failure(reason: "has damaged deflated bytes\(detail)")
      }
    }
    return written
  }

  /// Checks that the stream ends where the reader stands, and its bytes with it.
  func finish() throws(Failure) {
    var excess: UInt8 = 0
    let count = try withUnsafeMutableBytes(of: &excess) { byte throws(Failure) in try read(into: byte) }
    guard count == 0 else { throw Failure(reason: "inflates to more bytes than its archive says") }
    guard remainingInput == 0 else {
      throw Failure(reason: "has \(remainingInput) bytes after the end of its deflated ones")
    }
  }

  /// Whether another gzip file follows the one that has ended; anything else behind it is no part of it.
  private var beginsAnotherFile: Bool {
    guard wrapping == .gzip else { return false }
    refill()
    return stream.pointee.avail_in > 0 && stream.pointee.next_in.pointee == 0x1F
  }

  private var remainingInput: Int { input.count + Int(stream.pointee.avail_in) }

  private func refill() {
    guard stream.pointee.avail_in == 0, !input.isEmpty else { return }
    let count = min(input.count, 1 << 30)
    // zlib declares its input mutable, but does not write to it.
    stream.pointee.next_in = UnsafeMutableRawPointer(mutating: input.baseAddress)?.assumingMemoryBound(
      to: Bytef.self)
    stream.pointee.avail_in = uInt(count)
    input = UnsafeRawBufferPointer(rebasing: input[count...])
  }
}

/// CRC-32 (the one of zip, gzip and PNG) of bytes that lie in memory.
func checksum(of bytes: UnsafeRawBufferPointer) -> UInt32 {
  UInt32(
    truncatingIfNeeded: crc32_z(0, bytes.baseAddress?.assumingMemoryBound(to: Bytef.self), bytes.count))
}
