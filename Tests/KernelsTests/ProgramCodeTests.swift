#if os(Linux)
  import Kernels
  import Testing

  #if canImport(FoundationEssentials)
    import FoundationEssentials
  #else
    import Foundation
  #endif

  struct ProgramCodeTests {
    /// Where the system does not tell of its pages, nothing is let go of.
    @Test(.enabled(if: FileManager.default.isReadableFile(atPath: "/proc/self/pagemap")))
    func codeLeavesMemoryAndComesBack() throws {
      // Text that much code was needed for, and is needed for again.
      func text() -> String { "\([1.5, 2])".split(separator: ",").map { $0.uppercased() }.joined() }
      let expected = text()
      let before = try codeInMemory()
      // At some moment: other tests run beside this one, and need their code.
      let fewest = try (0..<20).map { _ in
        ProgramCode.letGo()
        return try codeInMemory()
      }.min()
      #expect(try #require(fewest) < before / 2, "of \(before) KiB")
      #expect(text() == expected)
    }

    /// KiB in memory of the files that are mapped to be executed.
    private func codeInMemory() throws -> Int {
      var (total, isCode) = (0, false)
      for line in try String(contentsOfFile: "/proc/self/smaps", encoding: .utf8).split(separator: "\n") {
        let words = line.split(separator: " ")
        if words[0].contains("-") {
          isCode = words[1] == "r-xp" && words.count == 6 && words[5].hasPrefix("/")
        }
        if isCode, words[0] == "Rss:" { total += try #require(Int(words[1])) }
      }
      return total
    }
  }
#endif
