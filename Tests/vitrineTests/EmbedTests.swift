import Foundation
import TestSupport
import Testing

@Suite struct EmbedTests {
  private static let photo = Fixtures.project.appending("samples/cifar10/cat/0100.jpg").string

  /// The shape in the header of an array, such as "(1, 5, 48)".
  private func shape(_ path: String) throws -> String {
    let data = try Data(contentsOf: URL(fileURLWithPath: path)).prefix(128)
    let header = String(decoding: data, as: UTF8.self)
    let start = try #require(header.range(of: "'shape': "))
    return String(header[start.upperBound...].prefix { $0 != ")" }) + ")"
  }

  /// Where a representation layer stands in front of the norm, tokens are as wide as that at the end, and as the blocks before.
  @Test func tokensBehindARepresentationLayer() throws {
    let folder = try TemporaryFolder()
    let model = Fixtures.models.appending("pytorch-pretrained-vit-representation/model.pth").string
    let output = folder.path.appending("tokens.npy").string
    func shape(_ arguments: String...) throws -> String {
      let run = try Command.run("embed", [Self.photo, "--model", model, "--output", output] + arguments)
      #expect(run.status == 0, "\(run.errors)")
      return try self.shape(output)
    }
    let pooled = try shape("--tokens", "pooled")
    #expect(try shape("--tokens", "class") == pooled)
    let (end, block) = (try shape("--tokens", "all"), try shape("--tokens", "all", "--layer", "0"))
    #expect(end != block && end.hasPrefix("(1, ") && block.hasPrefix("(1, "))
  }

  /// All tokens of every kind of network, and those that there are: a file, or a sentence.
  @Test(arguments: Fixtures.modelNames) func everyNetwork(_ name: String) throws {
    let folder = try TemporaryFolder()
    let path = try Fixtures.checkpoint(name).path.string
    let output = folder.path.appending("tokens.npy").string
    let run = try Command.run("embed", [Self.photo, "--model", path, "--output", output, "--tokens", "all"])
    #expect(run.status == 0 || run.status == 1 && run.errors.hasPrefix("Error: "), "\(run.errors)")
  }
}
