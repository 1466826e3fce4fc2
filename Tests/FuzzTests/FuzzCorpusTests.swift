import Foundation
import FuzzTrials
import SystemPackage
import TestSupport
import Testing

/// Replays the inputs that fuzzing found worth keeping, and those that once broke something.
@Suite struct FuzzCorpusTests {
  @Test(arguments: FuzzTrial.Parser.allCases)
  func corpus(_ parser: FuzzTrial.Parser) throws {
    let folder = Fixtures.folder.appending("fuzz").appending(parser.rawValue).string
    let names = try FileManager.default.contentsOfDirectory(atPath: folder)
    #expect(!names.isEmpty)
    for name in names {
      let input = try Data(contentsOf: URL(filePath: "\(folder)/\(name)"))
      #expect(throws: Never.self, "\(parser) \(name)") {
        try input.withUnsafeBytes { bytes in _ = try FuzzTrial(parser).run(bytes) }
      }
    }
  }
}
