import Checkpoints
import Foundation
import Kernels
import SystemPackage
import TestSupport
import Testing
import Training
import VisionTransformer

/// Losses and gradients against torch's autograd over timm's models, in double precision
/// (`scripts/reference/training_fixtures.py`).
@Suite("Gradients") struct GradientTests {
  /// Of a tensor's largest gradient: float32 against float64, through two blocks.
  static let gradientLimit: Float = 1e-4
  static let lossLimit = 1e-5

  static let variants = [
    "token", "average", "average-without-class-token", "maximum", "average-maximum", "registers-layer-scale",
    "registers-no-embed-class", "qk-norm", "pre-norm-layer", "rms-norm", "no-biases", "inner-norms",
    "patch-norm", "no-positions", "gelu-tanh", "quick-gelu", "relu-rectangular", "swiglu-packed", "swiglu",
    "post-norm", "distilled",
  ]

  @Test(arguments: variants) func agreeWithAutograd(_ name: String) throws {
    let fixture = try TrainingFixture(name)
    let store = try fixture.store()
    let pass = BatchPass(store, threads: 1)
    pass.resetGradients()
    let totals = pass.accumulate(fixture.batch, weight: 1 / Float(fixture.batch.count), step: 0, epoch: 0)
    #expect(abs(totals.meanLoss - fixture.loss) <= Self.lossLimit * fixture.loss)
    #expect(totals.samples == fixture.batch.count)
    for tensor in store.layout.savedTensors {
      let expected = try fixture.floats("gradients.\(tensor.name)")
      let actual = store.withElements(of: tensor, .gradients) { Array($0) }
      try #require(actual.count == expected.count, "\(tensor.name)")
      let largest = expected.reduce(0) { max($0, abs($1)) }
      let error = zip(actual, expected).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
      // What is added to all keys has no effect: its gradient is 0, here but for rounding.
      #expect(error <= Self.gradientLimit * largest + 1e-7, "\(tensor.name): \(error) of \(largest)")
    }
  }

  /// The same with activations computed again: not one bit changes.
  @Test(arguments: ["token", "registers-layer-scale", "swiglu-packed", "post-norm", "distilled"])
  func recomputationChangesNothing(_ name: String) throws {
    let fixture = try TrainingFixture(name)
    let gradients = try [false, true].map { recomputes in
      let store = try fixture.store()
      let pass = BatchPass(store, threads: 1, recomputes: recomputes)
      _ = pass.accumulate(fixture.batch, weight: 0.25, step: 0, epoch: 0)
      return store.layout.parameters.map { store.tensor($0, .gradients) }
    }
    #expect(gradients[0] == gradients[1])
  }

  /// Dropout of every kind: with masks that stay the same, the gradient is the slope of the loss.
  @Test(
    arguments: ["token", "registers-layer-scale", "swiglu-packed", "post-norm", "inner-norms"], [false, true])
  func areSlopesOfTheLoss(_ name: String, drops: Bool) throws {
    let fixture = try TrainingFixture(name)
    let store = try fixture.store()
    var rates = DropoutRates()
    if drops {
      (rates.patch, rates.embedding, rates.projection, rates.attention, rates.path, rates.head) = (
        0.3, 0.1, 0.2, 0.15, 0.4, 0.1
      )
    }
    let pass = BatchPass(store, threads: 1, rates: rates, seed: 3)
    pass.resetGradients()
    _ = pass.accumulate(fixture.batch, weight: 1, step: 2, epoch: 0)
    func currentLoss() -> Double { pass.accumulate(fixture.batch, weight: 0, step: 2, epoch: 0).loss }
    for parameter in store.layout.parameters {
      // Along the gradient of one tensor: the slope is the gradient's norm.
      let gradient = store.tensor(parameter, .gradients).map(Double.init)
      let norm = gradient.reduce(0) { $0 + $1 * $1 }.squareRoot()
      guard norm > 1e-3 else { continue }
      let start = store.tensor(parameter)
      let step = 4e-3 / max(1, norm)
      func loss(at distance: Double) -> Double {
        store.withTensor(parameter) { values in
          for index in values.indices {
            values[index] = Float(Double(start[index]) + distance * gradient[index] / norm)
          }
        }
        return currentLoss()
      }
      let slope = (loss(at: step) - loss(at: -step)) / (2 * step)
      store.withTensor(parameter) { _ = $0.update(fromContentsOf: start) }
      // Central differences err by the third derivative, and by the rounding of a loss of about 10 in float32's logits.
      #expect(abs(slope - norm) <= 0.02 * norm + 0.02, "\(parameter.name): slope \(slope), gradient \(norm)")
    }
  }

  /// The gradients do not depend on the number of threads.
  @Test func threadsChangeNothing() throws {
    let fixture = try TrainingFixture("registers-layer-scale")
    let batch = fixture.repeated(9)
    var rates = DropoutRates()
    (rates.patch, rates.projection, rates.path) = (0.25, 0.1, 0.2)
    let gradients = try [1, 2, 3, 8].map { threads in
      let store = try fixture.store()
      let pass = BatchPass(store, threads: threads, rates: rates, seed: 1)
      _ = pass.accumulate(batch, weight: 1 / Float(batch.count), step: 1, epoch: 0)
      return store.layout.parameters.map { store.tensor($0, .gradients) }
    }
    for other in gradients.dropFirst() { #expect(other == gradients[0]) }
  }

  /// Sixteen accumulated batches of 16 are the batch of 256, with and without dropouts.
  @Test(arguments: [false, true]) func accumulatedBatchesAreTheWhole(drops: Bool) throws {
    let fixture = try TrainingFixture("registers-layer-scale")
    let batch = fixture.repeated(64)
    try #require(batch.count == 256)
    var rates = DropoutRates()
    if drops { (rates.patch, rates.projection, rates.path) = (0.25, 0.1, 0.2) }
    let stores = try [256, 16].map { size in
      let store = try fixture.store()
      let pass = BatchPass(store, threads: 2, rates: rates, seed: 1)
      for first in stride(from: 0, to: batch.count, by: size) {
        _ = pass.accumulate(
          batch.part(first..<first + size), weight: 1 / Float(batch.count), step: 1, firstSample: first,
          epoch: 0)
      }
      return store
    }
    for parameter in stores[0].layout.parameters {
      let (whole, sum) = (stores[0].tensor(parameter, .gradients), stores[1].tensor(parameter, .gradients))
      let largest = whole.reduce(0) { max($0, abs($1)) }
      let error = zip(sum, whole).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
      #expect(error <= 1e-5 * largest + 1e-9, "\(parameter.name): \(error) of \(largest)")
    }
  }

  @Test func frozenBackboneTrainsTheHeadAlone() throws {
    let fixture = try TrainingFixture("distilled")
    let (store, whole) = (try fixture.store(), try fixture.store())
    _ = BatchPass(store, threads: 2, headOnly: true).accumulate(
      fixture.batch, weight: 0.25, step: 0, epoch: 0)
    _ = BatchPass(whole, threads: 2).accumulate(fixture.batch, weight: 0.25, step: 0, epoch: 0)
    for parameter in store.layout.parameters {
      let gradient = store.tensor(parameter, .gradients)
      if parameter.isHead {
        #expect(gradient == whole.tensor(parameter, .gradients), "\(parameter.name)")
      } else {
        #expect(gradient.allSatisfy { $0 == 0 }, "\(parameter.name)")
      }
    }
  }
}
