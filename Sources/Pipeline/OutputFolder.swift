import Checkpoints
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A folder that a run writes files to for each of its inputs, named like these.
///
/// What was found in a folder below one that was given lies in the same folder below this one. Where two inputs would have the same
/// name, the later one gets a number, so that nothing of this run is written over; files of earlier runs are. A name so long that what
/// is added to it would not fit is cut.
public struct OutputFolder {
  public let path: FilePath
  /// What was given on the command line: files, and folders that were recursed.
  private let roots: [FilePath]
  /// Hashes of the names that are taken: names themselves would take ten times the memory in a run over millions of images, and
  /// two of the same hash cost no more than a needless number.
  private var taken: Set<Int> = []

  /// Makes the folder where it is not there.
  /// - Throws: `PipelineError.write` where that is not possible or nothing can be written to it, `PipelineError.overwrites` where it lies
  ///   in a folder that is recursed, which would find the run's own files.
  public init(_ path: FilePath, inputs: [FilePath]) throws(PipelineError) {
    self.path = path
    roots = inputs.map { $0.lexicallyNormalized() }
    for root in inputs where fileStatus(root)?.isDirectory == true {
      if Self.lies(path, in: root) {
        throw .overwrites(path: path, what: "within \(root), whose images are read")
      }
    }
    try Self.make(path)
    guard path.withPlatformString({ access($0, W_OK | X_OK) }) == 0 else {
      throw .write(path: path, reason: systemErrorDescription())
    }
  }

  /// A file's name without its ending, for an input, its folder made.
  /// - Returns: the path, and whether a number was added since the name was taken.
  /// - Throws: `PipelineError.write` where the folder cannot be made.
  public mutating func stem(for input: FilePath) throws(PipelineError) -> (path: FilePath, isNumbered: Bool) {
    let relative = Self.relative(input.lexicallyNormalized(), to: roots)
    let folder = path.appending(relative.removingLastComponent().components)
    if relative.components.count > 1 { try Self.make(folder) }
    let name = Self.stem(of: relative.lastComponent.map { FilePath(root: nil, [$0]).bytes } ?? [])
    var (stem, number) = (folder.appending(bytes: name), 1)
    while !taken.insert(stem.hashValue).inserted {
      number += 1
      stem = folder.appending(bytes: name + "-\(number)".utf8)
    }
    return (stem, number > 1)
  }

  /// Of the 255 bytes that a name may have, 95 are left to what is added.
  private static let longestStem = 160

  /// A file's name without its ending, cut between characters where it is too long.
  private static func stem(of name: [UInt8]) -> [UInt8] {
    let dot = name.lastIndex(of: UInt8(ascii: ".")) ?? 0
    let stem = dot > 0 ? name[..<dot] : name[...]
    guard stem.count > longestStem else { return stem.isEmpty ? Array("image".utf8) : Array(stem) }
    let isContinuation = { (byte: UInt8) in byte & 0xC0 == 0x80 }
    let end = (0...longestStem).last { !isContinuation(stem[$0]) } ?? longestStem
    return Array(stem[..<end])
  }

  /// The path below the folder that it was found in; the name alone of a file that was given.
  private static func relative(_ input: FilePath, to roots: [FilePath]) -> FilePath {
    var rest = input
    let root = roots.filter { input.starts(with: $0) && $0 != input }.max {
      $0.components.count < $1.components.count
    }
    if let root, rest.removePrefix(root) { return rest }
    return FilePath(root: nil, [input.lastComponent].compactMap { $0 })
  }

  /// Makes a folder and those that it lies in.
  private static func make(_ folder: FilePath) throws(PipelineError) {
    do {
      try FileSystem.makeFolder(folder)
    } catch {
      guard case .unwritable(let path, let reason) = error else {
        throw .write(path: folder, reason: "\(error)")
      }
      throw .write(path: path, reason: reason)
    }
  }

  /// Whether a folder, which need not be there yet, is another or lies in it, links seen through.
  private static func lies(_ folder: FilePath, in root: FilePath) -> Bool {
    func real(_ path: FilePath) -> FilePath? {
      path.withPlatformString { path in
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return FilePath(platformString: resolved)
      }
    }
    guard let folder = real(nearestExisting(folder)), let root = real(root) else { return false }
    return folder.starts(with: root)
  }
}
