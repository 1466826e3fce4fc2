import Checkpoints
import Foundation
import SystemPackage
import TestSupport
import Testing
import Training
import VisionTransformer

/// Whole trainings of a tiny network, interrupted and resumed.
@Suite("Trainer") struct TrainerTests {
  /// Noise with a class' mean: made up from index and epoch, as augmented images are.
  struct MadeUpSamples: SampleSource {
    var count = 70
    var numClasses = 3
    var failing: Int?
    var fingerprint: String { "\(count)" }

    func load(_ index: Int, epoch: Int, into pixels: UnsafeMutableBufferPointer<Float>) throws -> Int? {
      if index == failing { throw TrainingError.data(reason: "sample \(index) is gone") }
      var random = CounterRandom(seed: 1, stream: 2, position: UInt64(index), UInt64(epoch))
      let label = index % numClasses
      for place in pixels.indices {
        pixels[place] = random.uniform(in: -1...1) + (place % numClasses == label ? 0.7 : 0)
      }
      return label
    }

    func targets(_ labels: [Int], pixels: UnsafeMutableBufferPointer<Float>, step: Int) -> [Float] {
      plainTargets(labels, smoothing: 0.1)
    }
  }

  static func store(_ settings: TrainerSettings) throws -> ParameterStore {
    let arguments: [String: JSONValue] = [
      "img_size": .number(8), "patch_size": .number(4), "embed_dim": .number(16), "depth": .number(2),
      "num_heads": .number(2), "num_classes": .number(3),
    ]
    let model = try TimmModel(architecture: "vit_tiny_patch16_224", arguments: arguments, path: "test")
    let store = ParameterStore(
      ParameterLayout(try TrainableArchitecture(model)), moments: settings.optimizer.moments,
      averages: settings.optimizer.averageDecay != nil)
    Initialization.initialize(store, seed: 5, layerScale: nil)
    return store
  }

  static let settings: TrainerSettings = {
    var settings = TrainerSettings()
    (settings.epochs, settings.batchSize, settings.accumulation, settings.seed) = (3, 8, 2, 9)
    settings.logEvery = 1
    settings.stateSeconds = 0
    settings.optimizer.learningRate = 3e-3
    settings.optimizer.averageDecay = 0.9
    settings.optimizer.clipNorm = 1
    settings.dropout.projection = 0.1
    settings.dropout.path = 0.1
    return settings
  }()

  static let modelConfiguration = JSONValue.object([
    "architecture": .string("vit_tiny_patch16_224"), "num_classes": .number(3),
    "global_pool": .string("token"),
    "model_args": .object([
      "img_size": .number(8), "patch_size": .number(4), "embed_dim": .number(16), "depth": .number(2),
      "num_heads": .number(2),
    ]),
    "pretrained_cfg": .object([
      "input_size": .array([.number(3), .number(8), .number(8)]), "interpolation": .string("bicubic"),
      "crop_pct": .number(1), "mean": .array([.number(0.5), .number(0.5), .number(0.5)]),
      "std": .array([.number(0.5), .number(0.5), .number(0.5)]),
    ]),
  ])

  static func trainer(
    _ settings: TrainerSettings, _ folder: FilePath, train: MadeUpSamples = MadeUpSamples(),
    store: ParameterStore? = nil
  ) throws -> Trainer {
    try Trainer(
      settings, store: store ?? Self.store(settings), train: train, validation: MadeUpSamples(count: 21),
      folder: RunFolder(folder), modelConfiguration: modelConfiguration, identity: RunIdentity())
  }

  static func values(_ trainer: Trainer) -> [[Float]] {
    trainer.store.layout.parameters.flatMap { parameter in
      [.values, .firstMoments, .secondMoments, .averages].map { trainer.store.tensor(parameter, $0) }
    }
  }

  @Test func learnsAndLeavesAModel() throws {
    let folder = try TemporaryFolder()
    var settings = Self.settings
    settings.epochs = 12
    settings.optimizer.averageDecay = nil
    let trainer = try Self.trainer(settings, folder.path)
    #expect(trainer.stepsPerEpoch == 4)
    #expect(try trainer.run(resuming: false) == .finished)
    let lines = try String(contentsOfFile: folder.path.appending("metrics.jsonl").string, encoding: .utf8)
      .split(separator: "\n").map { try JSONDecoder().decode(JSONValue.self, from: Data($0.utf8)) }
    let epochs = lines.filter { $0["kind"] == .string("epoch") }
    #expect(epochs.count == 12 && lines.count == 12 * 5)
    let losses = epochs.compactMap { $0["validation_loss"]?.double }
    #expect(losses.count == 12 && (losses.last ?? 9) < 0.9 * (losses.first ?? 0))
    #expect(epochs.last?["validation_top1"]?.double ?? 0 > 0.6)
    for name in ["last", "best"] {
      let model = try VisionTransformer(Checkpoint(folder.path.appending(name)))
      #expect(model.configuration == trainer.store.layout.architecture.configuration)
    }
  }

  /// Patches are dropped in the epochs that the settings say.
  @Test func patchDropoutEnds() throws {
    func weights(_ epochs: Int?) throws -> [[Float]] {
      var settings = Self.settings
      (settings.dropout.patch, settings.dropout.patchEpochs) = (0.5, epochs)
      let folder = try TemporaryFolder()
      let trainer = try Self.trainer(settings, folder.path)
      #expect(try trainer.run(resuming: false) == .finished)
      return Self.values(trainer)
    }
    let always = try weights(nil)
    #expect(try weights(Self.settings.epochs) == always)
    #expect(try weights(Self.settings.epochs - 1) != always)
  }

  /// Whatever the number of threads, wherever it is stopped: the same weights.
  @Test(arguments: [OptimizerSettings.Kind.adamW, .muon])
  func stoppedAndResumedIsTheSame(_ kind: OptimizerSettings.Kind) throws {
    var settings = Self.settings
    settings.optimizer.kind = kind
    let whole = try TemporaryFolder()
    let reference = try Self.trainer(settings, whole.path)
    #expect(try reference.run(resuming: false) == .finished)
    for stops in [[1], [3, 4, 5], [8], [11, 12]] {
      let folder = try TemporaryFolder()
      settings.threads = 1
      var trainer = try Self.trainer(settings, folder.path)
      var isFirst = true
      for stop in stops {
        #expect(
          try trainer.run(resuming: !isFirst) { trainer.progress.step >= stop } == .cancelled, "stop \(stop)")
        #expect(trainer.progress.step == stop)
        settings.threads = 2
        trainer = try Self.trainer(settings, folder.path)
        isFirst = false
      }
      #expect(try trainer.run(resuming: true) == .finished)
      #expect(Self.values(trainer) == Self.values(reference), "\(stops)")
      #expect(trainer.progress.bestTop1 == reference.progress.bestTop1)
      for name in ["last/model.safetensors", "best/model.safetensors"] {
        #expect(
          FileManager.default.contentsEqual(
            atPath: folder.path.appending(name).string, andPath: whole.path.appending(name).string), "\(name)"
        )
      }
      let metrics = try [folder, whole].map {
        try String(contentsOfFile: $0.path.appending("metrics.jsonl").string, encoding: .utf8).split(
          separator: "\n")
      }
      // The speed is another, all else the same.
      #expect(metrics[0].count == metrics[1].count)
      for (a, b) in zip(metrics[0], metrics[1]) {
        #expect(a.split(separator: ",").prefix(5) == b.split(separator: ",").prefix(5))
      }
    }
  }

  /// Stopped while it evaluates, behind the epoch's last step: the evaluation is done when it goes on.
  @Test func stoppedInTheEvaluation() throws {
    let (whole, folder) = (try TemporaryFolder(), try TemporaryFolder())
    let reference = try Self.trainer(Self.settings, whole.path)
    #expect(try reference.run(resuming: false) == .finished)
    let trainer = try Self.trainer(Self.settings, folder.path)
    var asked = 0
    let outcome = try trainer.run(resuming: false) {
      if trainer.progress.step == trainer.stepsPerEpoch { asked += 1 }
      return asked == 2
    }
    #expect(outcome == .cancelled && trainer.progress.epoch == 0)
    #expect(trainer.progress.stepInEpoch == trainer.stepsPerEpoch && trainer.progress.bestTop1 == nil)
    let resumed = try Self.trainer(Self.settings, folder.path)
    #expect(try resumed.run(resuming: true) == .finished)
    #expect(Self.values(resumed) == Self.values(reference))
    #expect(resumed.progress.bestTop1 == reference.progress.bestTop1)
  }

  @Test func aFailureLeavesTheLastState() throws {
    let folder = try TemporaryFolder()
    var settings = Self.settings
    settings.stateSeconds = 1e9
    // In the order of the first epoch, sample 69 comes late enough or not at all; a failing one stops the run.
    var samples = MadeUpSamples()
    samples.failing = 11
    let trainer = try Self.trainer(settings, folder.path, train: samples)
    #expect(throws: TrainingError.data(reason: "sample 11 is gone")) { _ = try trainer.run(resuming: false) }
    let resumed = try Self.trainer(Self.settings, folder.path)
    #expect(try resumed.run(resuming: true) == .finished)
    let other = try TemporaryFolder()
    let reference = try Self.trainer(Self.settings, other.path)
    _ = try reference.run(resuming: false)
    #expect(Self.values(resumed) == Self.values(reference))
  }

  @Test func divergenceStopsWithTheStep() throws {
    let folder = try TemporaryFolder()
    var settings = Self.settings
    settings.optimizer.kind = .sgd
    settings.optimizer.averageDecay = nil
    settings.optimizer.clipNorm = nil
    settings.optimizer.learningRate = 1e30
    let trainer = try Self.trainer(settings, folder.path)
    do {
      _ = try trainer.run(resuming: false)
      Issue.record("a learning rate of 1e30 went through")
    } catch TrainingError.diverged(let step, _, let checkpoint) {
      #expect(step > 1 && step <= 12)
      // Before the first epoch is through there is no model that one could be sent to.
      #expect(checkpoint == (step > trainer.stepsPerEpoch ? folder.path.appending("last") : nil))
    }
    // The state on the disk is finite.
    let store = try Self.store(settings)
    let progress = try RunFolder(folder.path).readState(into: store, identity: try Self.identity(folder.path))
    #expect(progress.step >= 0)
    #expect(store.layout.parameters.allSatisfy { store.tensor($0).allSatisfy(\.isFinite) })
  }

  static func identity(_ folder: FilePath) throws -> String {
    try #require(
      try SafetensorsFile(folder.appending("last").appending("state.safetensors")).metadata["vitrine.run"])
  }

  @Test func otherDataIsRefused() throws {
    let folder = try TemporaryFolder()
    let trainer = try Self.trainer(Self.settings, folder.path)
    _ = try trainer.run(resuming: false) { true }
    let other = try Self.trainer(Self.settings, folder.path, train: MadeUpSamples(count: 71))
    #expect {
      _ = try other.run(resuming: true)
    } throws: { error in
      "\(error)".contains("training samples was 70 and is 71")
    }
  }

  @Test func tooFewSamples() throws {
    let folder = try TemporaryFolder()
    #expect(throws: TrainingError.self) {
      _ = try Self.trainer(Self.settings, folder.path, train: MadeUpSamples(count: 15))
    }
  }
}
