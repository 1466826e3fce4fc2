import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The questions that opening a checkpoint asks of the file system.
enum FileSystem {
  static func exists(_ path: FilePath) -> Bool {
    mode(path) != nil
  }

  static func isDirectory(_ path: FilePath) -> Bool {
    mode(path).map { $0 & S_IFMT == S_IFDIR } ?? false
  }

  /// The names of the files in a folder that end in one of `endings`, sorted, without hidden ones.
  /// - Throws: `CheckpointError.unreadable` where the folder cannot be read.
  static func files(in folder: FilePath, endings: [String]) throws(CheckpointError) -> [String] {
    guard let directory = folder.withPlatformString({ opendir($0) }) else {
      throw .unreadable(path: folder, reason: Errno(rawValue: errno).description.lowercased())
    }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { name in
        name.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: name.pointee)) {
          String(cString: $0)
        }
      }
      guard !name.hasPrefix("."), endings.contains(where: name.hasSuffix(_:)),
        !isDirectory(folder.appending(name))
      else { continue }
      names.append(name)
    }
    return names.sorted()
  }

  private static func mode(_ path: FilePath) -> mode_t? {
    var status = stat()
    return path.withPlatformString { stat($0, &status) } == 0 ? status.st_mode : nil
  }
}
