import Checkpoints
import Images
import TestSupport
import Testing
import VisionTransformer

/// What is read of the weights themselves, against numpy (`scripts/reference/picture_fixtures.py`).
@Suite struct InspectionTests {
  static let models = ["timm-token", "timm-dinov2-registers", "timm-rectangular", "hf-vit"]

  /// Both are rounded to float32, from sums in double precision.
  private static let tolerance: Float = 1e-6
  /// Eigenvectors turn by the error of the matrix over the distance of the eigenvalues; those of random weights are far apart.
  private static let vectorTolerance: Float = 1e-5

  private func model(_ name: String, describesOnly: Bool = true) throws -> VisionTransformer {
    try VisionTransformer(
      Fixtures.checkpoint(name), options: .init(describesOnly: describesOnly, labels: .none))
  }

  private func expected(_ name: String) throws -> [String: [Float]] {
    try Fixtures.tensors(Fixtures.folder.appending("pictures/\(name).safetensors"))
  }

  @Test(arguments: models) func `similarities of positions are numpy's`(name: String) throws {
    let positions = try model(name).positionTable()
    let deviation = Deviation(
      positions.similarities(), from: try #require(try expected(name)["similarities"]))
    #expect(deviation.largest <= Self.tolerance, "\(deviation)")
  }

  @Test(arguments: models) func `principal components of positions are numpy's`(name: String) throws {
    let positions = try model(name).positionTable()
    let fixture = try expected(name)
    let shares = try #require(fixture["position_shares"])
    let components = PrincipalComponents(of: positions.values, dim: positions.dim, components: shares.count)
    #expect(Deviation(components.varianceShares.map(Float.init), from: shares).largest <= Self.tolerance)
    let scores = components.scores(of: positions.values).joined().map(Float.init)
    let deviation = Deviation(scores, from: try #require(fixture["position_scores"]))
    #expect(deviation.largest <= Self.vectorTolerance, "\(deviation)")
  }

  @Test(arguments: models) func `principal components of filters are numpy's`(name: String) throws {
    let filters = try model(name).patchFilters()
    let fixture = try expected(name)
    let shares = try #require(fixture["filter_shares"])
    let components = PrincipalComponents(of: filters.values, dim: filters.dim, components: shares.count)
    #expect(Deviation(components.varianceShares.map(Float.init), from: shares).largest <= Self.tolerance)
    let directions = components.directions.joined().map(Float.init)
    let deviation = Deviation(directions, from: try #require(fixture["filters"]))
    #expect(deviation.largest <= Self.vectorTolerance, "\(deviation)")
  }

  @Test func `positions are resampled to another grid`() throws {
    let whole = try model("timm-token")
    let trained = try whole.positionTable()
    #expect(trained.grid == ImageSize(4) && trained.count == 16)
    let other = try whole.positionTable(grid: ImageSize(height: 6, width: 3))
    #expect(other.values.count == 18 * other.dim)
    #expect(try whole.positionTable(grid: ImageSize(4)).values == trained.values)
    #expect(try model("timm-token", describesOnly: false).positionTable().values == trained.values)
  }

  @Test func `a position of zeros is like none`() {
    let table = PositionTable(grid: ImageSize(height: 1, width: 3), dim: 2, values: [0, 0, 3, 4, -6, -8])
    #expect(table.similarities() == [0, 0, 0, 0, 1, -1, 0, -1, 1])
  }

  @Test func `filters of a hybrid are no pictures`() throws {
    let hybrid = try model("timm-hybrid")
    #expect(throws: ModelError.noPixelFilters(path: hybrid.path)) { try hybrid.patchFilters() }
  }

  // MARK: Eigenvectors

  /// Samples whose axes are known: along (3, 4) / 5 they are spread widely, across it less.
  @Test func `components lie along the axes of the samples, with settled signs`() {
    var samples: [Float] = []
    for a in [-2, -1, 0, 1, 2] as [Float] {
      for b in [-0.5, 0, 0.5] as [Float] { samples += [7 + 0.6 * a - 0.8 * b, -2 + 0.8 * a + 0.6 * b] }
    }
    let components = PrincipalComponents(of: samples, dim: 2, components: 5)
    #expect(components.directions.count == 2)
    for (found, wanted) in zip(components.directions.joined(), [0.6, 0.8, 0.8, -0.6]) {
      #expect(abs(found - wanted) < 1e-6)
    }
    // Variances 2 and 1/6.
    #expect(abs(components.varianceShares[0] - 12.0 / 13) < 1e-6)
  }

  @Test func `samples that are all the same have no variance`() {
    let components = PrincipalComponents(of: [Float](repeating: 3, count: 12), dim: 4, components: 2)
    #expect(components.varianceShares == [0, 0])
    #expect(components.directions.allSatisfy { $0.allSatisfy(\.isFinite) })
    #expect(PrincipalComponents(of: [1, 2, 3], dim: 3, components: 2).directions.isEmpty)
  }

  /// More values than samples, and as many: the Gram matrix and the covariance must agree on what both can say.
  @Test func `the small matrix gives the same as the large one`() {
    var random = SplitMix64(state: 5)
    let (count, dim) = (9, 9)
    let samples = (0..<count * dim).map { _ in Float(Int64(bitPattern: random.next()) >> 40) / 1e6 }
    let square = PrincipalComponents(of: samples, dim: dim, components: 4)
    // The same samples with a column of zeros: now there are fewer samples than values.
    var wide: [Float] = []
    for first in stride(from: 0, to: samples.count, by: dim) { wide += samples[first..<first + dim] + [0] }
    let gram = PrincipalComponents(of: wide, dim: dim + 1, components: 4)
    func product(_ a: [Double], _ b: [Double]) -> Double {
      var sum = 0.0
      for (x, y) in zip(a, b) { sum += x * y }
      return sum
    }
    for (a, b) in zip(square.directions, gram.directions) {
      #expect(b[dim] == 0)
      #expect(zip(a, b).allSatisfy { abs($0 - $1) < 1e-9 })
      #expect(abs(product(a, a) - 1) < 1e-12)
    }
    for (i, a) in gram.directions.enumerated() {
      for b in gram.directions[..<i] { #expect(abs(product(a, b)) < 1e-10) }
    }
  }
}
