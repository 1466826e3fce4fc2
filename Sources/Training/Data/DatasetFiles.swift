import Checkpoints
import Images
import Pipeline
import SystemPackage
import VisionTransformer

/// The files of a data set: a folder, or an archive of one. Paths are relative to it.
protocol DatasetFiles: Sendable {
  var path: FilePath { get }
  /// The names in a folder, in the order of their bytes; hidden ones are left out.
  func list(_ folder: FilePath) throws -> FolderContents
  /// The images in a folder and those below it, by their names' extensions, in the order of their names.
  func images(in folder: FilePath) throws -> [FilePath]
  /// The bytes of files.
  func contents(of files: [FilePath]) throws -> [TensorElements]
  /// What reads the images of these files.
  func reader(of images: PathTable, options: DecodingOptions) throws -> ImageReader
}

struct FolderContents {
  var folders: [String] = []
  var files: [String] = []
}

/// Reads the images of a data set, by their index. With a transform there may be fewer pixels than in the file, where the options
/// allow it.
typealias ImageReader = @Sendable (_ index: Int, _ transform: EvaluationTransform?) throws -> DecodedImage

extension DatasetFiles {
  /// The lines of a text file; nil where there is no such file in the folder.
  func lines(of name: String, in folder: FilePath, listing: FolderContents) throws -> [String]? {
    guard listing.files.contains(name), let bytes = try contents(of: [folder.appending(name)]).first else {
      return nil
    }
    let text = bytes.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    return text.split(whereSeparator: \.isNewline).map { $0.trimmingSpaces }.filter { !$0.isEmpty }
  }
}

extension StringProtocol {
  /// The text without white space around it.
  var trimmingSpaces: String {
    let start = drop { $0.isWhitespace }
    return String(
      start[..<(start.lastIndex { !$0.isWhitespace }.map { start.index(after: $0) } ?? start.startIndex)])
  }
}

/// Millions of paths in a few arrays.
struct PathTable: Sendable {
  private var bytes: [UInt8] = []
  private var ends: [Int] = []

  init(_ paths: some Sequence<FilePath> = []) {
    for path in paths { append(path) }
  }

  var count: Int { ends.count }

  mutating func append(_ path: FilePath) {
    path.withPlatformString { text in
      var index = 0
      while text[index] != 0 {
        bytes.append(UInt8(bitPattern: text[index]))
        index += 1
      }
    }
    ends.append(bytes.count)
  }

  subscript(index: Int) -> FilePath {
    let start = index == 0 ? 0 : ends[index - 1]
    let text = bytes[start..<ends[index]].map { CChar(bitPattern: $0) } + [0]
    return text.withUnsafeBufferPointer { text in
      text.baseAddress.map { FilePath(platformString: $0) } ?? FilePath()
    }
  }
}

// MARK: - Folders

/// A folder of the file system.
struct FolderFiles: DatasetFiles {
  let path: FilePath

  func list(_ folder: FilePath) throws -> FolderContents {
    let folder = path.pushing(folder)
    var listing = DirectoryListing(folder)
    var contents = FolderContents()
    do {
      while let entry = try listing.next() {
        let name = String(decoding: entry.name, as: UTF8.self)
        switch entry.kind {
        case .folder: contents.folders.append(name)
        case .file: contents.files.append(name)
        case .other: break
        case .unknown:
          guard let status = fileStatus(folder.appending(bytes: entry.name)) else { continue }
          if status.isDirectory { contents.folders.append(name) } else { contents.files.append(name) }
        }
      }
    } catch {
      throw DatasetError.unreadable(path: folder, reason: "\(error)")
    }
    return contents
  }

  func images(in folder: FilePath) throws -> [FilePath] {
    let root = path.pushing(folder)
    var walker = PathWalker([root])
    var images: [FilePath] = []
    while let input = walker.next() {
      if input.error == .noImages { return [] }
      if let error = input.error { throw DatasetError.unreadable(path: input.path, reason: "\(error)") }
      var relative = input.path
      _ = relative.removePrefix(path)
      images.append(relative)
    }
    return images
  }

  func contents(of files: [FilePath]) throws -> [TensorElements] {
    try files.map { try MappedFile(path.pushing($0)).contents }
  }

  func reader(of images: PathTable, options: DecodingOptions) -> ImageReader {
    { [path] index, transform in
      try DecodedImage(contentsOf: path.pushing(images[index]), options: options, for: transform)
    }
  }
}

// MARK: - Archives

/// A tar archive. Of a compressed one, the images that are asked for are kept in memory as they are encoded.
struct ArchiveFiles: DatasetFiles {
  let path: FilePath
  private let archive: TarArchive
  private let folders: [String: Folder]
  /// Bytes of images that memory may hold.
  private let memoryLimit: Int

  private struct Folder {
    var folders: Set<String> = []
    /// By name: the member's index.
    var files: [String: Int] = [:]
  }

  init(_ archive: TarArchive, memoryLimit: Int = Machine.memoryBytes / 2) {
    path = archive.path
    self.memoryLimit = memoryLimit
    self.archive = archive
    var folders: [String: Folder] = ["": Folder()]
    for (index, member) in archive.members.enumerated() {
      let parts = member.name.split(separator: "/").filter { $0 != "." }
      guard let name = parts.last, !parts.contains(where: { $0.hasPrefix(".") }) else { continue }
      var folder = ""
      for part in parts.dropLast() {
        folders[folder, default: Folder()].folders.insert(String(part))
        folder += folder.isEmpty ? String(part) : "/" + part
      }
      // As when an archive is unpacked, the last of several files of one name stays.
      folders[folder, default: Folder()].files[String(name)] = index
    }
    self.folders = folders
  }

  func list(_ folder: FilePath) -> FolderContents {
    let folder = folders[folder.string] ?? Folder()
    return FolderContents(folders: Self.sorted(folder.folders), files: Self.sorted(folder.files.keys))
  }

  private static func sorted(_ names: some Sequence<String>) -> [String] {
    names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  func images(in folder: FilePath) -> [FilePath] {
    let contents = list(folder)
    let files = Set(contents.files)
    return Self.sorted(contents.files + contents.folders).flatMap { name -> [FilePath] in
      let path = folder.appending(name)
      guard files.contains(name) else { return images(in: path) }
      let isImage = PathWalker.imageExtensions.contains(path.extension?.lowercased() ?? "")
      return isImage ? [path] : []
    }
  }

  private func member(_ file: FilePath) throws(DatasetError) -> TarArchive.Member {
    let folder = folders[file.removingLastComponent().string]
    guard let index = folder?.files[file.lastComponent?.string ?? ""] else {
      throw .unreadable(path: path, reason: "there is no \(file) in the archive")
    }
    return archive.members[index]
  }

  func contents(of files: [FilePath]) throws -> [TensorElements] {
    let members = try files.map(member)
    let bytes = members.reduce(0) { $0.addingReportingOverflow($1.size).partialValue }
    guard archive.isPlain || (0...memoryLimit).contains(bytes) else {
      throw DatasetError.archiveTooLarge(path: path, bytes: bytes, limit: memoryLimit)
    }
    return try archive.contents(of: members)
  }

  func reader(of images: PathTable, options: DecodingOptions) throws -> ImageReader {
    let contents = try contents(of: (0..<images.count).map { images[$0] })
    return { index, transform in
      try DecodedImage(
        decoding: contents[index].withUnsafeBytes { Array($0) }, options: options, for: transform)
    }
  }
}
