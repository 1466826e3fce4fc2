import Kernels
import Testing
import Training

/// A token pool reads a sample's first tokens alone, so that the last block computes only these. The reference computes them all: it is
/// the same network with one more block behind it, whose parameters are all 0 and whose branches therefore add nothing.
@Suite("First tokens of the last block") struct FirstTokensTests {
  /// Of a tensor's largest gradient: the same float32 terms, but for zeros, summed in another order.
  static let gradientLimit: Float = 1e-5
  /// Of the same sums of terms that were rounded to bfloat16: a last bit of float32 that differs can move a rounding.
  static let bf16GradientLimit: Float = 0x1p-8

  static let variants = [
    "token", "registers-layer-scale", "qk-norm", "rms-norm", "inner-norms", "swiglu-packed", "post-norm",
    "distilled",
  ]

  /// One training pass over a network with the fixture's weights.
  private struct Pass {
    let totals: Totals
    let evaluated: Totals
    let gradients: [String: [Float]]

    init(_ fixture: TrainingFixture, rates: DropoutRates, recomputes: Bool, precision: Precision) throws {
      let store = try fixture.store()
      let pass = BatchPass(
        store, threads: 1, rates: rates, recomputes: recomputes, precision: precision, seed: 5)
      totals = pass.accumulate(fixture.batch, weight: 0.25, step: 3, epoch: 0)
      evaluated = pass.evaluate(fixture.batch)
      gradients = Dictionary(
        uniqueKeysWithValues: store.layout.parameters.map { ($0.name, store.tensor($0, .gradients)) })
    }
  }

  @Test(arguments: variants, [false, true])
  func areWhatAllTokensGive(_ name: String, drops: Bool) throws {
    let fixture = try TrainingFixture(name)
    let reference = try TrainingFixture(name, extraBlocks: 1)
    var (rates, longer) = (DropoutRates(), DropoutRates())
    if drops {
      (rates.patch, rates.embedding, rates.projection, rates.attention, rates.path, rates.head) = (
        0.3, 0.1, 0.2, 0.15, 0.25, 0.1
      )
      longer = rates
      // Rises with the blocks, from 0 to this in the last: twice as much at the end of two steps.
      longer.path = 0.5
    }
    for precision in [Precision.fp32, .bf16] {
      let all = try Pass(reference, rates: longer, recomputes: false, precision: precision)
      for recomputes in [false, true] {
        let first = try Pass(fixture, rates: rates, recomputes: recomputes, precision: precision)
        // Each row of the forward pass is computed as it was.
        #expect(first.totals.loss == all.totals.loss, "\(precision)")
        #expect(first.evaluated.loss == all.evaluated.loss, "\(precision)")
        let limit = precision == .fp32 ? Self.gradientLimit : Self.bf16GradientLimit
        for (tensor, actual) in first.gradients {
          let expected = try #require(all.gradients[tensor])
          let largest = expected.reduce(0) { max($0, abs($1)) }
          let error = zip(actual, expected).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
          #expect(error <= limit * largest + 1e-7, "\(precision) \(tensor): \(error) of \(largest)")
        }
      }
    }
  }
}
