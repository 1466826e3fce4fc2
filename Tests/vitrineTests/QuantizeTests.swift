import Foundation
import TestSupport
import Testing

@Suite struct QuantizeTests {
  private static let sample = Fixtures.project.appending("samples/models/cifar10").string

  @Test func writesAModelAndWhatItCost() throws {
    let folder = try TemporaryFolder()
    let target = folder.path.appending("model").string
    let run = try Command.run(
      "quantize", Self.sample, "--calibration", Command.photos, "--images", "8", "--output", target,
      "--evaluate",
      Command.photos, "--threads", "2")
    #expect(run.status == 0 && run.errors.contains("airplane") == false)
    #expect(run.output.contains("blocks.0.attn.qkv") && run.output.contains("cosine to float32 0.99"))
    #expect(run.output.contains("top-1") && run.output.contains("images/s"))
    let names = try Set(FileManager.default.contentsOfDirectory(atPath: target))
    #expect(names == ["config.json", "model.safetensors", "quantization.json", "quantization.png"])
    let report = try JSONSerialization.jsonObject(
      with: Data(contentsOf: URL(fileURLWithPath: target + "/quantization.json")))
    let members = try #require(report as? [String: Any])
    #expect(members["scheme"] as? String == "w8a8" && members["calibration_images"] as? Int == 8)
    let layers = try #require(members["layers"] as? [[String: Any]])
    #expect(layers.contains { $0["name"] as? String == "head" && $0["type"] as? String == "int8" })

    // Every command reads it, in integers where nobody says otherwise.
    let inspected = try Command.run("inspect", target)
    #expect(inspected.status == 0 && inspected.output.contains("I8") && inspected.output.contains("w8a8"))
    let classified = try Command.run("classify", Command.photos, "--model", target, "--format", "jsonl")
    let forced = try Command.run(
      "classify", Command.photos, "--model", target, "--format", "jsonl", "--precision", "int8")
    #expect(classified.status == 0 && classified.output == forced.output && !classified.output.isEmpty)
    let benched = try Command.run("bench", "--model", target, "--iterations", "2", "--json")
    #expect(benched.status == 0 && benched.output.contains("\"precision\":\"int8\""))
    let converted = try Command.run("convert", target, "--output", folder.path.appending("floats").string)
    #expect(converted.status == 0)
    let maps = try Command.run(
      "attention", Fixtures.project.appending("samples/photos/cat.jpg").string, "--model", target, "--output",
      folder.path.appending("maps").string)
    #expect(maps.status == 0)
    let again = try Command.run(
      "quantize", target, "--calibration", Command.photos, "--output", folder.path.appending("twice").string)
    #expect(again.status == 1 && again.errors.contains("integers already (w8a8)"))
  }

  private struct Report: Decodable {
    struct Layer: Decodable {
      let name: String
      let type: String
      let kept: String?
    }
    struct Change: Decodable {
      struct Accuracy: Decodable { let top1: Double }
      let before: Accuracy
      let after: Accuracy
    }
    struct Comparison: Decodable { let featureCosine: Double }
    let layers: [Layer]
    let comparison: Comparison
    let accuracy: Change?

    init(in folder: String) throws {
      let decoder = JSONDecoder()
      decoder.keyDecodingStrategy = .convertFromSnakeCase
      self = try decoder.decode(
        Report.self, from: Data(contentsOf: URL(fileURLWithPath: folder + "/quantization.json")))
    }

    /// Layers that stay floats for the sake of a bound.
    var kept: [String] { layers.filter { $0.kept == "error" && $0.type == "float" }.map(\.name) }
  }

  /// Bounds keep the worst layers as floats, as few of them as will do, and hold in what is written.
  @Test func boundsHold() throws {
    let folder = try TemporaryFolder()
    func report(_ name: String, _ arguments: String...) throws -> Report {
      let target = folder.path.appending(name).string
      let run = try Command.run(
        "quantize",
        [Self.sample, "--calibration", Command.photos, "--scheme", "w4", "--output", target, "--quiet"]
          + arguments)
      try #require(run.status == 0, "\(run.errors)")
      return try Report(in: target)
    }
    let free = try report("free")
    #expect(free.kept.isEmpty && free.accuracy == nil)
    let bound = 1 - (1 - free.comparison.featureCosine) / 3
    let near = try report("near", "--min-cosine", "\(bound)")
    #expect(near.comparison.featureCosine >= bound && !near.kept.isEmpty)
    #expect(near.kept.count < near.layers.count / 2, "\(near.kept)")
    let written = try Command.run("inspect", folder.path.appending("near").string)
    #expect(written.status == 0)
    let exact = try report("exact", "--max-drop", "0", "--evaluate", Command.photos)
    let accuracy = try #require(exact.accuracy)
    #expect(accuracy.after.top1 >= accuracy.before.top1)

    // With one layer of integers in front of the features, these are not the very same.
    let target = folder.path.appending("never").string
    let never = try Command.run(
      "quantize", Self.sample, "--calibration", Command.photos, "--scheme", "w4", "--output", target,
      "--min-cosine", "1", "--keep", "head")
    #expect(never.status == 1 && never.errors.contains("cannot be reached"), "\(never.errors)")
    #expect(!FileManager.default.fileExists(atPath: target + "/model.safetensors"))
  }

  @Test func refusesBeforeItWorks() throws {
    let folder = try TemporaryFolder()
    let target = folder.path.appending("model").string
    try folder.write("{}", to: "model/config.json")
    let there = try Command.run("quantize", Self.sample, "--calibration", Command.photos, "--output", target)
    #expect(there.status == 1 && there.errors.contains("holds a config.json already"))
    let empty = folder.path.appending("empty").string
    try FileManager.default.createDirectory(atPath: empty, withIntermediateDirectories: true)
    let other = folder.path.appending("other").string
    let missing = try Command.run(
      "quantize", Self.sample, "--calibration", "no/such/folder", "--output", other)
    #expect(
      missing.status == 1 && missing.errors.contains("no/such/folder: no such file"), "\(missing.errors)")
    let none = try Command.run("quantize", Self.sample, "--calibration", empty, "--output", other)
    #expect(
      none.status == 1 && none.errors.contains("nothing to calibrate with")
        && !FileManager.default.fileExists(atPath: other))
    for (arguments, message) in [
      (["--max-drop", "1"], "give --evaluate"), (["--group-size", "48"], "--group-size must be 32 or 64"),
      (["--group-size", "32"], "--group-size needs --scheme w4"),
      (["--observer", "minmax"], "--observer needs --scheme w8a8-static"),
      (["--scheme", "w8", "--no-smoothing"], "w8 rounds no activations"),
      (["--min-cosine", "2"], "--min-cosine must be"), (["--images", "0"], "--images must be"),
    ] {
      let run = try Command.run(
        "quantize", [Self.sample, "--calibration", Command.photos, "--output", other] + arguments)
      #expect(run.status == 64 && run.errors.contains(message))
    }
    let unknown = try Command.run(
      "quantize", Self.sample, "--calibration", Command.photos, "--output", other, "--keep", "blocks.77")
    #expect(unknown.status == 1 && unknown.errors.contains("--keep blocks.77: no layer is called so"))
  }
}
