import Foundation
import SystemPackage
import TestSupport
import Testing

/// `vitrine train` as a process.
@Suite(.serialized) struct TrainTests {
  /// Thirty images of ten classes.
  static let data = Fixtures.project.appending("samples/cifar10")

  static func arguments(_ run: FilePath, _ more: [String] = []) -> [String] {
    [
      "--config", Fixtures.project.appending("samples/configs/cifar10-small.json").string, "--data",
      data.string, "--output", run.string, "--quiet", "--threads", "2",
    ]
      + [
        "epochs=3", "batch_size=6", "data.validation=0.34", "schedule.warm_up_epochs=1",
        "dropout.patch_epochs=2", "log_every=1",
        "model.model_args.embed_dim=24", "model.model_args.depth=2",
      ].flatMap { ["--set", $0] } + more
  }

  /// Killed at ten moments, gone on with each time: the same weights.
  @Test func killedRunsGoOnToTheSameWeights() throws {
    let folder = try TemporaryFolder()
    let whole = folder.path.appending("whole")
    let reference = try Command.run("train", Self.arguments(whole))
    #expect(reference.status == 0, "\(reference.errors)")
    let weights = "last/model.safetensors"
    for moment in 1...10 {
      let run = folder.path.appending("killed-\(moment)")
      let process = Process()
      process.executableURL = Command.executable
      process.arguments = ["train"] + Self.arguments(run)
      process.standardError = FileHandle.nullDevice
      try process.run()
      usleep(UInt32(moment) * 23_000)
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
      // Before the configuration is there, nothing is.
      let begun = FileManager.default.fileExists(atPath: run.appending("config.json").string)
      let resumed = try Command.run(
        "train",
        begun
          ? ["--resume", "--data", Self.data.string, "--output", run.string, "--quiet"] : Self.arguments(run))
      #expect(resumed.status == 0, "\(moment): \(resumed.errors)")
      #expect(
        FileManager.default.contentsEqual(
          atPath: run.appending(weights).string, andPath: whole.appending(weights).string), "\(moment)")
    }
  }

  /// The configuration says what weights are drawn as; those of a model given to begin with are not drawn.
  @Test func weightsAreDrawnAsConfigured() throws {
    let folder = try TemporaryFolder()
    func train(_ name: String, _ arguments: String...) throws -> Command.Outcome {
      try Command.run(
        "train", Self.arguments(folder.path.appending(name), ["--set", "epochs=2"] + arguments))
    }
    let weights = try ["mimetic", "timm"].map { kind in
      let run = try train(kind, "--set", "model.initialization=\(kind)")
      #expect(run.status == 0, "\(run.errors)")
      return try Data(
        contentsOf: URL(fileURLWithPath: folder.path.appending("\(kind)/last/model.safetensors").string))
    }
    #expect(weights[0] != weights[1])
    let from = try train("from", "--from", Fixtures.project.appending("samples/models/cifar10").string)
    #expect(from.status == 1 && from.errors.contains("model.initialization"), "\(from.errors)")
  }

  /// One unreadable image of each part: counted together, left out of the evaluation, and put up with by a run that is gone on with.
  @Test func badImages() throws {
    let folder = try TemporaryFolder()
    for part in ["train", "val"] {
      for name in ["cat", "ship"] {
        for number in ["0100", "0500"] {
          try folder.copy(
            Self.data.appending("\(name)/\(number).jpg"), to: "data/\(part)/\(name)/\(number).jpg")
        }
      }
      try folder.write([0xFF, 0xD8, 0xFF], to: "data/\(part)/cat/bad.jpg")
    }
    let data = folder.path.appending("data").string
    func train(_ run: FilePath, _ more: [String]) throws -> Command.Outcome {
      try Command.run(
        "train",
        Self.arguments(
          run, ["--data", data, "--set", "data.validation=null", "--set", "batch_size=5"] + more))
    }
    let run = folder.path.appending("run")
    let stopped = try train(run, ["--max-bad-images", "1"])
    #expect(
      stopped.status == 1 && stopped.errors.contains("more than 1 images cannot be read"), "\(stopped.errors)"
    )
    let resumed = try Command.run(
      "train", ["--resume", "--data", data, "--output", run.string, "--quiet", "--max-bad-images", "2"])
    #expect(resumed.status == 2 && resumed.errors.contains("val/cat/bad.jpg"), "\(resumed.errors)")
    // Nothing is left to do, and what was left out is not forgotten.
    let again = try Command.run(
      "train", ["--resume", "--data", data, "--output", run.string, "--quiet", "--max-bad-images", "2"])
    #expect(again.status == 2, "\(again.errors)")
    let report = folder.path.appending("report.json").string
    let evaluated = try Command.run(
      "evaluate", data, "--split", "val", "--model", run.appending("last").string, "--report", report)
    #expect(evaluated.status == 2)
    let metrics = try String(contentsOfFile: run.appending("metrics.jsonl").string, encoding: .utf8)
    let line = try #require(metrics.split(separator: "\n").last { $0.contains("validation_loss") })
    func object(_ data: Data) throws -> [String: Any] {
      try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    }
    let trained = try object(Data(line.utf8))
    let measured = try object(Data(contentsOf: URL(fileURLWithPath: report)))
    #expect(measured["images"] as? Int == 4)
    #expect(trained["validation_top1"] as? Double == measured["top1"] as? Double)
    let (a, b) = (trained["validation_loss"] as? Double ?? 0, measured["loss"] as? Double ?? 1)
    #expect(abs(a - b) < 1e-4, "\(a), \(b)")
  }

  /// What no machine could hold, or what would be no network, is refused before memory is taken for it.
  @Test func sizesThatCannotBe() throws {
    let folder = try TemporaryFolder()
    for (changes, message) in [
      (
        [
          "model.model_args.embed_dim=200000", "model.model_args.num_heads=200", "model.model_args.depth=100",
        ], "to train"
      ),
      (["model.model_args.embed_dim=999996", "model.model_args.depth=1000000"], "to train"),
      (["model.model_args.mlp_ratio=0.001"], "mlp_ratio"),
      (["augmentation=[{\"random_resized_crop\": {\"ratio\": [1e-300, 1]}}]"], "random_resized_crop.ratio"),
      (["augmentation=[{\"random_erasing\": {\"aspect\": [1e-300, 1]}}]"], "random_erasing.aspect"),
    ] {
      let run = try Command.run(
        "train", Self.arguments(folder.path.appending("run"), changes.flatMap { ["--set", $0] }))
      #expect(run.status == 1 && run.errors.contains(message), "\(run.errors)")
    }
    // Positions of other tokens than the model's own.
    let model = Fixtures.models.appending("timm-token").string
    let run = try Command.run(
      "train",
      Self.arguments(
        folder.path.appending("from"),
        [
          "--from", model, "--set", "model.initialization=timm", "--set",
          "model.model_args={\"no_embed_class\": true}",
        ]))
    #expect(run.status == 1 && run.errors.contains("pos_embed"), "\(run.errors)")
  }

  @Test func aRunIsNotOverwritten() throws {
    let folder = try TemporaryFolder()
    try folder.write(Array("{}".utf8), to: "config.json")
    let result = try Command.run("train", Self.arguments(folder.path))
    #expect(result.status == 1 && result.errors.contains("there is a run already"))
  }
}
