import Figures
import Images
import Kernels
import Pipeline
import Training
import VisionTransformer

/// Records everything that an explorer shows of an image: what one worker holds.
final class ExplorerRecorder {
  private let model: VisionTransformer
  private let attribution: AttributionSession?
  private let session: InferenceSession
  private let rollout: AttentionRollout
  private let pooling: PatchPooling
  /// Weights of the queries [1 + pooled patches, N].
  private let queries: [[Float]]

  /// The likeliest classes that are shown.
  static let numPredictions = 5

  init(_ model: VisionTransformer, attribution: AttributionModel?, compute: Compute) {
    self.model = model
    self.attribution = attribution.map(AttributionSession.init)
    session = InferenceSession(model, compute: compute)
    rollout = AttentionRollout(
      numTokens: model.numTokens, hasClassToken: model.configuration.hasClassToken)
    let pooling = PatchPooling(model)
    self.pooling = pooling
    let whole = AttentionQuery.standard(model.configuration).weights(
      numPrefixTokens: model.configuration.numPrefixTokens, grid: model.grid)
    queries = [whole] + (0..<pooling.count).map(pooling.weights)
  }

  /// - Parameters:
  ///   - photo: as it was decoded.
  ///   - image: what the model's transform has prepared.
  /// - Throws: `InputError.nonFiniteResult`, `ImageError`.
  func picture(_ photo: Image, _ image: Image) throws -> ExplorerFile.Picture {
    let configuration = model.configuration
    let numHeads = configuration.numAttentionHeads
    var maps = ExplorerMaps(
      layers: configuration.depth, heads: numHeads, rows: pooling.rows, columns: pooling.columns)
    rollout.reset()
    let weights = queries.map(QueryWeights.init)
    let observer = AttentionObserver(layers: 0..<configuration.depth) { [rollout, pooling] attention in
      rollout.add(attention)
      let head = attention.branch * configuration.numHeads + attention.head
      var row = [Float](repeating: 0, count: attention.probabilities.columns)
      for (query, weights) in weights.enumerated() {
        row.withUnsafeMutableBufferPointer { row in
          row.update(repeating: 0)
          weights.add(attention.probabilities, to: row)
        }
        maps.set(layer: attention.layer, head: head, query: query, pooling.pooled(row))
      }
    }
    let logits = session.run(.images([image]), attention: observer) { $0.logits.map { Array($0.row(0)) } }
    let rows = rollout.rows(queries.flatMap(\.self))
    guard rows.allSatisfy(\.isFinite) else { throw InputError.nonFiniteResult }
    for query in queries.indices {
      let row = Array(rows[query * model.numTokens..<(query + 1) * model.numTokens])
      maps.setRollout(query: query, pooling.pooled(row))
    }
    let predictions = logits.map { Prediction.top(Self.numPredictions, of: $0, labels: model.labels) } ?? []
    if let attribution {
      let pixels = model.transform.tensor(ofPrepared: image)
      let result = attribution.attribute(pixels, query: queries[0]) { _ in predictions.map(\.index) }
      for each in result.attributions { maps.addAttribution(pooling.pooled(each.relevance)) }
    }
    return ExplorerFile.Picture(
      photo: try seen(of: photo), maps: maps, hasClassToken: configuration.hasClassToken,
      predictions: predictions.map { ($0.label ?? "class \($0.index)", $0.probability) })
  }

  /// Pixels of the longer side of the photo in the page.
  private static let photoSide = 448

  /// The part of the photo that the patches cover.
  private func seen(of photo: Image) throws -> Image {
    let patch = model.configuration.patchSize
    let covered = ImageSize(height: model.grid.height * patch.height, width: model.grid.width * patch.width)
    let part = model.transform.seenPart(covered, of: photo.size)
    func whole(_ range: Range<Double>) -> Range<Int> {
      let start = Int(range.lowerBound.rounded())
      return start..<max(start + 1, Int(range.upperBound.rounded()))
    }
    let cropped = try photo.cropped(rows: whole(part.rows), columns: whole(part.columns))
    let scale = Double(Self.photoSide) / Double(max(covered.height, covered.width))
    return try cropped.resized(
      width: max(1, Int((Double(covered.width) * scale).rounded())),
      height: max(1, Int((Double(covered.height) * scale).rounded())), interpolation: .bicubic)
  }
}

/// Patches in squares, where there are too many of them for a page.
struct PatchPooling {
  let rows: Int
  let columns: Int
  private let side: Int
  private let grid: ImageSize
  private let numPrefixTokens: Int

  /// Values of all heads' maps, and patches, that a page takes.
  private static let (maxValues, maxPatches) = (16_000_000, 784)

  init(_ model: VisionTransformer) {
    grid = model.grid
    numPrefixTokens = model.configuration.numPrefixTokens
    let maps = model.configuration.depth * model.configuration.numAttentionHeads
    var side = 1
    func count(_ side: Int) -> Int {
      ((model.grid.height + side - 1) / side) * ((model.grid.width + side - 1) / side)
    }
    while count(side) > Self.maxPatches || maps * count(side) * (count(side) + 1) > Self.maxValues {
      side += 1
    }
    self.side = side
    rows = (model.grid.height + side - 1) / side
    columns = (model.grid.width + side - 1) / side
  }

  /// Squares.
  var count: Int { rows * columns }

  private func square(of patch: Int) -> Int {
    let (row, column) = patch.quotientAndRemainder(dividingBy: grid.width)
    return row / side * columns + column / side
  }

  /// The mean over a square's patches as weights of tokens [N].
  func weights(_ square: Int) -> [Float] {
    let patches = (0..<grid.height * grid.width).filter { self.square(of: $0) == square }
    var weights = [Float](repeating: 0, count: numPrefixTokens + grid.height * grid.width)
    for patch in patches { weights[numPrefixTokens + patch] = 1 / Float(patches.count) }
    return weights
  }

  /// Sums over the squares' patches of a row of tokens [N]; prefix tokens are left out.
  func pooled(_ row: [Float]) -> [Float] {
    guard side > 1 else { return Array(row[numPrefixTokens...]) }
    var sums = [Float](repeating: 0, count: count)
    for patch in 0..<grid.height * grid.width { sums[square(of: patch)] += row[numPrefixTokens + patch] }
    return sums
  }
}
