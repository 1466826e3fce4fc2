import Figures
import Foundation
import Images
import SystemPackage
import TestSupport
import Testing

/// The commands that draw.
@Suite struct PictureTests {
  private let folder: TemporaryFolder
  private static let cifar = Fixtures.project.appending("samples/models/cifar10").string
  private static func model(_ name: String) -> String { Fixtures.models.appending(name).string }

  init() throws { folder = try TemporaryFolder() }

  private func output(_ name: String) -> FilePath { folder.path.appending(name) }

  private func contains(_ image: Image, _ color: Color) -> Bool {
    stride(from: 0, to: image.pixels.count, by: 3).contains {
      image.pixels[$0] == color.red && image.pixels[$0 + 1] == color.green
        && image.pixels[$0 + 2] == color.blue
    }
  }

  /// The shape that the header of a numpy array states.
  private func shape(_ path: FilePath) throws -> String {
    let text = String(
      decoding: try Data(contentsOf: URL(fileURLWithPath: path.string)).prefix(192).dropFirst(10),
      as: UTF8.self)
    let start = try #require(text.firstRange(of: "'shape': (")).upperBound
    return String(text[start...].prefix { $0 != ")" })
  }

  // MARK: plot

  private func writeRun(_ name: String, epochs: Int = 4, factor: Double = 1) throws -> String {
    var lines = ""
    for epoch in 1...epochs {
      lines +=
        #"{"kind":"step","epoch":\#(epoch),"step":\#(epoch * 10),"train_loss":\#(factor / Double(epoch)),"learning_rate":0.001,"gradient_norm":1.5}"#
        + "\n"
      lines +=
        #"{"kind":"epoch","epoch":\#(epoch),"step":\#(epoch * 10),"train_loss":\#(factor / Double(epoch)),"train_top1":0.\#(epoch),"validation_loss":null,"validation_top1":0.\#(epoch),"learning_rate":0.001}"#
        + "\n"
    }
    try folder.write(lines, to: "\(name)/metrics.jsonl")
    return output(name).string
  }

  @Test func `a run is drawn by epoch and by step`() throws {
    let run = try writeRun("run")
    let theme = Theme.standard
    var images: [Image] = []
    for axis in ["epoch", "step"] {
      let result = try Command.run("plot", [run, "--by", axis, "--output", output("h.png").string])
      #expect(result.status == 0 && result.errors.isEmpty && result.output.isEmpty, "\(result.errors)")
      let image = try Image(contentsOf: output("h.png"))
      #expect(
        contains(image, theme.series(0)) && contains(image, theme.series(1))
          && contains(image, theme.series(2)))
      images.append(image)
    }
    // By step there is a fourth chart, in a second row.
    #expect(images[0].height < images[1].height && images[0].width > images[1].width)
  }

  @Test func `several runs have a colour each`() throws {
    let runs = try ["a", "b", "c", "d"].enumerated().map { try writeRun($1, factor: Double($0 + 1)) }
    let result = try Command.run("plot", runs + ["--output", output("h.png").string])
    #expect(result.status == 0, "\(result.errors)")
    let image = try Image(contentsOf: output("h.png"))
    #expect((0..<4).allSatisfy { contains(image, Theme.standard.series($0)) })
  }

  @Test func `a run that is given twice is drawn once`() throws {
    let run = try writeRun("run")
    let once = try Command.run("plot", run, "--output", output("once.png").string)
    let twice = try Command.run(
      "plot", run, run + "/./metrics.jsonl", "--output", output("twice.png").string)
    #expect(once.status == 0 && once.errors.isEmpty && twice.status == 0)
    #expect(twice.errors.contains("is given twice; it is drawn once"), "\(twice.errors)")
    #expect(
      FileManager.default.contentsEqual(
        atPath: output("once.png").string, andPath: output("twice.png").string))
  }

  @Test func `names of files tell what they are`() throws {
    for (arguments, message) in [
      (["plot", "run", "--output", "h.jpg"], "invalid for '--output <H.png>': the name must end in .png"),
      (
        ["positions", "--model", Command.tiny, "--output", "p.png", "--npy", "p.txt"],
        "invalid for '--npy <FILE.npy>': the name must end in .npy"
      ),
      (["filters", "--model", Command.tiny, "--output", "p"], "the name must end in .png"),
      (["distances", "x.jpg", "--model", Command.tiny, "--output", "d.csv"], "the name must end in .png"),
      (["attention", "x.jpg", "--model", Command.tiny, "--html", "d.png"], "the name must end in .html"),
      (["classify", "x.jpg", "--model", Command.tiny, "--contact-sheet", "-"], "the name must end in .png"),
    ] {
      let result = try Command.run(arguments[0], Array(arguments[1...]))
      #expect(result.status == 64 && result.errors.contains(message), "\(result.errors)")
    }
  }

  @Test func `a machine without fonts draws, too`() throws {
    let run = try writeRun("run")
    try folder.write(
      "<?xml version=\"1.0\"?><!DOCTYPE fontconfig SYSTEM \"fonts.dtd\"><fontconfig></fontconfig>",
      to: "fonts.conf")
    let environment = ["FONTCONFIG_FILE": output("fonts.conf").string]
    for (name, environment) in [("with.png", [:]), ("without.png", environment), ("again.png", environment)] {
      let result = try Command.run("plot", [run, "--output", output(name).string], environment: environment)
      #expect(result.status == 0, "\(result.errors)")
    }
    let with = try Image(contentsOf: output("with.png"))
    let without = try Image(contentsOf: output("without.png"))
    #expect(with != without)
    #expect(try Image(contentsOf: output("again.png")) == without)
    #expect(contains(without, Theme.standard.series(0)))
  }

  @Test func `runs that cannot be drawn are named`() throws {
    try folder.write(
      "{\"kind\":\"step\",\"epoch\":1,\"step\":1,\"train_loss\":2}\n", to: "young/metrics.jsonl")
    try folder.write("no metrics\n", to: "damaged/metrics.jsonl")
    for (run, message) in [
      ("missing", "metrics.jsonl: no such file or directory"), ("young", "no epoch is finished yet"),
      ("damaged", "metrics.jsonl: line 1 is not one of a training's metrics"),
    ] {
      let result = try Command.run("plot", [output(run).string, "--output", output("h.png").string])
      #expect(result.status == 1)
      #expect(result.errors.contains(message), "\(result.errors)")
    }
    let run = try writeRun("run")
    let unwritable = try Command.run("plot", [run, "--output", output("none").appending("h.png").string])
    #expect(unwritable.status == 1 && unwritable.errors.contains("cannot write"), "\(unwritable.errors)")
  }

  @Test func `a training keeps its history drawn, and goes on where it cannot`() throws {
    let run = output("trained")
    let trained = try Command.run("train", TrainTests.arguments(run))
    #expect(trained.status == 0, "\(trained.errors)")
    #expect(contains(try Image(contentsOf: run.appending("history.png")), Theme.standard.series(1)))
    // A folder lies where the picture should.
    let other = output("hindered")
    try folder.write("", to: "hindered/history.png/file")
    let hindered = try Command.run("train", TrainTests.arguments(other))
    #expect(hindered.status == 0, "\(hindered.errors)")
    #expect(
      hindered.errors.split(separator: "\n").count { $0.contains("the history is not drawn") } == 1,
      "\(hindered.errors)")
  }

  // MARK: positions and filters

  @Test func `similarities are a grid of maps`() throws {
    let (picture, array) = (output("p.png"), output("p.npy"))
    let result = try Command.run(
      "positions", ["--model", Command.tiny, "--output", picture.string, "--npy", array.string])
    #expect(result.status == 0, "\(result.errors)")
    #expect(try shape(array) == "4, 4, 4, 4")
    // Each position is like itself, and has 24x24 pixels of the brightest colour at least.
    let image = try Image(contentsOf: picture)
    let brightest = stride(from: 0, to: image.pixels.count, by: 3).count {
      Color(red: image.pixels[$0], green: image.pixels[$0 + 1], blue: image.pixels[$0 + 2])
        == ColorMap.viridis[255]
    }
    #expect(brightest >= 16 * 24 * 24)
    let resampled = try Command.run(
      "positions",
      ["--model", Command.tiny, "--size", "40x64", "--output", picture.string, "--npy", array.string])
    #expect(resampled.status == 0, "\(resampled.errors)")
    #expect(try shape(array) == "5, 8, 5, 8")
  }

  @Test(arguments: ["timm-token", "timm-rectangular", "hf-dinov2", "big-vision", "timm-avg-no-class-token"])
  func `components and filters of any model are drawn`(name: String) throws {
    let (picture, array) = (output("c.png"), output("c.npy"))
    let model = Self.model(name)
    let checkpoint = ["big-vision"].contains(name) ? model + "/model.npz" : model
    let positions = try Command.run(
      "positions",
      ["--model", checkpoint, "--style", "components", "--output", picture.string, "--npy", array.string])
    #expect(positions.status == 0, "\(positions.errors)")
    #expect(try shape(array).hasPrefix("8, "))
    #expect(try Image(contentsOf: picture).width > 500)
    let filters = try Command.run(
      "filters", ["--model", checkpoint, "--output", picture.string, "--npy", array.string])
    #expect(filters.status == 0, "\(filters.errors)")
    #expect(try Image(contentsOf: picture).width > 500)
  }

  @Test func `models without what is to be drawn are named`() throws {
    for (arguments, message) in [
      (["positions", "--model", Self.model("timm-no-positions")], "the model has no position embeddings"),
      (["positions", "--model", Command.tiny, "--size", "33"], "not made of whole patches of 8x8"),
      (
        ["positions", "--model", Command.tiny, "--size", "1024"],
        "128x128 positions are too many for similarity"
      ),
      (
        ["positions", "--model", Command.tiny, "--size", "2048", "--style", "components"],
        "256x256 positions are too many for components"
      ),
      (["positions", "--model", "/nowhere"], "no such file or directory"),
    ] {
      let result = try Command.run(
        arguments[0], Array(arguments[1...]) + ["--output", output("x.png").string])
      #expect(result.status != 0 && result.errors.contains(message), "\(result.errors)")
      #expect(!FileManager.default.fileExists(atPath: output("x.png").string))
    }
  }

  @Test func `the model is not overwritten`() throws {
    let model = try folder.copy(Fixtures.models.appending("timm-token"), to: "model")
    try folder.copy(model.appending("model.safetensors"), to: "link.png")
    try FileManager.default.removeItem(atPath: output("link.png").string)
    try FileManager.default.linkItem(
      atPath: model.appending("model.safetensors").string, toPath: output("link.png").string)
    let result = try Command.run("filters", ["--model", model.string, "--output", output("link.png").string])
    #expect(result.status == 1 && result.errors.contains("an input of this run"), "\(result.errors)")
  }

  // MARK: Confusion matrices and contact sheets

  @Test func `a confusion matrix is drawn`() throws {
    let picture = output("c.png")
    let result = try Command.run(
      "evaluate", [Command.photos, "--model", Self.cifar, "--confusion", picture.string])
    #expect(result.status == 0, "\(result.errors)")
    let image = try Image(contentsOf: picture)
    // Three images a class: none, a third, two thirds or all, on a scale of square roots.
    let scale = ColorScale(.viridis, 0...1)
    #expect(contains(image, scale.color(0)) && contains(image, scale.color(1)))
    let early = try Command.run(
      "evaluate",
      [Command.photos, "--model", Self.cifar, "--confusion", output("none").appending("c.png").string])
    // Known before any image was read.
    #expect(
      early.status == 1 && early.output.isEmpty && early.errors.contains("cannot write"), "\(early.errors)")
  }

  @Test func `a contact sheet shows what the network saw, and what failed`() throws {
    let picture = output("sheet.png")
    let broken = try folder.write("no picture", to: "broken.jpg").string
    let result = try Command.run(
      "classify", [Command.photos, broken, "--model", Self.cifar, "--contact-sheet", picture.string])
    #expect(result.status == 2, "\(result.errors)")
    let image = try Image(contentsOf: picture)
    #expect(contains(image, Theme.standard.grid))
    let plain = try Command.run("classify", [Command.photos, broken, "--model", Self.cifar])
    #expect(plain.output == result.output)
    let again = output("again.png")
    _ = try Command.run(
      "classify",
      [Command.photos, broken, "--model", Self.cifar, "--contact-sheet", again.string, "--threads", "1"])
    #expect(FileManager.default.contentsEqual(atPath: picture.string, andPath: again.string))
  }

  @Test func `a contact sheet has room for so many, and says how many are left out`() throws {
    let paths = Array(repeating: Command.photos, count: 9)
    let result = try Command.run(
      "classify", paths + ["--model", Self.cifar, "--contact-sheet", output("s.png").string])
    #expect(result.status == 0)
    #expect(result.errors.contains("30 images are not on the contact sheet"), "\(result.errors)")
  }

  // MARK: Documentation

  /// Commands that need nothing but the samples make what `docs/pictures.md` says.
  @Test func `the documented commands draw`() throws {
    let text = try String(
      contentsOfFile: Fixtures.project.appending("docs/pictures.md").string, encoding: .utf8)
    let commands = text.split(separator: "\n").filter {
      $0.hasPrefix("vitrine ") && $0.contains("--model samples/models/cifar10")
    }
    #expect(commands.count >= 3)
    for command in commands {
      let trial = try TemporaryFolder()
      let run = try Command.shell(
        """
        cd '\(trial.path)' && ln -s '\(Fixtures.project)/samples' samples && vitrine() { "$vitrine" "$@"; } && \(command) && \
        find . -type f '(' -name '*.png' -o -name '*.html' ')' -size +0 | grep .
        """)
      #expect(run.status == 0, "\(command): \(run.errors)")
    }
  }
}
