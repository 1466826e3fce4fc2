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

/// `write`, under a name that methods called `write` do not hide.
func systemWrite(_ descriptor: CInt, _ buffer: UnsafeRawPointer, _ count: Int) -> Int {
  write(descriptor, buffer, count)
}
