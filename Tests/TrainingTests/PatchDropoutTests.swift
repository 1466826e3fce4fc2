import Testing
import Training

/// A patch that is dropped has no part in the loss: its position gets no gradient.
@Suite("Patch dropout") struct PatchDropoutTests {
  /// For each of the fixture's positions whether it got a gradient, from one sample alone.
  private static func seen(
    _ pass: BatchPass, _ fixture: TrainingFixture, sample: Int = 0, step: Int = 0, epoch: Int = 0
  ) throws -> [Bool] {
    let positions = try #require(pass.store.layout.parameters.first { $0.role == .positions })
    pass.resetGradients()
    let one = fixture.batch.part(sample..<sample + 1)
    _ = pass.accumulate(one, weight: 1, step: step, firstSample: sample, epoch: epoch)
    let dim = fixture.architecture.configuration.embedDim
    let gradient = pass.store.tensor(positions, .gradients)
    return stride(from: 0, to: gradient.count, by: dim).map { row in
      gradient[row..<row + dim].contains { $0 != 0 }
    }
  }

  /// timm's `PatchDropout`: max(1, int(patches * (1 - rate))) stay.
  @Test(arguments: [(0.5, 0.5), (0.3, 0.7), (0.99, 0)] as [(Double, Double)])
  func keepsAsManyAsTimm(_ rate: Double, share: Double) throws {
    let fixture = try TrainingFixture("registers-layer-scale")
    let c = fixture.architecture.configuration
    let patches = c.gridSize.height * c.gridSize.width
    var rates = DropoutRates()
    rates.patch = rate
    let pass = BatchPass(try fixture.store(), threads: 1, rates: rates, seed: 9)
    let seen = try Self.seen(pass, fixture)
    let prefix = seen.count - patches
    #expect(seen[..<prefix].allSatisfy { $0 }, "a prefix token was dropped")
    #expect(seen[prefix...].count { $0 } == max(1, Int(Double(patches) * share)))
  }

  /// In Python's double precision: int(400 * (1 - 0.6)) is 160, int(400 * (1 - 0.9)) is 39.
  @Test(arguments: [(0.6, 400, 160), (0.9, 400, 39), (0.1, 10, 9), (0.5, 1, 1), (0.25, 196, 147)])
  func countsAsPython(_ rate: Double, patches: Int, kept: Int) {
    var rates = DropoutRates()
    rates.patch = rate
    #expect(rates.keptPatches(of: patches) == kept)
  }

  /// Other samples and steps lose other patches, each patch about as often; the same place loses the same.
  @Test func choosesEvenly() throws {
    let fixture = try TrainingFixture("registers-layer-scale")
    let c = fixture.architecture.configuration
    let patches = c.gridSize.height * c.gridSize.width
    var rates = DropoutRates()
    rates.patch = 0.5
    let pass = BatchPass(try fixture.store(), threads: 1, rates: rates, seed: 9)
    let steps = 400
    var counts = [Int](repeating: 0, count: patches)
    for step in 0..<steps {
      for (index, seen) in try Self.seen(pass, fixture, step: step).suffix(patches).enumerated() where seen {
        counts[index] += 1
      }
    }
    let share = Double((patches / 2)) / Double(patches)
    // Five standard deviations of a binomial distribution.
    let limit = 5 * (Double(steps) * share * (1 - share)).squareRoot()
    for count in counts { #expect(abs(Double(count) - share * Double(steps)) < limit, "\(counts)") }
    let first = try Self.seen(pass, fixture, step: 7)
    #expect(try first == Self.seen(pass, fixture, step: 7))
    #expect(try first != Self.seen(pass, fixture, step: 8))
    #expect(try first != Self.seen(pass, fixture, sample: 1, step: 7))
  }

  @Test func endsAfterItsEpochs() throws {
    let fixture = try TrainingFixture("token")
    var rates = DropoutRates()
    (rates.patch, rates.patchEpochs) = (0.5, 2)
    let pass = BatchPass(try fixture.store(), threads: 1, rates: rates, seed: 9)
    #expect(try Self.seen(pass, fixture, epoch: 1).contains(false))
    #expect(try !Self.seen(pass, fixture, epoch: 2).contains(false))
    // Without any dropout left, the loss is that of a network without.
    let plain = BatchPass(try fixture.store(), threads: 1)
    #expect(
      pass.accumulate(fixture.batch, weight: 1, step: 0, epoch: 2)
        == plain.accumulate(fixture.batch, weight: 1, step: 0, epoch: 0))
  }
}
