import Synchronization
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A file that is there whole or not at all: written without a name, or where the file system has no such files under another one beside its
/// own, brought to the disk, then renamed. What is not committed goes away with the object; without a name, with the process too, however
/// that ends.
///
/// A file of the user's that is replaced hands its permissions on. Where a link is in the place, the file that it leads to is replaced, not
/// the link. A device or a pipe is written to as it is: to rename something over `/dev/null` would take it from everybody.
package final class AtomicFile {
  package let path: FilePath
  /// The file that will be replaced; nil where the path is that of no file, and is written to directly.
  private let target: FilePath?
  /// The name that it has before its own: where it cannot do without one, all the time; where it replaces another file, for a moment.
  private let temporary: FilePath
  private let isNameless: Bool
  private var descriptor: CInt
  /// How many files this process has begun: no two of them have the same temporary name.
  private static let begun = Atomic<Int>(0)
  /// Bytes written so far.
  package private(set) var count = 0

  /// - Throws: `CheckpointError.unwritable` where no file can be made in the folder.
  package init(_ path: FilePath) throws(CheckpointError) {
    self.path = path
    if FileSystem.isSpecial(path) {
      target = nil
      temporary = path
      isNameless = false
      descriptor = path.withPlatformString { open($0, O_WRONLY | O_CLOEXEC) }
    } else {
      let end = try FileSystem.followingLinks(path)
      target = end
      // Not the whole name, which may be as long as names can be.
      let name = String(decoding: (end.lastComponent?.string ?? "file").utf8.prefix(100), as: UTF8.self)
      let folder = end.removingLastComponent()
      temporary = folder.appending(
        ".\(name).\(getpid())-\(Self.begun.add(1, ordering: .relaxed).newValue).partial")
      let nameless = Self.openNameless(in: folder.isEmpty ? "." : folder)
      isNameless = nameless != nil
      descriptor =
        nameless
        ?? temporary.withPlatformString { open($0, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666) }
    }
    guard descriptor >= 0 else { throw Self.failure(path) }
    // Before anything is in it.
    if let target { takePermissions(of: target) }
  }

  deinit {
    guard descriptor >= 0 else { return }
    close(descriptor)
    if target != nil, !isNameless { _ = temporary.withPlatformString { unlink($0) } }
  }

  /// Writes a whole file.
  /// - Throws: `CheckpointError.unwritable`; what was there stays.
  package static func write(_ bytes: [UInt8], to path: FilePath) throws(CheckpointError) {
    let file = try AtomicFile(path)
    try file.write(bytes)
    try file.commit()
  }

  /// - Throws: `CheckpointError.unwritable` where the disk is full or fails.
  package func write(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
    var done = 0
    while done < bytes.count, let start = bytes.baseAddress {
      let step = systemWrite(descriptor, start + done, bytes.count - done)
      if step > 0 {
        done += step
      } else if errno != EINTR {
        throw Self.failure(path)
      }
    }
    count += bytes.count
  }

  package func write(_ bytes: [UInt8]) throws(CheckpointError) {
    try bytes.span.bytes.withUnsafeBytes { bytes throws(CheckpointError) in try write(bytes) }
  }

  /// Brings the file to the disk and gives it its name; one that was there is replaced.
  /// - Throws: `CheckpointError.unwritable`; what was there stays.
  package func commit() throws(CheckpointError) {
    guard let target else {
      let status = close(descriptor)
      descriptor = -1
      guard status == 0 else { throw Self.failure(path) }
      return
    }
    guard fsync(descriptor) == 0 else { throw Self.failure(path) }
    if isNameless {
      if link(to: target) {
        close(descriptor)
        descriptor = -1
        return
      }
      // A name that is taken can only be given by renaming. What has the temporary one was left by an earlier process of this number.
      guard errno == EEXIST else { throw Self.failure(path) }
      _ = temporary.withPlatformString { unlink($0) }
      guard link(to: temporary) else { throw Self.failure(path) }
    }
    let closed = close(descriptor)
    descriptor = -1
    let isDone =
      closed == 0
      && temporary.withPlatformString { from in target.withPlatformString { to in rename(from, to) } } == 0
    guard isDone else {
      let error = Self.failure(path)
      _ = temporary.withPlatformString { unlink($0) }
      throw error
    }
  }

  /// The permissions of the user's own file that will be replaced, and its group; where that cannot be had, none for the group. A file of
  /// somebody else's says nothing of who should read this one.
  private func takePermissions(of target: FilePath) {
    var status = stat()
    guard target.withPlatformString({ stat($0, &status) }) == 0, status.st_uid == geteuid() else { return }
    let hasGroup = fchown(descriptor, uid_t.max, status.st_gid) == 0
    _ = fchmod(descriptor, status.st_mode & (hasGroup ? 0o777 : 0o707))
  }

  /// A file in a folder that has no name there yet; nil where the system or the file system does not know such files.
  private static func openNameless(in folder: FilePath) -> CInt? {
    #if os(Linux)
      // O_TMPFILE, which is not imported. Its name is given through /proc.
      let flags = O_WRONLY | O_CLOEXEC | O_DIRECTORY | 0o20_000_000
      guard access("/proc/self/fd", X_OK) == 0 else { return nil }
      let descriptor = folder.withPlatformString { open($0, flags, 0o666) }
      return descriptor >= 0 ? descriptor : nil
    #else
      return nil
    #endif
  }

  /// Gives the file without a name one; fails where that is taken.
  private func link(to name: FilePath) -> Bool {
    FilePath("/proc/self/fd/\(descriptor)").withPlatformString { place in
      name.withPlatformString { linkat(AT_FDCWD, place, AT_FDCWD, $0, AT_SYMLINK_FOLLOW) == 0 }
    }
  }

  private static func failure(_ path: FilePath) -> CheckpointError {
    .unwritable(path: path, reason: Errno(rawValue: errno).description.lowercased())
  }
}
