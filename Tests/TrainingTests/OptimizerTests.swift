import Checkpoints
import Foundation
import TestSupport
import Testing
import Training
import VisionTransformer

/// 50 steps against torch's optimisers and schedulers, timm's layer-wise decay and moving average
/// (`scripts/reference/training_fixtures.py`).
@Suite("Optimizers") struct OptimizerTests {
  static let limit: Float = 1e-5
  static let steps = 50

  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let settings: OptimizerSettings
    let schedule: Schedule
    var testDescription: String { name }
  }

  static let cases: [Case] = {
    func settings(_ change: (inout OptimizerSettings, inout Schedule) -> Void) -> (
      OptimizerSettings, Schedule
    ) {
      var (settings, schedule) = (OptimizerSettings(), Schedule())
      settings.learningRate = 0.01
      settings.weightDecay = 0.05
      // Ten steps of an epoch each.
      (schedule.warmUpEpochs, schedule.warmUpStart) = (10, 0.001)
      change(&settings, &schedule)
      return (settings, schedule)
    }
    let adamCosine = settings {
      ($0.layerDecay, $0.clipNorm, $0.averageDecay, $1.kind) = (0.75, 1, 0.9, .cosine)
    }
    let adamConstant = settings { ($0.averageDecay, $1.kind) = (0.99, .constant) }
    let sgdStep = settings {
      ($0.kind, $0.clipNorm, $1.kind, $1.decayEpochs, $1.decayFactor) = (.sgd, 5, .step, 10, 0.5)
    }
    let sgdLinear = settings {
      ($0.kind, $0.nesterov, $0.layerDecay, $1.kind, $1.finalRate) = (.sgd, true, 0.9, .linear, 0.001)
    }
    let muonCosine = settings {
      ($0.kind, $0.nesterov, $0.layerDecay, $0.clipNorm, $1.kind) = (.muon, true, 0.75, 1, .cosine)
    }
    let muonConstant = settings { ($0.kind, $0.averageDecay, $1.kind) = (.muon, 0.9, .constant) }
    return [
      Case(name: "adamw-cosine", settings: adamCosine.0, schedule: adamCosine.1),
      Case(name: "adamw-constant", settings: adamConstant.0, schedule: adamConstant.1),
      Case(name: "sgd-step", settings: sgdStep.0, schedule: sgdStep.1),
      Case(name: "sgd-linear", settings: sgdLinear.0, schedule: sgdLinear.1),
      Case(name: "muon-cosine", settings: muonCosine.0, schedule: muonCosine.1),
      Case(name: "muon-constant", settings: muonConstant.0, schedule: muonConstant.1),
    ]
  }()

  @Test(arguments: cases) func fiftySteps(_ test: Case) throws {
    let file = try SafetensorsFile(
      Fixtures.folder.appending("training").appending("optimizers.safetensors"))
    let arguments = try JSONDecoder().decode(
      [String: JSONValue].self, from: Data(try #require(file.metadata["model_args"]).utf8))
    let model = try TimmModel(
      architecture: try #require(file.metadata["architecture"]), arguments: arguments, path: "fixture")
    let store = ParameterStore(
      ParameterLayout(try TrainableArchitecture(model)), moments: test.settings.moments,
      averages: test.settings.averageDecay != nil)
    var gradients: [(first: [Float], second: [Float])] = []
    for parameter in store.layout.parameters {
      let initial = try file.floats("initial.\(parameter.name)")
      store.withTensor(parameter) { _ = $0.update(fromContentsOf: initial) }
      gradients.append(
        (try file.floats("first.\(parameter.name)"), try file.floats("second.\(parameter.name)")))
    }
    store.resetAverages()
    let optimizer = Optimizer(test.settings, threads: 2)
    let rates = try file.doubles("\(test.name)-rates")
    let norms = try file.doubles("\(test.name)-norms")
    for step in 0..<Self.steps {
      let (a, b) = (Float(cos(0.3 * Double(step))), Float(sin(0.5 * Double(step))))
      for (parameter, gradient) in zip(store.layout.parameters, gradients) {
        store.withTensor(parameter, .gradients) { values in
          for index in values.indices {
            values[index] = a * gradient.first[index] + b * gradient.second[index]
          }
        }
      }
      let rate = test.schedule.rate(step: step, stepsPerEpoch: 1, totalSteps: Self.steps, peak: 0.01)
      #expect(abs(rate - rates[step]) <= 1e-9, "step \(step): \(rate), torch \(rates[step])")
      let norm = optimizer.step(store, step: step, rate: rate)
      #expect(abs(norm - norms[step]) <= 1e-5 * norms[step], "step \(step)")
    }
    for parameter in store.layout.parameters {
      let deviation = Deviation(
        store.tensor(parameter), from: try file.floats("\(test.name).\(parameter.name)"))
      #expect(deviation.largest <= Self.limit, "\(parameter.name) \(deviation)")
      guard store.averages else { continue }
      let average = Deviation(
        store.tensor(parameter, .averages), from: try file.floats("\(test.name).ema.\(parameter.name)"))
      #expect(average.largest <= Self.limit, "average of \(parameter.name) \(average)")
    }
  }

  @Test func onlyWeightsDecay() throws {
    let fixture = try TrainingFixture("registers-layer-scale")
    let decaying = Set(ParameterLayout(fixture.architecture).parameters.filter(\.decays).map(\.name))
    let expected =
      ["patch_embed.proj.weight", "head.weight"]
      + (0..<2).flatMap { block in
        ["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"].map { "blocks.\(block).\($0).weight" }
      }
    #expect(decaying == Set(expected))
  }
}
