import Checkpoints
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A file, or standard output, that results are appended to piece by piece. A piece is written whole or, where the disk is full,
/// taken back, so that what is there can always be read.
public final class ResultFile {
  let path: FilePath
  private let descriptor: CInt
  private let isOwned: Bool
  /// Bytes of whole pieces, in a regular file.
  private var end: Int

  /// Standard output.
  public static func standardOutput() -> ResultFile {
    ResultFile(path: "standard output", descriptor: STDOUT_FILENO, isOwned: false, end: 0)
  }

  /// Opens a file for writing.
  /// - Parameter keeping: bytes of its present contents to keep; what follows them is cut off.
  /// - Throws: `PipelineError.write`.
  public convenience init(_ path: FilePath, keeping count: Int = 0) throws(PipelineError) {
    let descriptor = path.withPlatformString { open($0, O_WRONLY | O_CREAT | O_CLOEXEC, 0o666) }
    guard descriptor >= 0 else { throw .write(path: path, reason: systemErrorDescription()) }
    self.init(path: path, descriptor: descriptor, isOwned: true, end: count)
    if isRegular, ftruncate(descriptor, off_t(count)) != 0 || lseek(descriptor, off_t(count), SEEK_SET) < 0 {
      throw .write(path: path, reason: systemErrorDescription())
    }
  }

  private init(path: FilePath, descriptor: CInt, isOwned: Bool, end: Int) {
    self.path = path
    self.descriptor = descriptor
    self.isOwned = isOwned
    self.end = end
  }

  deinit {
    if isOwned { close(descriptor) }
  }

  private var isRegular: Bool {
    var status = stat()
    return isOwned && fstat(descriptor, &status) == 0 && status.isRegular
  }

  /// Appends a piece.
  /// - Throws: `PipelineError.closedPipe` where nobody reads any more, else `PipelineError.write`.
  func append(_ bytes: RawSpan) throws(PipelineError) {
    try write(bytes, at: nil)
    end += bytes.byteCount
  }

  func append(_ text: String) throws(PipelineError) {
    try append(Array(text.utf8).span.bytes)
  }

  /// Appends a line; the line end is added.
  public func append(line: String) throws(PipelineError) {
    try append(line + "\n")
  }

  /// Overwrites bytes that have been written before.
  func overwrite(_ bytes: RawSpan, at offset: Int) throws(PipelineError) {
    try write(bytes, at: offset)
  }

  private func write(_ span: RawSpan, at offset: Int?) throws(PipelineError) {
    try span.withUnsafeBytes { bytes throws(PipelineError) in try write(bytes, at: offset) }
  }

  private func write(_ bytes: UnsafeRawBufferPointer, at offset: Int?) throws(PipelineError) {
    var done = 0
    while done < bytes.count {
      guard let start = bytes.baseAddress?.advanced(by: done) else { return }
      let count =
        if let offset {
          pwrite(descriptor, start, bytes.count - done, off_t(offset + done))
        } else {
          systemWrite(descriptor, start, bytes.count - done)
        }
      if count > 0 {
        done += count
      } else if errno == EAGAIN {
        // A terminal or pipe that another program has made non-blocking.
        var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        poll(&request, 1, 1000)
      } else if errno != EINTR {
        let code = errno
        if code == EPIPE { throw .closedPipe }
        if offset == nil, isRegular, ftruncate(descriptor, off_t(end)) == 0 {
          lseek(descriptor, off_t(end), SEEK_SET)
        }
        throw .write(path: path, reason: systemErrorDescription(code))
      }
    }
  }
}
