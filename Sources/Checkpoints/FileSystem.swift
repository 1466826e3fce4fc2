import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The two questions that opening a checkpoint asks of the file system.
enum FileSystem {
  static func exists(_ path: FilePath) -> Bool {
    mode(path) != nil
  }

  static func isDirectory(_ path: FilePath) -> Bool {
    mode(path).map { $0 & S_IFMT == S_IFDIR } ?? false
  }

  private static func mode(_ path: FilePath) -> mode_t? {
    var status = stat()
    return path.withPlatformString { stat($0, &status) } == 0 ? status.st_mode : nil
  }
}
