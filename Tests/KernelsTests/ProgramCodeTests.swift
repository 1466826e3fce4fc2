#if os(Linux)
  import Kernels
  import Testing

  #if canImport(FoundationEssentials)
    import FoundationEssentials
  #else
    import Foundation
  #endif

  struct ProgramCodeTests {
    @Test func codeLeavesMemoryAndComesBack() throws {
      let before = try pagesOfFiles()
      // Fewer at some moment: other tests run beside this one, and need theirs.
      let fewest = try (0..<20).map { _ in
        ProgramCode.letGo()
        return try pagesOfFiles()
      }.min()
      #expect(try #require(fewest) < before)
      // Code that is not there by now.
      #expect("\([1.5, 2])".split(separator: ",").map(String.init) == ["[1.5", " 2.0]"])
    }

    /// Pages of files in memory.
    private func pagesOfFiles() throws -> Int {
      let statm = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
      return try #require(Int(statm.split(separator: " ")[2]))
    }
  }
#endif
