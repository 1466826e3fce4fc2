import Checkpoints
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A line of `metrics.jsonl`.
public struct MetricsLine: Sendable, Equatable {
  public enum Kind: String, Sendable {
    case step
    case epoch
  }

  public let kind: Kind
  /// Steps of the optimiser that were done.
  public let step: Int
  /// The epoch, from 1 on.
  public let epoch: Int
  /// In the order in which they are written.
  public let values: [(name: String, value: Double)]

  public init(_ kind: Kind, step: Int, epoch: Int, values: [(name: String, value: Double)]) {
    (self.kind, self.step, self.epoch, self.values) = (kind, step, epoch, values)
  }

  public static func == (a: MetricsLine, b: MetricsLine) -> Bool { a.json == b.json }

  /// Without a line break. A number that is none becomes null.
  public var json: String {
    let numbers = values.map { name, value in
      let text = value.isFinite ? (Int(exactly: value).map(String.init) ?? "\(value)") : "null"
      return "\"\(name)\":\(text)"
    }
    return
      "{\"kind\":\"\(kind.rawValue)\",\"epoch\":\(epoch),\"step\":\(step),\(numbers.joined(separator: ","))}"
  }
}

/// A file that lines are added to.
final class MetricsLog {
  private let path: FilePath
  private let descriptor: CInt
  private(set) var byteCount: Int

  /// Opens the file and cuts it back to what belongs to the run's state.
  /// - Throws: `TrainingError.run`.
  init(_ path: FilePath, keeping bytes: Int) throws(TrainingError) {
    self.path = path
    descriptor = path.withPlatformString { open($0, O_RDWR | O_CREAT | O_CLOEXEC, 0o666) }
    byteCount = bytes
    guard descriptor >= 0 else { throw Self.failure(path) }
    let size = Int(lseek(descriptor, 0, SEEK_END))
    guard size >= bytes else {
      throw .run(path: path, reason: "\(size) bytes, but the run had written \(bytes)")
    }
    guard ftruncate(descriptor, off_t(bytes)) == 0, lseek(descriptor, 0, SEEK_END) >= 0 else {
      throw Self.failure(path)
    }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Adds a line, whole or not at all.
  /// - Throws: `TrainingError.run` where the disk is full or fails.
  func append(_ line: MetricsLine) throws(TrainingError) {
    let bytes = Array(line.json.utf8) + [UInt8(ascii: "\n")]
    var done = 0
    while done < bytes.count {
      let step = bytes[done...].withUnsafeBytes { systemWrite(descriptor, $0.baseAddress, $0.count) }
      if step > 0 {
        done += step
      } else if errno != EINTR {
        let failure = Self.failure(path)
        // What was written of the line is taken back.
        if ftruncate(descriptor, off_t(byteCount)) == 0 { lseek(descriptor, 0, SEEK_END) }
        throw failure
      }
    }
    byteCount += bytes.count
  }

  /// Brings the lines to the disk.
  func synchronize() throws(TrainingError) {
    guard fsync(descriptor) == 0 else { throw Self.failure(path) }
  }

  private static func failure(_ path: FilePath) -> TrainingError {
    .run(path: path, reason: Errno(rawValue: errno).description.lowercased())
  }
}
