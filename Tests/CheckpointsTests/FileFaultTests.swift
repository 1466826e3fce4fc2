import Checkpoints
import Foundation
import SystemPackage
import TestSupport
import Testing

/// Files that others write to while they are read, and limits that they are held to.
@Suite struct FileFaultTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
  }

  @discardableResult
  private func writeModel(_ values: [Float] = [1, 2, 3]) throws -> FilePath {
    try folder.write(SafetensorsBuilder.file([.init("a", shape: [3], values)]), to: "model.safetensors")
  }

  /// Written over in place, the file would be half the one and half the other.
  @Test func changedWhileItIsRead() throws {
    let path = try writeModel()
    let container = try Checkpoint(path).container
    try container.checkUnchanged()
    // The clock of a file system may be slow.
    usleep(20_000)
    let handle = try #require(FileHandle(forWritingAtPath: path.string))
    try handle.write(contentsOf: Data([0]))
    try handle.close()
    let error = #expect(throws: CheckpointError.self) { try container.checkUnchanged() }
    #expect("\(try #require(error))" == "\(path): the file was changed while it was read")
  }

  /// Replaced as a whole, it is another file: what was opened stays as it was.
  @Test func replacedWhileItIsRead() throws {
    let path = try writeModel()
    let container = try Checkpoint(path).container
    let other = try folder.write(SafetensorsBuilder.file([.init("a", shape: [1], [9])]), to: "other")
    #expect(other.withPlatformString { from in path.withPlatformString { rename(from, $0) } } == 0)
    try container.checkUnchanged()
    let tensor = try #require(container.tensors["a"])
    #expect(
      try container.elements(of: tensor).withUnsafeBytes { Array($0.bindMemory(to: Float.self)) } == [
        1, 2, 3,
      ])
    try folder.write("", to: "model.safetensors")
    try container.checkUnchanged()
  }

  private func failure(_ path: FilePath, _ limit: FileLimits.Limit?, _ value: Int = 0) -> String {
    var limits = FileLimits()
    if let limit { limits[limit] = value }
    do {
      _ = try Checkpoint(path, limits: limits)
      return ""
    } catch {
      return "\(error)"
    }
  }

  @Test func limitsOfSafetensors() throws {
    let name = String(repeating: "n", count: 1025)
    let long = try folder.write(
      SafetensorsBuilder.file([.init(name, shape: [1], [1])]), to: "long.safetensors")
    #expect(
      failure(long, nil).hasSuffix(
        "a string of more than 1024 bytes; if you trust the file, raise the limit with --limit text-bytes=N"))
    #expect(failure(long, .textBytes, 1025) == "")
    let many = try folder.write(
      SafetensorsBuilder.file((0...1 << 14).map { .init("\($0)", shape: [0], []) }), to: "many.safetensors")
    #expect(
      failure(many, nil).contains(
        "more than 16384 tensors; if you trust the file, raise the limit with --limit tensors=N"))
    #expect(failure(many, .tensors, 16385) == "")
    #expect(
      failure(many, .headerBytes, 1000).contains(
        "above 1000; if you trust the file, raise the limit with --limit header-bytes=N"))
  }

  @Test func limitsOfJSON() throws {
    try writeModel()
    for (depth, fails) in [(99, false), (100, true)] {
      let nested = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
      try folder.write("{\"x\":\(nested)}", to: "config.json")
      let message = failure(folder.path, nil)
      #expect(
        message.hasSuffix(
          "more than 100 values are nested in one another; if you trust the file, raise the limit with --limit depth=N"
        )
          == fails, "\(message)")
      #expect(failure(folder.path, .depth, 1000) == "")
    }
    try folder.write("{\"x\":\"\(String(repeating: "y", count: 16 << 20))\"}", to: "config.json")
    #expect(
      failure(folder.path, nil).contains(
        "too many for a configuration file; if you trust the file, raise the limit with --limit header-bytes=N"
      ))
    #expect(failure(folder.path, .headerBytes, 32 << 20) == "")
  }

  @Test func limitsOfPyTorchFiles() throws {
    let archive = Fixtures.folder.appending("containers/pytorch/plain-protocol-2.pth")
    #expect(failure(archive, nil) == "")
    #expect(failure(archive, .tensors, 1).contains("--limit tensors=N"))
    #expect(failure(archive, .headerBytes, 10).contains("--limit header-bytes=N"))
    #expect(failure(archive, .textBytes, 1).contains("--limit text-bytes=N"))
  }
}

extension FileFaultTests {
  /// A name as long as names can be leaves no room for another one beside it.
  @Test func longNames() throws {
    let path = folder.path.appending(String(repeating: "x", count: 255))
    try AtomicFile.write([1, 2, 3], to: path)
    #expect(try Data(contentsOf: URL(fileURLWithPath: path.string)) == Data([1, 2, 3]))
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path.string).count == 1)
  }

  /// A file of the user's that is replaced hands its permissions on, and before there is anything in it.
  @Test(arguments: [0o600, 0o664, 0o640]) func permissions(_ mode: Int) throws {
    let path = try folder.write("old", to: "file")
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path.string)
    try AtomicFile.write([1, 2, 3], to: path)
    let attributes = try FileManager.default.attributesOfItem(atPath: path.string)
    #expect(attributes[.posixPermissions] as? Int == mode && attributes[.size] as? Int == 3)
    guard geteuid() == 0 else { return }
    // Somebody else's, which only root can make here.
    try FileManager.default.setAttributes([.ownerAccountID: 12_345], ofItemAtPath: path.string)
    try FileManager.default.setAttributes([.posixPermissions: 0o666], ofItemAtPath: path.string)
    try AtomicFile.write([1], to: path)
    let own = try FileManager.default.attributesOfItem(atPath: path.string)
    #expect(own[.posixPermissions] as? Int == 0o644 && own[.ownerAccountID] as? Int == 0)
  }

  /// What is not committed leaves nothing behind.
  @Test func notCommitted() throws {
    let path = try folder.write("old", to: "file")
    do {
      let file = try AtomicFile(path)
      try file.write([1, 2, 3])
    }
    #expect(try String(contentsOfFile: path.string, encoding: .utf8) == "old")
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path.string) == ["file"])
  }
}
