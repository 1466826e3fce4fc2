import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The last system call's error in words, such as "no such file or directory".
func systemErrorDescription(_ code: CInt = errno) -> String {
  Errno(rawValue: code).description.lowercased()
}

/// What lies at a path, symbolic links followed; nil where nothing can be found there.
package func fileStatus(_ path: FilePath) -> stat? {
  var status = stat()
  return path.withPlatformString { stat($0, &status) } == 0 ? status : nil
}

/// The path, or the nearest folder above it that is there.
func nearestExisting(_ path: FilePath) -> FilePath {
  var place = path.isEmpty ? "." : path
  while fileStatus(place) == nil, errno == ENOENT, place.removeLastComponent() {
    if place.isEmpty { place = "." }
  }
  return place
}

/// The path from the root on; as it is where the working folder is gone.
package func absolute(_ path: FilePath) -> FilePath {
  guard path.isRelative, let folder = getcwd(nil, 0) else { return path }
  defer { free(folder) }
  return FilePath(platformString: folder).pushing(path)
}

/// A regular file, whatever its name: links are seen through.
package struct FileIdentity: Hashable {
  private let device: UInt64
  private let inode: UInt64

  package init?(_ path: FilePath) {
    guard let status = fileStatus(path), status.isRegular else { return nil }
    device = UInt64(truncatingIfNeeded: status.st_dev)
    inode = UInt64(truncatingIfNeeded: status.st_ino)
  }
}

extension stat {
  package var isDirectory: Bool { st_mode & S_IFMT == S_IFDIR }
  package var isRegular: Bool { st_mode & S_IFMT == S_IFREG }
}

/// `read`, with `errno` at 0 where it does not fail.
func systemRead(_ descriptor: CInt, _ buffer: UnsafeMutableRawPointer?, _ count: Int) -> Int {
  errno = 0
  return read(descriptor, buffer, count)
}

/// The first bytes of a file; nil where it has fewer or cannot be read.
func readStart(of path: FilePath, count: Int) -> [UInt8]? {
  let descriptor = path.withPlatformString { open($0, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }
  guard descriptor >= 0 else { return nil }
  defer { close(descriptor) }
  let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
    while filled < count {
      let step = systemRead(descriptor, buffer.baseAddress?.advanced(by: filled), count - filled)
      if step <= 0 { break }
      filled += step
    }
  }
  return bytes.count == count ? bytes : nil
}
