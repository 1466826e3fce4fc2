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

  @Test func aRunIsNotOverwritten() throws {
    let folder = try TemporaryFolder()
    try folder.write(Array("{}".utf8), to: "config.json")
    let result = try Command.run("train", Self.arguments(folder.path))
    #expect(result.status == 1 && result.errors.contains("there is a run already"))
  }
}
