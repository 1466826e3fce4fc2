import Foundation
import SystemPackage

/// A folder that goes away with the object.
public final class TemporaryFolder: Sendable {
  public let path: FilePath

  public init() throws {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("vitrine-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    path = FilePath(url.path)
  }

  deinit {
    try? FileManager.default.removeItem(atPath: path.string)
  }

  /// Writes a file into the folder and returns its path; folders in its name are made.
  @discardableResult
  public func write(_ bytes: some Sequence<UInt8>, to name: String) throws -> FilePath {
    let file = path.appending(name)
    try FileManager.default.createDirectory(
      atPath: file.removingLastComponent().string, withIntermediateDirectories: true)
    // A new file: some file systems wait for the disk when an old one is cut to nothing and written again.
    try? FileManager.default.removeItem(atPath: file.string)
    try Data(bytes).write(to: URL(fileURLWithPath: file.string))
    return file
  }

  @discardableResult
  public func write(_ text: String, to name: String) throws -> FilePath { try write(text.utf8, to: name) }

  /// Copies a file or folder into the folder.
  @discardableResult
  public func copy(_ source: FilePath, to name: String) throws -> FilePath {
    let target = path.appending(name)
    try FileManager.default.createDirectory(
      atPath: target.removingLastComponent().string, withIntermediateDirectories: true)
    try FileManager.default.copyItem(atPath: source.string, toPath: target.string)
    return target
  }
}
