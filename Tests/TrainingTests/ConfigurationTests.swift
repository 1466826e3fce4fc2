import Checkpoints
import Foundation
import SystemPackage
import TestSupport
import Testing
import Training

@Suite("Training configurations") struct ConfigurationTests {
  static func read(_ text: String, changes: [String] = []) throws -> TrainingConfiguration {
    try TrainingConfiguration(
      JSONDecoder().decode(JSONValue.self, from: Data(text.utf8)), changes: changes)
  }

  @Test func defaultsAndChanges() throws {
    #expect(try Self.read("{}") == TrainingConfiguration())
    let changed = try Self.read(
      #"{"optimizer": {"kind": "sgd", "momentum": 0.5}}"#,
      changes: ["optimizer.learning_rate=0.25", "schedule.kind=step", "schedule.decay_epochs=2", "epochs=7"])
    #expect(changed.optimizer.kind == .sgd && changed.optimizer.momentum == 0.5)
    #expect(
      changed.optimizer.learningRate == 0.25 && changed.schedule.decayEpochs == 2 && changed.epochs == 7)
    #expect(changed.optimizer.weightDecay == OptimizerSettings().weightDecay)
  }

  /// What is written is read as the same, so that a run's `config.json` is a configuration.
  @Test func roundTrip() throws {
    for name in [
      "cifar10-small", "cifar10-finetune", "cifar100-scratch", "cifar100-finetune", "linear-probe",
    ] {
      let path = Fixtures.project.appending("samples/configs/\(name).json")
      let configuration = try TrainingConfiguration(RunRecord.document(path))
      let record = try RunRecord(configuration: configuration, from: "model")
      #expect(try TrainingConfiguration(record.document) == configuration, "\(name)")
    }
  }

  @Test(arguments: [
    (#"{"optimizer": {"momentm": 0.9}}"#, "optimizer.momentm"),
    (#"{"epoch": 3}"#, "epoch"),
    (#"{"optimizer": {"momentum": 0.5}}"#, "optimizer.momentum"),
    (#"{"optimizer": {"kind": "sgd", "beta1": 0.5}}"#, "optimizer.beta1"),
    (#"{"optimizer": {"kind": "muon"}, "freeze": "backbone"}"#, "optimizer.kind"),
    (#"{"schedule": {"decay_factor": 0.5}}"#, "schedule.decay_factor"),
    (#"{"schedule": {"kind": "constant", "final_rate": 0.5}}"#, "schedule.final_rate"),
    (#"{"schedule": {"warm_up_start": 0.5}}"#, "schedule.warm_up_start"),
    (#"{"freeze": "backbone", "recompute": true}"#, "recompute"),
    (#"{"epochs": 0}"#, "epochs"), (#"{"epochs": "many"}"#, "epochs"), (#"{"version": 2}"#, "version"),
    (#"{"optimizer": {"learning_rate": -1}}"#, "optimizer.learning_rate"),
    (#"{"optimizer": {"kind": "adam"}}"#, "optimizer.kind"), (#"{"optimizer": 3}"#, "optimizer"),
    (#"{"data": {"validation": 1.5}}"#, "data.validation"), (#"{"dropout": {"path": 1}}"#, "dropout.path"),
    (#"{"dropout": {"patch": 1}}"#, "dropout.patch"),
    (#"{"dropout": {"patch_epochs": 3}}"#, "dropout.patch_epochs"),
    (#"{"dropout": {"patch": 0.5, "patch_epochs": 0}}"#, "dropout.patch_epochs"),
    (#"{"model": {"initialization": "zero"}}"#, "model.initialization"),
  ]) func mistakesAreNamed(_ text: String, key: String) throws {
    do {
      _ = try Self.read(text)
      Issue.record("\(text) went through")
    } catch TrainingError.configuration(let actual, _) {
      #expect(actual == key)
    }
  }

  @Test func namesThatThereAreAreTold() {
    #expect {
      _ = try Self.read(#"{"optimizer": {"kind": "adam"}}"#)
    } throws: { error in
      "\(error)".contains("must be one of adamw, sgd, muon, not adam")
    }
  }

  @Test func changesOfNoFormAreRefused() {
    #expect(throws: TrainingError.self) { _ = try Self.read("{}", changes: ["epochs"]) }
  }
}

@Suite("TensorBoard files") struct TensorBoardTests {
  /// The check value of the Castagnoli checksum (RFC 3720).
  @Test func checksum() {
    #expect(CRC32C.checksum(Array("123456789".utf8)) == 0xE306_9283)
  }

  /// Bytes as Google's protobuf library writes them.
  @Test func messages() {
    var message = ProtobufMessage()
    message.append(integer: 300, field: 2)
    message.append(bytes: Array("testing".utf8), field: 2)
    message.append(float: 1, field: 2)
    message.append(double: 1, field: 1)
    #expect(
      message.bytes == [
        0x10, 0xAC, 0x02, 0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6E, 0x67, 0x15, 0, 0, 0x80, 0x3F, 0x09,
        0, 0, 0, 0, 0, 0, 0xF0, 0x3F,
      ])
  }
}
