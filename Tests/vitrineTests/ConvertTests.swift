import Foundation
import TestSupport
import Testing

@Suite struct ConvertTests {
  @Test func writesAndSaysWhat() throws {
    let folder = try TemporaryFolder()
    let target = folder.path.appending("model").string
    let run = try Command.run("convert", Command.tiny, "--output", target)
    #expect(run.status == 0)
    #expect(run.output.isEmpty)
    #expect(run.errors == "\(target): vit_tiny_patch16_224, 32 tensors, f32\n")
    let again = try Command.run("convert", Command.tiny, "--output", target, "--dtype", "bf16")
    #expect(again.status == 1)
    #expect(
      again.errors == "Error: \(target): holds a config.json already; give another folder, or --overwrite\n")
    let replaced = try Command.run(
      "convert", Command.tiny, "--output", target, "--dtype", "bf16", "--naming", "huggingface", "--overwrite"
    )
    #expect(replaced.status == 0)
    #expect(replaced.errors.hasSuffix("\(target): ViTForImageClassification, 40 tensors, bf16\n"))
    let inspected = try Command.run("inspect", target)
    #expect(inspected.output.contains("BF16") && inspected.output.contains("transformers' vit"))
  }

  /// The same images have the same classes in either form.
  @Test(arguments: ["timm", "huggingface"]) func classifiesAlike(_ naming: String) throws {
    let folder = try TemporaryFolder()
    let target = folder.path.appending("model").string
    // Its images are not cropped: no library's rounding of the crop matters.
    let source = Fixtures.models.appending("hf-vit").string
    #expect(try Command.run("convert", source, "--output", target, "--naming", naming).status == 0)
    let expected = try Command.run("classify", Command.photos, "--model", source, "--format", "jsonl")
    let actual = try Command.run("classify", Command.photos, "--model", target, "--format", "jsonl")
    #expect(expected.status == 0 && !expected.lines.isEmpty)
    let classes = { (line: String) in
      line.components(separatedBy: "\"label\":\"").dropFirst().map { $0.prefix { $0 != "\"" } }
    }
    #expect(actual.lines.map(classes) == expected.lines.map(classes))
  }

  @Test func refuses() throws {
    let folder = try TemporaryFolder()
    let target = folder.path.appending("model").string
    let source = Fixtures.models.appending("hf-dinov2").string
    let run = try Command.run("convert", source, "--output", target)
    #expect(run.status == 1)
    #expect(
      run.errors
        == "Error: \(source): timm cannot express a head on the class token beside the mean of the patches "
        + "(DINOv2's); use --naming huggingface\n")
    #expect(!FileManager.default.fileExists(atPath: target))
  }

  @Test func neverWritesOverItsSource() throws {
    let folder = try TemporaryFolder()
    let model = try folder.copy(Fixtures.models.appending("hf-vit"), to: "model").string
    try FileManager.default.createSymbolicLink(
      atPath: folder.path.appending("link").string, withDestinationPath: model)
    for target in [model, folder.path.appending("link").string] {
      let run = try Command.run("convert", model, "--output", target, "--overwrite")
      #expect(run.status == 1)
      #expect(run.errors.contains("is an input of this run; write the results somewhere else"))
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: model).contains { $0.hasPrefix("expected") })
    #expect(try Command.run("inspect", model).output.contains("transformers' vit"))
  }
}
