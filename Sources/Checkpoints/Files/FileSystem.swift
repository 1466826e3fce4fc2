import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What opening a checkpoint, or writing files, asks of the file system.
package enum FileSystem {
  package static func exists(_ path: FilePath) -> Bool {
    mode(path) != nil
  }

  static func isDirectory(_ path: FilePath) -> Bool {
    mode(path).map { $0 & S_IFMT == S_IFDIR } ?? false
  }

  /// Whether there is something at a path that is no file, and no folder either: a device, a pipe, a socket.
  static func isSpecial(_ path: FilePath) -> Bool {
    mode(path).map { $0 & S_IFMT != S_IFREG && $0 & S_IFMT != S_IFDIR } ?? false
  }

  /// Makes a folder, and those that it lies in, where they are not there yet.
  /// - Throws: `CheckpointError.unwritable`.
  package static func makeFolder(_ folder: FilePath) throws(CheckpointError) {
    if folder.isEmpty || isDirectory(folder) { return }
    try makeFolder(folder.removingLastComponent())
    guard folder.withPlatformString({ mkdir($0, 0o777) }) == 0 || errno == EEXIST else {
      throw .unwritable(path: folder, reason: Errno(rawValue: errno).description.lowercased())
    }
    guard isDirectory(folder) else {
      throw .unwritable(path: folder, reason: "it is there already, and no folder")
    }
  }

  /// The path that a symbolic link leads to, links on the way followed, whether there is something or not; the path itself where it is
  /// no link.
  /// - Throws: `CheckpointError.unwritable` where links lead in a circle.
  static func followingLinks(_ path: FilePath) throws(CheckpointError) -> FilePath {
    var end = path
    // As many as Linux follows.
    for _ in 0...40 {
      guard let link = readLink(end) else { return end }
      end = end.removingLastComponent().pushing(link)
    }
    throw .unwritable(path: path, reason: Errno.tooManySymbolicLinkLevels.description.lowercased())
  }

  private static func readLink(_ path: FilePath) -> FilePath? {
    // One more than is read, so that a NUL follows.
    var bytes = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
    guard path.withPlatformString({ readlink($0, &bytes, Int(PATH_MAX)) }) > 0 else { return nil }
    return bytes.withUnsafeBufferPointer { buffer in buffer.baseAddress.map { FilePath(platformString: $0) } }
  }

  /// The names of the files in a folder that end in one of `endings`, sorted, without hidden ones.
  /// - Throws: `CheckpointError.unreadable` where the folder cannot be read.
  static func files(in folder: FilePath, endings: [String]) throws(CheckpointError) -> [String] {
    try names(in: folder) { name in
      endings.contains(where: name.hasSuffix(_:)) && !isDirectory(folder.appending(name))
    }
  }

  /// The names of the folders in a folder, sorted, without hidden ones.
  /// - Throws: `CheckpointError.unreadable` where the folder cannot be read.
  static func folders(in folder: FilePath) throws(CheckpointError) -> [String] {
    try names(in: folder) { isDirectory(folder.appending($0)) }
  }

  private static func names(
    in folder: FilePath, where isWanted: (String) -> Bool
  ) throws(CheckpointError) -> [String] {
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
      if !name.hasPrefix("."), isWanted(name) { names.append(name) }
    }
    return names.sorted()
  }

  private static func mode(_ path: FilePath) -> mode_t? {
    var status = stat()
    return path.withPlatformString { stat($0, &status) } == 0 ? status.st_mode : nil
  }
}

/// `write`, under a name that methods called `write` do not hide.
package func systemWrite(_ descriptor: CInt, _ buffer: UnsafeRawPointer?, _ count: Int) -> Int {
  write(descriptor, buffer, count)
}
