import Foundation
import Pipeline
import SystemPackage
import TestSupport
import Testing

@Suite struct OutputFolderTests {
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
  }

  private func names(_ inputs: [FilePath], roots: [FilePath]) throws -> [String] {
    let output = folder.path.appending("out")
    var names = try OutputFolder(output, inputs: roots)
    return try inputs.map { input in
      var stem = try names.stem(for: input).path
      _ = stem.removePrefix(output)
      return stem.string
    }
  }

  @Test func namesOfInputs() throws {
    let photos = folder.path.appending("photos")
    #expect(
      try names(
        [
          photos.appending("a.jpg"), photos.appending("cat/b.tar.png"), "elsewhere/c",
          photos.appending("cat/d.JPG"),
        ],
        roots: [photos, "elsewhere/c"]) == ["a", "cat/b.tar", "c", "cat/d"])
    #expect(FileManager.default.fileExists(atPath: folder.path.appending("out/cat").string))
  }

  @Test func takenNamesGetNumbers() throws {
    let inputs: [FilePath] = ["x/a.jpg", "y/a.jpg", "y/a.png", "z/a-2.jpg", "x/b.jpg"]
    #expect(try names(inputs, roots: inputs) == ["a", "a-2", "a-3", "a-2-2", "b"])
    var output = try OutputFolder(folder.path.appending("out"), inputs: inputs)
    #expect(try inputs.map { try output.stem(for: $0).isNumbered } == [false, true, true, true, false])
  }

  @Test func foldersThatCannotBe() throws {
    let file = try folder.write("x", to: "file")
    for path in [file, file.appending("below"), "/proc/nowhere/at/all"] {
      #expect(throws: PipelineError.self) { try OutputFolder(path, inputs: []) }
    }
    // A walk would find what the run writes.
    let photos = try folder.write("x", to: "photos/a.jpg").removingLastComponent()
    for path in [photos, photos.appending("maps/deep")] {
      let error = #expect(throws: PipelineError.self) { try OutputFolder(path, inputs: [photos]) }
      #expect("\(try #require(error))".contains("whose images are read"))
    }
    // What is refused leaves nothing behind.
    #expect(!FileManager.default.fileExists(atPath: photos.appending("maps").string))
    _ = try OutputFolder(photos, inputs: [photos.appending("a.jpg")])
    _ = try OutputFolder(folder.path.appending("photos-maps"), inputs: [photos])
  }
}
