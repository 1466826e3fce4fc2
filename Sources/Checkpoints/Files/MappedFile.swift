import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A file mapped read-only into memory. The one place of this module that owns unsafe memory: the mapping lives as
/// long as the object, and `bytes(in:)` checks every range.
///
/// What others do to the file meanwhile cannot be kept from it. One that is cut short ends the process where its lost pages are read (see
/// `MappedFiles`); one that is written over shows new bytes, which `checkUnchanged` notices. A file that is replaced as a whole, by
/// renaming another over it, stays what it was.
public final class MappedFile: Sendable {
  public let path: FilePath
  /// What its readers hold it to.
  let limits: FileLimits
  /// Size of the file in bytes when it was mapped.
  public let count: Int
  private let address: UInt
  private let isMapped: Bool
  /// The file as it was when it was mapped; nil for memory.
  private let version: Version?

  /// A state of a file's contents.
  private struct Version: Equatable {
    let device: UInt64
    let inode: UInt64
    let size: Int
    let seconds: Int
    let nanoseconds: Int

    init(_ status: stat) {
      device = UInt64(truncatingIfNeeded: status.st_dev)
      inode = UInt64(truncatingIfNeeded: status.st_ino)
      size = Int(status.st_size)
      #if canImport(Darwin)
        let time = status.st_mtimespec
      #else
        let time = status.st_mtim
      #endif
      (seconds, nanoseconds) = (Int(time.tv_sec), Int(time.tv_nsec))
    }
  }

  /// Maps a regular file.
  /// - Parameter limits: what its readers hold it to.
  /// - Throws: `CheckpointError.unreadable` where it cannot be opened, is no regular file or is empty.
  public init(_ path: FilePath, limits: FileLimits = .standard) throws(CheckpointError) {
    func failure(_ reason: String) -> CheckpointError { .unreadable(path: path, reason: reason) }
    func failure(_ code: CInt) -> CheckpointError { failure(Errno(rawValue: code).description.lowercased()) }
    let descriptor = path.withPlatformString { open($0, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }
    guard descriptor >= 0 else { throw failure(errno) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw failure(errno) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw failure("not a regular file") }
    guard status.st_size > 0 else { throw failure("the file is empty") }
    let mapping = mmap(nil, Int(status.st_size), PROT_READ, MAP_PRIVATE, descriptor, 0)
    guard let mapping, mapping != MAP_FAILED else { throw failure(errno) }
    self.path = path
    self.limits = limits
    self.count = Int(status.st_size)
    self.address = UInt(bitPattern: mapping)
    self.isMapped = true
    version = Version(status)
    MappedFiles.add(address, count: count, path: path.string)
  }

  /// Takes memory for the contents of a file, so that fuzzing sees every read beyond its end.
  /// - Parameter bytes: at least one; must stay where they are while this object lives.
  package init(borrowing bytes: UnsafeRawBufferPointer, path: FilePath) {
    self.path = path
    limits = .standard
    self.count = bytes.count
    self.address = UInt(bitPattern: bytes.baseAddress)
    self.isMapped = false
    version = nil
  }

  /// Makes sure that what was read from the file so far is of one piece.
  /// - Throws: `CheckpointError.unreadable` where the file was written to since it was mapped.
  package func checkUnchanged() throws(CheckpointError) {
    var status = stat()
    guard let version, path.withPlatformString({ stat($0, &status) }) == 0 else { return }
    let now = Version(status)
    // Another file of that name is none of our business: the mapping is of the one that was there.
    guard now.device == version.device, now.inode == version.inode, now != version else { return }
    throw .unreadable(path: path, reason: "the file was changed while it was read")
  }

  /// All of the file's bytes.
  package var contents: TensorElements { TensorElements(bytes(in: 0..<count), owner: self) }

  deinit {
    guard isMapped else { return }
    MappedFiles.remove(address)
    munmap(UnsafeMutableRawPointer(bitPattern: address), count)
  }

  /// The bytes of a range, valid while this object lives.
  /// - Precondition: the range lies within `0..<count`.
  public func bytes(in range: Range<Int>) -> UnsafeRawBufferPointer {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "range \(range) of \(count) bytes")
    return UnsafeRawBufferPointer(
      start: UnsafeRawPointer(bitPattern: address + UInt(range.lowerBound)), count: range.count)
  }

  /// Takes the whole pages within the bytes out of memory.
  static func letGo(_ bytes: UnsafeRawBufferPointer) {
    let page = sysconf(CInt(_SC_PAGESIZE))
    guard let start = bytes.baseAddress, page > 0 else { return }
    let address = Int(bitPattern: start)
    let first = (address + page - 1) / page * page
    let end = (address + bytes.count) / page * page
    guard first < end else { return }
    madvise(UnsafeMutableRawPointer(bitPattern: first), end - first, MADV_DONTNEED)
  }
}
