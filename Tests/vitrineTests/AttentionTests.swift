import Foundation
import Images
import SystemPackage
import TestSupport
import Testing
import VisionTransformer

@Suite struct AttentionTests {
  private static let photos = Fixtures.project.appending("samples/photos")
  private static let cifar10 = Fixtures.project.appending("samples/models/cifar10").string
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
  }

  private var output: FilePath { folder.path.appending("maps") }

  private func attention(_ inputs: [String], _ options: String..., model: String = Command.tiny) throws
    -> Command.Outcome
  {
    try Command.run("attention", inputs + ["--model", model, "--output", output.string] + options)
  }

  private func picture(_ name: String) throws -> Image {
    try Image(contentsOf: output.appending(name))
  }

  /// The shape and elements of an array that the command wrote.
  private func array(_ name: String) throws -> (shape: [Int], values: [Float]) {
    let data = [UInt8](try Data(contentsOf: URL(fileURLWithPath: output.appending(name).string)))
    let header = String(decoding: data[10..<192], as: UTF8.self)
    let shape = try #require(header.split(separator: "(").last).split(separator: ")")[0]
    let values = data[192...].withUnsafeBytes { bytes in
      (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    }
    return (shape.split(separator: ",").compactMap { Int($0.drop { $0 == " " }) }, values)
  }

  private static func photo(_ name: String) -> String { photos.appending(name).string }

  @Test func overlaysHaveThePhotosSize() throws {
    let run = try attention([Self.photo("cat.jpg"), Self.photo("fire-truck.png")])
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.lines == ["cat", "fire-truck"].map { "\(output)/\($0)-rollout.png" })
    for (name, photo) in [("cat", "cat.jpg"), ("fire-truck", "fire-truck.png")] {
      #expect(try picture("\(name)-rollout.png").size == Image(contentsOf: Self.photos.appending(photo)).size)
    }
  }

  @Test(arguments: ["fp32", "bf16", "int8"]) func arrays(_ precision: String) throws {
    let run = try attention(
      [Self.photo("cat.jpg")], "--head", "all", "--npy", "--size", "40x48", "--precision", precision)
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.lines.count == 4)
    let (shape, values) = try array("cat-raw-layer1.npy")
    #expect(shape == [1, 3, 5, 6] && values.count == 90)
    // Of each head the rest goes to the class token.
    for head in stride(from: 0, to: 90, by: 30) {
      let sum = values[head..<head + 30].reduce(0, +)
      #expect(sum > 0 && sum < 1)
    }
    let grid = try attention([Self.photo("cat.jpg")], "--style", "grid", "--npy", "--precision", precision)
    #expect(grid.status == 0, "\(grid.errors)")
    #expect(try array("cat-raw.npy").shape == [2, 3, 4, 4])
    let mean = try attention(
      [Self.photo("cat.jpg")], "--layer", "0", "--head", "mean", "--npy", "--precision", precision)
    #expect(mean.status == 0, "\(mean.errors)")
    let heads = try array("cat-raw.npy").values[..<48]
    for (index, value) in try array("cat-raw-layer0-mean.npy").values.enumerated() {
      let expected = (heads[index] + heads[16 + index] + heads[32 + index]) / 3
      #expect(abs(value - expected) <= 1e-6)
    }
  }

  /// The patch with the highest value is yellow and the one with the lowest grey, where they lie on the photo, which may be stored
  /// turned to its side.
  @Test(arguments: [1, 6, 8], ["224", "160x288"]) func mapsLieOnThePhoto(_ orientation: Int, _ size: String)
    throws
  {
    let photo = try folder.write(
      Self.oriented(try Data(contentsOf: URL(fileURLWithPath: Self.photo("horse.jpg"))), orientation),
      to: "horse.jpg")
    let run = try attention(
      [photo.string], "--layer", "1", "--upsampling", "patch", "--npy", "--size", size)
    #expect(run.status == 0, "\(run.errors)")
    let map = try array("horse-raw-layer1-mean.npy")
    let (overlay, original) = (try picture("horse-raw-layer1-mean-patch.png"), try Image(contentsOf: photo))
    #expect(overlay.size == original.size)
    #expect((overlay.width > overlay.height) == (orientation == 1))
    let sides = size.split(separator: "x").compactMap { Int($0) }
    let model = try VisionTransformer(
      Fixtures.checkpoint("timm-token"),
      options: .init(
        transform: TransformOverrides(size: ImageSize(height: sides[0], width: sides.last ?? 0)),
        describesOnly: true))
    let part = model.transform.seenPart(of: original.size)
    let (rows, columns) = (map.shape[1 + 1], map.shape[2 + 1])
    #expect(rows == model.grid.height && columns == model.grid.width)
    func pixel(_ patch: Int, of image: Image) -> [Int] {
      let (row, column) = patch.quotientAndRemainder(dividingBy: columns)
      let y =
        part.rows.lowerBound + (Double(row) + 0.5) / Double(rows)
        * (part.rows.upperBound - part.rows.lowerBound)
      let x =
        part.columns.lowerBound + (Double(column) + 0.5) / Double(columns)
        * (part.columns.upperBound - part.columns.lowerBound)
      let first = 3 * (Int(y) * image.width + Int(x))
      return image.pixels[first..<first + 3].map(Int.init)
    }
    let order = map.values.indices.sorted { map.values[$0] < map.values[$1] }
    // Viridis ends at 253, 231, 37, of which four fifths are seen.
    for patch in order.suffix(3) {
      let color = pixel(patch, of: overlay)
      #expect(color[0] > 200 && color[1] > 180 && color[2] < 90, "patch \(patch): \(color)")
    }
    for patch in order.prefix(3) {
      let (color, own) = (pixel(patch, of: overlay), pixel(patch, of: original))
      let grey = (77 * own[0] + 150 * own[1] + 29 * own[2]) >> 8
      for channel in 0..<3 { #expect(abs(color[channel] - (grey + (own[channel] - grey) / 4)) <= 20) }
    }
  }

  /// JPEG bytes with an orientation in front of all else.
  private static func oriented(_ jpeg: Data, _ orientation: Int) -> [UInt8] {
    let directory: [UInt8] = [0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, UInt8(orientation), 0, 0, 0, 0, 0, 0]
    let body = Array("Exif".utf8) + [0, 0] + Array("MM".utf8) + [0, 42, 0, 0, 0, 8] + directory
    return [0xFF, 0xD8, 0xFF, 0xE1, 0, UInt8(body.count + 2)] + body + jpeg.dropFirst(2)
  }

  @Test func patchesQuery() throws {
    let run = try attention([Self.photo("cat.jpg")], "--query", "1,2", "--layer", "0", "--npy")
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.lines.first == "\(output)/cat-raw-layer0-mean-patch1,2.png")
    #expect(try array("cat-raw-layer0-mean-patch1,2.npy").shape == [1, 1, 4, 4])
  }

  @Test func attributions() throws {
    let animals = Command.photos + "/cat"
    let run = try attention([animals], "--method", "attribution", "--npy", model: Self.cifar10)
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.errors.contains("no class token: the mean over all patches"))
    let classes = try Command.run(
      "classify", animals, "--model", Self.cifar10, "--top-k", "1", "--format", "csv"
    ).lines
    let expected = classes.dropFirst().map { $0.split(separator: ",")[3] }
    let said = run.lines.filter { $0.contains("\t") }.map {
      $0.split(separator: "\t")[1].split(separator: " ")[0]
    }
    #expect(said == expected)
    let own = try array("0100-attribution.npy")
    #expect(own.shape == [8, 8])
    let frog = try attention([animals], "--class", "FROG", "--npy", model: Self.cifar10)
    #expect(frog.status == 0 && frog.output.contains("\tfrog "), "\(frog.errors)")
    #expect(try array("0100-attribution-frog.npy").values != own.values)
    #expect(try array("0100-attribution.npy").values == own.values)
    let byIndex = try attention([animals], "--class", "6", "--npy", model: Self.cifar10)
    #expect(byIndex.output == frog.output)
  }

  /// Two cranes are not one of them, and a cat is no bullfrog.
  @Test func namesOfClasses() throws {
    let labels = try folder.write(
      "bullfrog, Rana catesbeiana\nCrane\ntiger cat\nmaillot\nmaillot, tank suit\ncrane\nSiamese cat, Siamese\n",
      to: "labels.txt"
    ).string
    for (name, message) in [
      (
        "crane",
        "class \"crane\": the model has 2 of that name: 1 (\"Crane\"), 5 (\"crane\"); give the number"
      ),
      ("cat", "none of that name; the nearest: \"tiger cat\", \"Siamese cat, Siamese\"\n"),
      ("cates", "none of that name; the nearest: \"bullfrog, Rana catesbeiana\"\n"),
      (",", "none of that name\n"),
    ] {
      let run = try attention([Self.photo("cat.jpg")], "--class", name, "--labels", labels)
      #expect(run.status == 1 && run.errors.contains(message), "\(run.errors)")
    }
    // A whole label is that class, whatever else has it as a synonym.
    for (name, label) in [("maillot", "maillot"), ("tank suit", "maillot, tank suit"), ("5", "crane")] {
      let run = try attention([Self.photo("cat.jpg")], "--class", name, "--labels", labels)
      #expect(run.status == 0 && run.output.contains("\t\(label) "), "\(run.errors)")
    }
  }

  @Test func rollouts() throws {
    func values(_ name: String, _ options: String...) throws -> [Float] {
      let run = try Command.run(
        "attention",
        [Self.photo("cat.jpg"), "--model", Command.tiny, "--output", output.string, "--npy"] + options)
      #expect(run.status == 0, "\(run.errors)")
      return try array("\(name).npy").values
    }
    let plain = try values("cat-rollout")
    #expect(plain.count == 16 && plain.allSatisfy { $0 > 0 } && plain.reduce(0, +) < 1)
    #expect(try values("cat-rollout-max", "--fusion", "max") != plain)
    #expect(try values("cat-rollout-discard0.9", "--discard", "0.9") != plain)
    #expect(try values("cat-rollout", "--threshold", "0.5", "--style", "heatmap") == plain)
    _ = try values("cat-rollout", "--upsampling", "patch")
    // What was chosen is in the names: nothing takes another's place.
    let names = try Set(FileManager.default.contentsOfDirectory(atPath: output.string)).filter {
      $0.hasSuffix("png")
    }
    #expect(
      names == [
        "cat-rollout.png", "cat-rollout-max.png", "cat-rollout-discard0.9.png",
        "cat-rollout-threshold0.5-heatmap.png", "cat-rollout-patch.png",
      ])
  }

  @Test func sameNamesAndBadImages() throws {
    let first = try folder.copy(Self.photos.appending("cat.jpg"), to: "a/cat.jpg")
    let second = try folder.copy(Self.photos.appending("duck.jpg"), to: "b/cat.jpg")
    let broken = try folder.write("no image", to: "b/broken.jpg")
    let run = try attention([first.string, broken.string, second.string])
    #expect(run.status == 2)
    #expect(run.lines == ["\(output)/cat-rollout.png", "\(output)/cat-2-rollout.png"])
    #expect(run.errors.contains("\(broken): not a JPEG or PNG image"))
    #expect(run.errors.contains("\(second): another image of this run has the same name; written as"))
    #expect(try picture("cat-2-rollout.png").size == Image(contentsOf: second).size)
  }

  /// Names of photos and of classes, each as long as can be, fit into those of the pictures.
  @Test func longNames() throws {
    let long = try folder.copy(
      Self.photos.appending("cat.jpg"), to: "\(String(repeating: "a", count: 251)).jpg")
    let label = String(repeating: "\u{732B}", count: 60)
    let labels = try folder.write("a\nb\nc\nd\ne\nf\n\(label)\n", to: "labels.txt").string
    let run = try attention(
      [long.string], "--class", label, "--labels", labels, "--threshold", "0.6", "--query", "1,1", "--npy")
    #expect(run.status == 0 && run.lines.count == 2, "\(run.errors)")
    #expect(
      run.lines.allSatisfy { FileManager.default.fileExists(atPath: String($0.split(separator: "\t")[0])) })
  }

  /// The frame of a patch leaves something to be seen of it, however few pixels it has.
  @Test(arguments: [1, 8]) func framesOfTinyPhotos(_ side: Int) throws {
    let photo = Image(width: side, height: side, pixels: [UInt8](repeating: 60, count: 3 * side * side))
    try folder.write([UInt8](try photo.encodedPNG()), to: "tiny.png")
    let run = try attention([folder.path.appending("tiny.png").string], "--query", "1,1", "--layer", "0")
    #expect(run.status == 0, "\(run.errors)")
    let image = try picture("tiny-raw-layer0-mean-patch1,1.png")
    #expect(image.pixels.min().map { $0 < 150 } == true)
    let patch = 3 * ((side / 4) * side + side / 4)
    #expect(image.pixels[patch..<patch + 3].contains { (60..<200).contains($0) }, "\(image.pixels)")
  }

  /// Sizes of which the patches leave a margin.
  @Test(arguments: ["timm-rms-norm", "timm-dynamic", "timm-internvit"]) func margins(_ name: String) throws {
    let model = Fixtures.models.appending(name).string
    let page = folder.path.appending("page.html").string
    let run = try attention([Self.photo("cat.jpg")], "--method", "attribution", "--npy", model: model)
    #expect(run.status == 0, "\(run.errors)")
    let (shape, values) = try array("cat-attribution.npy")
    #expect(shape == (name == "timm-internvit" ? [74, 74] : [26, 26]) && values.contains { $0 > 0 })
    let explorer = try Command.run("attention", [Self.photo("cat.jpg"), "--model", model, "--html", page])
    #expect(explorer.status == 0 && !explorer.errors.contains("no attributions"), "\(explorer.errors)")
  }

  @Test func inputsThatAreWrong() throws {
    let photo = Self.photo("cat.jpg")
    for (options, message) in [
      (["--layer", "2"], "layer 2: the model has layers 0 to 1 (or -2 to -1, counted from the end)"),
      (["--head", "3"], "head 3: the model has heads 0 to 2"),
      (["--query", "0,4"], "patch 0,4: the model has rows 0 to 3 and columns 0 to 3 of patches"),
      (
        ["--class", "do"],
        "class \"do\": the model has classes 0 to 6, and none of that name; the nearest: \"dog\""
      ),
      (["--class", "7"], "the model has classes 0 to 6"),
      (["--method", "attribution", "--precision", "int8"], "gradients need a precision of fp32 or bf16"),
    ] {
      let run = try Command.run(
        "attention", [photo, "--model", Command.tiny, "--output", output.string] + options)
      #expect(run.status == 1 && run.errors.contains(message), "\(run.errors)")
      #expect(run.errors.split(separator: "\n").count == 1)
    }
    let file = try folder.write("x", to: "file")
    let blocked = try Command.run("attention", photo, "--model", Command.tiny, "--output", file.string)
    #expect(blocked.status == 1 && blocked.errors.contains("no folder"))
    let models = Fixtures.models
    for (model, options, message) in [
      ("timm-avg-no-class-token", ["--query", "class"], "the model has no class token"),
      ("timm-diff", [], "differential attention has weights below 0; use --method raw"),
      ("timm-dinov2", ["--method", "attribution"], "the model has no classification head"),
      ("timm-parallel-scaling", ["--method", "attribution"], "has no backward pass"),
    ] {
      let run = try Command.run(
        "attention", [photo, "--model", models.appending(model).string, "--output", output.string] + options)
      #expect(run.status == 1 && run.errors.contains(message), "\(model): \(run.errors)")
    }
    for options in [
      ["--discard", "1"], ["--threshold", "0"], ["--head", "some"], ["--query", "1"],
      ["--layer", "0", "--method", "rollout"],
      ["--style", "grid", "--method", "rollout"], ["--class", "cat", "--method", "raw"],
      ["--fusion", "max", "--method", "raw"], ["--labels", "names.txt"],
    ] {
      let run = try Command.run(
        "attention", [photo, "--model", Command.tiny, "--output", output.string] + options)
      #expect(run.status == 64, "\(options)")
    }
  }

  /// What has special tokens or special blocks is drawn like all else.
  @Test(arguments: [
    "timm-deit-distilled", "timm-dinov2-registers", "timm-avg-no-class-token", "timm-rectangular",
    "timm-parallel-things",
    "timm-map-registers", "timm-hybrid", "hf-dinov2-registers",
  ]) func models(_ name: String) throws {
    let path = try Fixtures.checkpoint(name).path.string
    for options in [["--style", "grid"], ["--method", "rollout"], ["--head", "0"]] {
      let run = try Command.run(
        "attention", [Self.photo("cat.jpg"), "--model", path, "--output", output.string] + options)
      #expect(run.status == 0, "\(name): \(run.errors)")
    }
  }

  @Test func differentialAttention() throws {
    let run = try attention(
      [Self.photo("cat.jpg")], "--style", "grid", "--npy",
      model: Fixtures.models.appending("timm-diff").string)
    #expect(run.status == 0, "\(run.errors)")
    #expect(try array("cat-raw.npy").values.contains { $0 < 0 })
  }

  @Test func distances() throws {
    let (png, csv, npy) = (
      folder.path.appending("d.png"), folder.path.appending("d.csv"), folder.path.appending("d.npy")
    )
    let run = try Command.run(
      "distances",
      [
        Self.photos.string, "--model", Command.tiny, "--output", png.string, "--csv", csv.string, "--npy",
        npy.string,
      ])
    #expect(run.status == 0, "\(run.errors)")
    let rows = try String(contentsOfFile: csv.string, encoding: .utf8).split(separator: "\n").map {
      $0.split(separator: ",").map(String.init)
    }
    #expect(rows.first == ["layer", "head", "distance"] && rows.count == 7)
    // Patches of 8 in an image of 32: no mean is larger than that of the farthest patches.
    #expect(rows.dropFirst().allSatisfy { row in Float(row[2]).map { (0...34).contains($0) } == true })
    #expect(try Image(contentsOf: png).width > 400)
    let single = try Command.run(
      "distances",
      [Self.photo("cat.jpg"), "--model", Command.tiny, "--output", png.string, "--csv", png.string])
    #expect(single.status == 1 && single.errors.contains("another output of this run"))
  }
}
