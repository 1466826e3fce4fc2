import Images
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// One input of a run: an image to read, or something that turned out to be none.
public struct Input: Sendable {
  public let path: FilePath
  public let error: InputError?
  /// What gives the image where it is not the file at the path.
  let load: (@Sendable () throws -> DecodedImage)?

  init(path: FilePath, error: InputError?) {
    self.path = path
    self.error = error
    load = nil
  }

  /// An image that somebody else reads, such as one of a data set.
  /// - Parameters:
  ///   - name: what the image is called in results and messages.
  ///   - load: reads it; called at most once, by any thread.
  public init(named name: FilePath, load: @escaping @Sendable () throws -> DecodedImage) {
    path = name
    error = nil
    self.load = load
  }
}

/// Finds images: files as they are given, folders recursed in the order of their names' bytes, lists of paths from standard
/// input. Lazy: what has not been asked for has not been looked at.
///
/// In folders, files count as images by their extension; hidden entries are passed over. Symbolic links are followed, but not in
/// circles.
public struct PathWalker: IteratorProtocol {
  /// Extensions of the formats that are read, and of those that are images too, so that these are named as not readable
  /// rather than passed over.
  package static let imageExtensions: Set<String> = [
    "jpg", "jpeg", "jpe", "jfif", "png", "apng", "gif", "bmp", "webp", "tif", "tiff", "heic", "heif", "avif",
    "jp2", "jxl",
    "ppm", "pgm", "pnm",
  ]

  /// Files in folders that were passed over for their extension.
  public private(set) var skippedCount = 0
  /// Why the list on standard input ended early, if it did.
  public private(set) var listError: String?
  private var sources: [Source]
  private var folders: [Folder] = []
  /// The folder that was given, and whether an image was found in it.
  private var root: (path: FilePath, found: Bool)?
  private var list: PathList?
  private let makeList: () -> PathList

  private enum Source {
    case path(FilePath)
    case standardInput
  }

  /// A folder being read, and its identity, by which circles are noticed.
  private struct Folder {
    var listing: DirectoryListing
    let device: UInt64
    let inode: UInt64
  }

  /// - Parameters:
  ///   - paths: files and folders; `-` stands for a list of paths on standard input.
  ///   - isNullSeparated: whether that list is separated by NUL bytes instead of line ends.
  ///   - cancellation: ends the wait for a list that is slow in coming.
  public init(_ paths: [FilePath], isNullSeparated: Bool = false, cancellation: Cancellation = Cancellation())
  {
    sources = paths.map { $0.string == "-" ? .standardInput : .path($0) }.reversed()
    let separator = isNullSeparated ? 0 : UInt8(ascii: "\n")
    makeList = { PathList(descriptor: STDIN_FILENO, separator: separator, cancellation: cancellation) }
  }

  /// Whether a path is no folder, so that there is one input at most.
  public static func isFile(_ path: FilePath) -> Bool { fileStatus(path)?.isDirectory != true }

  /// The next input; nil at the end.
  public mutating func next() -> Input? {
    while true {
      if !folders.isEmpty {
        if let input = nextInFolder() { return input }
        continue
      }
      if let finished = root {
        root = nil
        if !finished.found { return Input(path: finished.path, error: .noImages) }
      }
      if list != nil {
        guard let path = list?.next() else {
          listError = list?.error
          list = nil
          continue
        }
        if let input = open(path) { return input }
        continue
      }
      switch sources.popLast() {
      case nil: return nil
      case .standardInput: list = makeList()
      case .path(let path): if let input = open(path) { return input }
      }
    }
  }

  /// A given path: itself where it is no folder.
  private mutating func open(_ path: FilePath) -> Input? {
    guard let status = fileStatus(path), status.isDirectory else { return Input(path: path, error: nil) }
    root = (path, false)
    enter(path, status)
    return nil
  }

  private mutating func enter(_ path: FilePath, _ status: stat) {
    folders.append(
      Folder(
        listing: DirectoryListing(path), device: UInt64(truncatingIfNeeded: status.st_dev),
        inode: UInt64(truncatingIfNeeded: status.st_ino)))
  }

  /// The next image of the innermost folder; nil after a step that brought none.
  private mutating func nextInFolder() -> Input? {
    let top = folders.count - 1
    let folder = folders[top].listing.path
    let entry: DirectoryListing.Entry?
    do {
      entry = try folders[top].listing.next()
    } catch {
      folders.removeLast()
      root?.found = true
      return Input(path: folder, error: error)
    }
    guard let entry else {
      folders.removeLast()
      return nil
    }
    let path = folder.appending(bytes: entry.name)
    switch entry.kind {
    case .file: return image(path)
    case .other: return nil
    case .folder, .unknown:
      guard let status = fileStatus(path) else {
        if entry.kind == .folder {
          root?.found = true
          return Input(path: path, error: .unreadableFolder(reason: systemErrorDescription()))
        }
        // A dangling link is worth a word only where it looks like an image.
        return image(path)
      }
      guard status.isDirectory else { return status.isRegular ? image(path) : nil }
      // A link back to a folder that is being read leads to nothing that is not read anyway.
      let isLoop = folders.contains {
        $0.device == UInt64(truncatingIfNeeded: status.st_dev)
          && $0.inode == UInt64(truncatingIfNeeded: status.st_ino)
      }
      if !isLoop { enter(path, status) }
      return nil
    }
  }

  private mutating func image(_ path: FilePath) -> Input? {
    guard let suffix = path.extension, Self.imageExtensions.contains(suffix.lowercased()) else {
      skippedCount += 1
      return nil
    }
    root?.found = true
    return Input(path: path, error: nil)
  }
}

extension FilePath {
  /// The path as the system has it.
  package var bytes: [UInt8] {
    withPlatformString { start in
      var length = 0
      while start[length] != 0 { length += 1 }
      return UnsafeBufferPointer(start: start, count: length).map { UInt8(bitPattern: $0) }
    }
  }

  /// A path as the system has it.
  /// - Parameter bytes: without NUL.
  package init(bytes: some Sequence<UInt8>) {
    self = (bytes.map { CChar(bitPattern: $0) } + [0]).withUnsafeBufferPointer { buffer in
      buffer.baseAddress.map { FilePath(platformString: $0) } ?? FilePath()
    }
  }

  /// The path of an entry of this folder, whose name need not be UTF-8.
  package func appending(bytes name: [UInt8]) -> FilePath { appending(FilePath(bytes: name).components) }
}

/// A list of paths, read piece by piece.
package struct PathList {
  private let descriptor: CInt
  private let separator: UInt8
  private let cancellation: Cancellation
  /// Why the list ended early, if it did.
  package private(set) var error: String?
  private var buffer: [UInt8] = []
  private var start = 0
  /// Bytes in which no separator was found.
  private var scanned = 0
  private var isAtEnd = false

  /// Several times what any system takes for a path.
  private static let longestPath = 65_536

  package init(descriptor: CInt, separator: UInt8, cancellation: Cancellation = Cancellation()) {
    self.descriptor = descriptor
    self.separator = separator
    self.cancellation = cancellation
  }

  /// The next path; empty ones are passed over.
  package mutating func next() -> FilePath? {
    while true {
      if let end = buffer[max(start, scanned)...].firstIndex(of: separator) {
        let entry = buffer[start..<end]
        start = end + 1
        if let path = path(entry) { return path }
      } else if isAtEnd {
        let entry = buffer[start...]
        start = buffer.count
        return path(entry)
      } else if buffer.count - start > Self.longestPath {
        stop("an entry is longer than \(Self.longestPath) bytes; is the separator right?")
      } else {
        scanned = buffer.count
        read()
      }
      if error != nil { return nil }
    }
  }

  private mutating func stop(_ reason: String) {
    error = reason
    isAtEnd = true
    start = buffer.count
  }

  private mutating func path(_ bytes: ArraySlice<UInt8>) -> FilePath? {
    guard !bytes.isEmpty else { return nil }
    guard !bytes.contains(0) else {
      stop("it is separated by NUL bytes; give --null")
      return nil
    }
    return FilePath(bytes: bytes)
  }

  /// Adds what has arrived to the buffer; waits for it in short turns, between which the run may be cancelled.
  private mutating func read() {
    buffer.removeSubrange(..<start)
    scanned = max(0, scanned - start)
    start = 0
    var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    while true {
      let ready = poll(&request, 1, 100)
      if ready > 0 || (ready < 0 && errno != EINTR) { break }
      if cancellation.isCancelled {
        isAtEnd = true
        return
      }
    }
    let chunkSize = 65_536
    let chunk = [UInt8](unsafeUninitializedCapacity: chunkSize) { bytes, count in
      count = max(0, systemRead(descriptor, bytes.baseAddress, chunkSize))
    }
    buffer += chunk
    if chunk.isEmpty {
      if errno != 0, errno != EINTR { error = systemErrorDescription() }
      isAtEnd = true
    }
  }
}
