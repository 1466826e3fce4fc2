import Foundation
import SystemPackage
import TestSupport
import Testing

@Suite struct CommandTests {
  /// The help texts, whole: `scripts/help` writes these files anew after a wanted change.
  @Test(arguments: [
    "", "classify", "embed", "evaluate", "preprocess", "inspect", "convert", "quantize", "train", "bench",
    "attention",
    "distances", "plot", "positions", "filters",
  ])
  func help(
    _ command: String
  )
    throws
  {
    let name = command.isEmpty ? "vitrine" : "vitrine-\(command)"
    let expected = try String(
      contentsOfFile: Fixtures.folder.appending("help/\(name).txt").string, encoding: .utf8)
    let run = try Command.shell("COLUMNS=80 \"$vitrine\" \(command) --help")
    #expect(run.status == 0)
    #expect(run.output == expected)
  }

  @Test(arguments: [
    ["classify"], ["classify", "a.jpg"], ["classify", "a.jpg", "--model"], ["unknown"],
    ["classify", "a.jpg", "--model", "m", "--top-k", "0"],
    ["classify", "a.jpg", "--model", "m", "--format", "xml"],
    ["classify", "a.jpg", "--model", "m", "--resume"], ["classify", "a.jpg", "--model", "m", "--size", "0"],
    ["classify", "a.jpg", "--model", "m", "--size", "1x2x3"],
    ["classify", "a.jpg", "--model", "m", "--mean", "1,2"],
    ["classify", "a.jpg", "--model", "m", "--threads", "0"],
    ["classify", "a.jpg", "--model", "m", "--precision", "fp8"],
    ["classify", "a.jpg", "--model", "m", "--max-pixels", "0"],
    ["classify", "a.jpg", "--model", "m", "--null"],
    ["classify", "", "--model", "m"], ["classify", "a.jpg", "--model", "m", "--std", "0,1,1"],
    ["classify", "a.jpg", "--model", "m", "--crop-fraction", "1.5"], ["embed", "a.jpg", "--model", "m"],
    ["embed", "a.jpg", "--model", "m", "--output", "-"],
    ["classify", "a.jpg", "--model", "m", "--output", "x.json"],
    ["classify", "a.jpg", "--model", "m", "--contact-sheet", "x.jpg"],
    ["classify", "a.jpg", "--model", "m", "--contact-sheet", "x.png", "--output", "x.csv", "--resume"],
    ["plot", "run"], ["plot", "--output", "x.png"], ["plot", "run", "--output", "x.jpg"],
    ["plot", "run", "--output", "x.png", "--by", "day"], ["positions", "--model", "m", "--output", "x"],
    ["positions", "--model", "m", "--output", "x.png", "--style", "nice"], ["filters", "--output", "x.png"],
    ["embed", "a.jpg", "--model", "m", "--output", "x.npy", "--tokens", "some"],
  ]) func wrongUsage(_ arguments: [String]) throws {
    let quoted = arguments.map { "'\($0)'" }.joined(separator: " ")
    let run = try Command.shell("\"$vitrine\" \(quoted)")
    #expect(run.status == 64)
    #expect(run.output.isEmpty && !run.errors.isEmpty)
  }

  @Test func modelsThatAreNone() throws {
    let folder = try TemporaryFolder()
    let empty = try folder.write("", to: "files/empty.safetensors").string
    for (model, message) in [
      ("/nowhere", "no such file or directory"), (folder.path.string, "no weights in this folder"),
      (empty, "the file is empty"), (Command.photos + "/cat/0100.jpg", "not a checkpoint that Vitrine reads"),
    ] {
      let run = try Command.run("classify", Command.photos, "--model", model)
      #expect(run.status == 1)
      #expect(run.output.isEmpty)
      #expect(run.errors.contains(model) && run.errors.contains(message), "\(run.errors)")
      #expect(run.errors.split(separator: "\n").count == 1)
    }
  }

  @Test func preprocessingThatCannotBe() throws {
    for (option, message) in [
      (["--std", "1e-60,1,1"], "std must be three finite numbers above zero"),
      (["--size", "33"], "not made of whole patches of 8x8"),
    ] {
      let run = try Command.run(
        "preprocess", Command.photos + "/cat/0100.jpg", "--model", Command.tiny, "--output", "/dev/null",
        option[0], option[1])
      #expect(run.status == 1)
      #expect(run.errors.contains(message), "\(run.errors)")
    }
  }

  @Test func pathsOfAnyBytes() throws {
    let folder = try TemporaryFolder()
    try folder.copy(FilePath(Command.photos).appending("cat/0100.jpg"), to: "a.jpg")
    let run = try Command.shell(
      "cd \(folder.path) && mv a.jpg $'a\\xff.jpg' && \"$vitrine\" classify $'a\\xff.jpg' --model \"$tiny\" --format jsonl"
    )
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.output.hasPrefix("{\"path\":\"a\u{FFFD}.jpg\""))
  }

  /// Names that look alike, since none of their bytes are text, stay two; one that is text stays itself.
  @Test func pathsThatLookAlike() throws {
    let folder = try TemporaryFolder()
    try folder.copy(FilePath(Command.photos).appending("cat/0100.jpg"), to: "cat.jpg")
    try folder.copy(FilePath(Command.photos).appending("ship/0100.jpg"), to: "ship.jpg")
    let run = try Command.shell(
      """
      cd \(folder.path) && mv cat.jpg $'\\xe8.jpg' && cp ship.jpg $'\\xe9.jpg' && mv ship.jpg $'\\xf4\\x8f\\xbf\\xa9.jpg' &&
        "$vitrine" classify $'\\xe8.jpg' $'\\xe9.jpg' $'\\xf4\\x8f\\xbf\\xa9.jpg' --model "$tiny" --format jsonl
      """)
    #expect(run.status == 0 && run.lines.count == 3, "\(run.errors)")
    let results = run.lines.map { $0.drop { $0 != "[" } }
    #expect(results[0] != results[1] && results[1] == results[2])
  }

  @Test func imagesBeyondTheMachine() throws {
    let run = try Command.run(
      "classify", Command.photos + "/cat", "--model", Command.tiny, "--size", "16384", "--batch-size", "8")
    #expect(run.status == 1)
    #expect(run.errors.contains("images of 16384x16384 pixels are 4194305 tokens"))
  }

  @Test func kernelVariants() throws {
    let bad = try Command.run("inspect", Command.tiny, environment: ["VITRINE_KERNELS": "sse9"])
    #expect(bad.status == 1 && bad.errors.contains("VITRINE_KERNELS=sse9"))
    let plain = try Command.run("inspect", Command.tiny, environment: ["VITRINE_KERNELS": "plain"])
    #expect(plain.status == 0 && plain.output.contains("kernels     plain"))
  }

  @Test func inspect() throws {
    let run = try Command.run("inspect", Fixtures.models.appending("hf-dinov2-registers").string)
    #expect(run.status == 0)
    for text in [
      "Hugging Face DINOv2, prefix", "2 heads of 16", "layer scale", "class token, 4 registers", "token+avg",
      "transformers' dinov2_with_registers",
    ] {
      #expect(run.output.contains(text), "\(text)")
    }
    let json = try Command.run("inspect", Command.tiny, "--json")
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
    #expect((object["architecture"] as? [String: Any])?["embedDim"] as? Int == 48)
    #expect((object["tensors"] as? [Any])?.count == 32)
  }

  @Test func embed() throws {
    let folder = try TemporaryFolder()
    for (options, shape) in [
      ("--tokens class", "(3, 48)"), ("--tokens mean", "(3, 48)"), ("--tokens patches", "(3, 16, 48)"),
      ("--tokens all", "(3, 17, 48)"), ("--tokens all --layer -1", "(3, 17, 48)"),
      ("--layer 0 --size 48x64", "(3, 48)"),
    ] {
      let file = folder.path.appending("f.npy").string
      let run = try Command.shell(
        "\"$vitrine\" embed \"$photos/cat\" --model \"$tiny\" --output \(file) \(options)")
      #expect(run.status == 0, "\(run.errors)")
      let data = [UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))
      #expect(String(decoding: data[10..<100], as: UTF8.self).contains("'shape': \(shape)"), "\(options)")
      #expect(data.dropFirst(192).contains { $0 != 0 })
    }
    let failed = try Command.shell(
      "\"$vitrine\" embed \"$photos/cat\" --model \"$tiny\" --output /dev/null --layer 2")
    #expect(failed.status == 1 && failed.errors.contains("layer 2: the model has layers 0 to 1"))
  }

  @Test func preprocess() throws {
    let folder = try TemporaryFolder()
    let file = folder.path.appending("x.npy").string
    let run = try Command.run(
      "preprocess", Command.photos + "/cat/0100.jpg", "--model", Command.tiny, "--output", file, "--size",
      "40x48")
    #expect(run.status == 0, "\(run.errors)")
    let data = [UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))
    #expect(data.count == 192 + 4 * 3 * 40 * 48)
    #expect(String(decoding: data[10..<100], as: UTF8.self).contains("'shape': (3, 40, 48)"))
    let failed = try Command.run(
      "preprocess", "/nowhere/a.jpg", "--model", Command.tiny, "--output", file)
    #expect(failed.status == 1 && failed.errors.contains("/nowhere/a.jpg: "))
  }
}
