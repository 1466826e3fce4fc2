import Checkpoints
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// An event file of TensorBoard with scalars: TFRecords (length, its checksum, data, its checksum) of `tensorflow.Event` messages.
///
/// Sources: tensorflow/core/lib/io/record_writer.h; tensorboard/compat/proto/{event,summary}.proto.
final class TensorBoardFile {
  private let path: FilePath
  private let descriptor: CInt

  /// Begins a new file in the folder, which is made where it is not there. TensorBoard shows all files of a folder as one run.
  /// - Throws: `CheckpointError.unwritable`, `TrainingError.run`.
  init(folder: FilePath) throws {
    try FileSystem.makeFolder(folder)
    let seconds = String(Int(Self.now)).paddedToTen
    path = folder.appending("events.out.tfevents.\(seconds).\(getpid()).vitrine")
    descriptor = path.withPlatformString { open($0, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o666) }
    guard descriptor >= 0 else { throw failure() }
    var event = ProtobufMessage()
    event.append(double: Self.now, field: 1)
    event.append(bytes: Array("brain.Event:2".utf8), field: 3)
    try write(event)
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// - Throws: `TrainingError.run` where the disk is full or fails.
  func append(step: Int, scalars: [(tag: String, value: Double)]) throws(TrainingError) {
    var summary = ProtobufMessage()
    for (tag, value) in scalars {
      var entry = ProtobufMessage()
      entry.append(bytes: Array(tag.utf8), field: 1)
      entry.append(float: Float(value), field: 2)
      summary.append(bytes: entry.bytes, field: 1)
    }
    var event = ProtobufMessage()
    event.append(double: Self.now, field: 1)
    event.append(integer: UInt64(step), field: 2)
    event.append(bytes: summary.bytes, field: 5)
    try write(event)
  }

  private static var now: Double {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  private func write(_ event: ProtobufMessage) throws(TrainingError) {
    let length = withUnsafeBytes(of: UInt64(event.bytes.count).littleEndian, Array.init)
    func checksum(_ bytes: [UInt8]) -> [UInt8] {
      withUnsafeBytes(of: CRC32C.masked(bytes).littleEndian, Array.init)
    }
    let record = length + checksum(length) + event.bytes + checksum(event.bytes)
    // One call for a record, so that it is there whole.
    let written = record.withUnsafeBytes { systemWrite(descriptor, $0.baseAddress, $0.count) }
    guard written == record.count else { throw failure() }
  }

  private func failure() -> TrainingError {
    .run(path: path, reason: Errno(rawValue: errno).description.lowercased())
  }
}

/// A message in protobuf's wire format (https://protobuf.dev/programming-guides/encoding).
package struct ProtobufMessage {
  package private(set) var bytes: [UInt8] = []

  package init() {}

  private mutating func append(varint value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  private mutating func append(field: Int, wireType: UInt64) {
    append(varint: UInt64(field) << 3 | wireType)
  }

  package mutating func append(integer value: UInt64, field: Int) {
    append(field: field, wireType: 0)
    append(varint: value)
  }

  package mutating func append(double value: Double, field: Int) {
    append(field: field, wireType: 1)
    bytes += withUnsafeBytes(of: value.bitPattern.littleEndian, Array.init)
  }

  package mutating func append(bytes value: [UInt8], field: Int) {
    append(field: field, wireType: 2)
    append(varint: UInt64(value.count))
    bytes += value
  }

  package mutating func append(float value: Float, field: Int) {
    append(field: field, wireType: 5)
    bytes += withUnsafeBytes(of: value.bitPattern.littleEndian, Array.init)
  }
}

/// The Castagnoli checksum (RFC 3720, appendix B.4), masked as TFRecords have it.
package enum CRC32C {
  private static let table: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0x82F6_3B78 : value >> 1 }
  }

  package static func checksum(_ bytes: [UInt8]) -> UInt32 {
    ~bytes.reduce(~UInt32(0)) { $0 >> 8 ^ table[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] }
  }

  static func masked(_ bytes: [UInt8]) -> UInt32 {
    let value = checksum(bytes)
    return (value >> 15 | value << 17) &+ 0xA282_EAD8
  }
}

extension String {
  fileprivate var paddedToTen: String { String(repeating: "0", count: max(0, 10 - count)) + self }
}
