import CZlib

/// A piece of a file that a mutation may change, move, double or drop.
struct Part {
  /// What the format calls it: a path, a type or a marker.
  var name: [UInt8]
  var bytes: [UInt8]
  /// Whether its bytes are kept deflated, where the format has both.
  var isDeflated = false
}

/// A file taken apart, so that its checksums and lengths can be made right again after a change.
protocol PartedFile {
  var parts: [Part] { get set }
  /// Nil where the bytes are no such file, or one that is too large to be changed quickly.
  init?(_ input: [UInt8])
  /// The file that the parts make.
  func file() -> [UInt8]
  /// The part in which most can be got wrong.
  var favourite: Int? { get }
}

/// Parts of more bytes than this are not taken apart.
let partLimit = 1 << 20

/// The wrapping of deflated data, as zlib's windowBits tell it.
enum Wrapping: CInt {
  case none = -15
  case zlib = 15
  case gzip = 31
}

func deflated(_ bytes: [UInt8], _ wrapping: Wrapping) -> [UInt8] {
  var stream = z_stream()
  deflateInit2_(
    &stream, 1, Z_DEFLATED, wrapping.rawValue, 1, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
    CInt(MemoryLayout<z_stream>.size))
  defer { deflateEnd(&stream) }
  return [UInt8](unsafeUninitializedCapacity: Int(deflateBound(&stream, uLong(bytes.count)))) {
    output, count in
    count = output.count - run(&stream, bytes, output) { deflate(&$0, Z_FINISH) }
  }
}

/// As much as is sound; nil where nothing is, or where it is too much.
func inflated(_ bytes: [UInt8], _ wrapping: Wrapping) -> [UInt8]? {
  var stream = z_stream()
  inflateInit2_(&stream, wrapping.rawValue, ZLIB_VERSION, CInt(MemoryLayout<z_stream>.size))
  defer { inflateEnd(&stream) }
  let output = [UInt8](unsafeUninitializedCapacity: partLimit) { output, count in
    count = output.count - run(&stream, bytes, output) { inflate(&$0, Z_SYNC_FLUSH) }
  }
  return output.isEmpty || output.count == partLimit ? nil : output
}

/// - Returns: the bytes of the output that are free.
private func run(
  _ stream: inout z_stream, _ bytes: [UInt8], _ output: UnsafeMutableBufferPointer<UInt8>,
  _ step: (inout z_stream) -> CInt
) -> Int {
  var input = bytes
  return input.withUnsafeMutableBufferPointer { input in
    stream.next_in = input.baseAddress
    stream.avail_in = uInt(input.count)
    stream.next_out = output.baseAddress
    stream.avail_out = uInt(output.count)
    _ = step(&stream)
    return Int(stream.avail_out)
  }
}

/// The bytes of a number, the most significant first.
func bigEndian(_ value: Int, _ count: Int) -> [UInt8] {
  (0..<count).map { UInt8(truncatingIfNeeded: value >> ((count - 1 - $0) * 8)) }
}

/// The number that bytes are, the most significant first.
func number(_ bytes: ArraySlice<UInt8>) -> Int { bytes.reduce(0) { $0 << 8 | Int($1) } }

func checksum(_ bytes: [UInt8]) -> Int { Int(crc32_z(0, bytes, bytes.count)) }
