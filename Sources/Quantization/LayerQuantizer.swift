import Checkpoints
import Kernels

/// Finds the integers for the weight of one layer, and the levels for its input.
///
/// Whatever can be chosen is chosen by the squared error of the layer's output on sampled inputs, computed with the very products that
/// will run. On one thread.
package struct LayerQuantizer {
  let options: QuantizationOptions
  private let arena = Arena()

  package init(options: QuantizationOptions) {
    self.options = options
  }

  /// A layer to be quantised.
  package struct Layer {
    let name: String
    /// [O, K], row-major.
    let weight: [Float]
    /// [O]; nil where the layer has none.
    let bias: [Float]?
    let outputs: Int
    let inner: Int
    /// nil where the layer's input stays floats, or nothing is known about it.
    let samples: LayerSamples?
    /// Whether it is of a block: others are stored in 8 bits and computed in floats.
    let isInBlock: Bool

    package init(
      name: String, weight: [Float], bias: [Float]?, outputs: Int, inner: Int, samples: LayerSamples?,
      isInBlock: Bool
    ) {
      (self.name, self.weight, self.bias, self.outputs, self.inner) = (name, weight, bias, outputs, inner)
      (self.samples, self.isInBlock) = (samples, isInBlock)
    }
  }

  /// Exponents that are tried: 0 moves nothing, 1 all of an input's spread into the weights.
  private static let exponents = [0.15, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1]
  /// Shares of a whole range that are tried.
  private static let shares: [Float] = [1, 0.85, 0.7, 0.55, 0.4, 0.3, 0.2, 0.1]

  /// - Throws: `PackingError` where memory is missing.
  package func quantize(_ layer: Layer) throws(PackingError) -> QuantizedLayer {
    let weight = FloatMatrix(layer.weight, rows: layer.outputs, columns: layer.inner)
    defer { withExtendedLifetime(weight) {} }
    guard let samples = layer.samples, samples.count > 0 else {
      let quantized = rounded(weight, layer, smoothing: nil, importance: nil)
      return QuantizedLayer(
        name: layer.name, weight: quantized, bias: nil, smoothing: nil, signal: nil, noise: nil)
    }
    let inputs = FloatMatrix(rows: samples.count, columns: layer.inner)
    samples.copy(into: inputs.mutable)
    let outputs = FloatMatrix(rows: samples.count, columns: layer.outputs)
    defer { withExtendedLifetime((inputs, outputs)) {} }
    Compute.multiply(.asIs(inputs.view), .transposed(weight.view), into: outputs.mutable, arena: arena)
    let trial = LayerTrial(
      inputs: inputs, outputs: outputs, split: samples.count(ofHalf: 0),
      isInteger: options.scheme.computesIntegers)
    defer { withExtendedLifetime(trial) {} }
    // Not by the rows' weights: tried, and worse for the tokens of DINOv2 that it was meant for.
    let importance = meanSquares(inputs)
    let best = try search(weight, layer, samples, trial, importance: importance)
    var result = best.weight
    result.input = best.levels.whole
    var outcome: LayerTrial.Outcome?
    if options.compensates,
      var candidate = compensated(weight, layer, trial: trial, smoothing: result.smoothing)
    {
      candidate.input = result.input
      let compensated = try trial.outcome(of: candidate)
      // What ranges left crosswise says nothing of what the one that was chosen leaves.
      if result.input != nil { outcome = try trial.outcome(of: result) }
      if compensated.noise < outcome?.noise ?? best.noise { (result, outcome) = (candidate, compensated) }
    }
    let known = if let outcome { outcome } else { try trial.outcome(of: result) }
    let (noise, bias) = trial.correct(known, bias: options.correctsBiases ? layer.bias : nil)
    return QuantizedLayer(
      name: layer.name, weight: result, bias: bias, smoothing: best.exponent, signal: trial.signal,
      noise: noise)
  }

  // MARK: Search

  /// One of what is tried: a weight as it can be rounded, and levels of the input.
  private struct Candidate {
    let exponent: Double?
    let weight: QuantizedWeight
    let levels: LevelChoice
    /// The squared error of the outputs.
    var noise: Double
  }

  /// The candidate with the least noise: all are tried on an excerpt of the rows, and the best of them on all rows.
  private func search(
    _ weight: FloatMatrix, _ layer: Layer, _ samples: LayerSamples, _ trial: LayerTrial, importance: [Float]
  ) throws(PackingError) -> Candidate {
    let exponents = options.smooths && options.scheme.computesIntegers ? Self.exponents : []
    let numChoices = (1 + exponents.count) * numLevelChoices
    let numFinalists = max(Self.leastFinalists, numChoices / Self.choicesPerFinalist)
    let excerpt = numChoices > numFinalists ? trial.excerpt() : nil
    defer { withExtendedLifetime(excerpt) {} }
    let magnitudes = samples.range.magnitudes
    var best: [Candidate] = []
    for exponent in [nil] + exponents {
      let smoothing = exponent.flatMap { Self.smoothing(magnitudes, weight.view, exponent: $0) }
      if exponent != nil && smoothing == nil { continue }
      let rounded = rounded(weight, layer, smoothing: smoothing, importance: importance)
      let prepared = try trial.prepare(rounded)
      var least = Double.infinity
      for levels in self.levels(samples, trial.inputs, smoothing: smoothing) {
        let noise = levels.noise(of: prepared, in: excerpt ?? trial)
        best.append(Candidate(exponent: exponent, weight: rounded, levels: levels, noise: noise))
        // What is narrower still cuts off more.
        if noise > 2 * least { break }
        least = min(least, noise)
      }
      // The others' weights need not be kept.
      best = Array(best.sorted { $0.noise < $1.noise }.prefix(excerpt == nil ? 1 : numFinalists))
    }
    if excerpt != nil {
      for exponent in [nil] + exponents {
        let finalists = best.indices.filter { best[$0].exponent == exponent }
        guard let first = finalists.first else { continue }
        let prepared = try trial.prepare(best[first].weight)
        for index in finalists { best[index].noise = best[index].levels.noise(of: prepared, in: trial) }
      }
    }
    return best.dropFirst().reduce(best[0]) { $1.noise < $0.noise ? $1 : $0 }
  }

  /// Candidates that are tried on all rows: a twelfth of them, and three at least. Of the trained DINOv2-S and of a random ViT-B no layer
  /// lost more than 0.3 % to a search among all.
  private static let (leastFinalists, choicesPerFinalist) = (3, 12)

  // MARK: Weights

  /// The weight times the smoothing, rounded: 8-bit by the largest of each row, 4-bit by groups.
  private func rounded(
    _ weight: FloatMatrix, _ layer: Layer, smoothing: [Float]?, importance: [Float]?
  ) -> QuantizedWeight {
    let smoothed = self.smoothed(weight, by: smoothing)
    defer { withExtendedLifetime(smoothed) {} }
    guard options.keepsFourBits(layer) else {
      let (levels, scales) = Elements.quantizeRows(smoothed.view)
      return QuantizedWeight(
        outputs: layer.outputs, inner: layer.inner, levels: levels, scales: scales, smoothing: smoothing)
    }
    let importance = Self.smoothedImportance(importance, smoothing)
    var groups = GroupRounding(
      smoothed.view, groupSize: options.groupSize, importance: importance)
    for row in 0..<layer.outputs {
      let values = smoothed.view.row(row)
      for column in stride(from: 0, to: layer.inner, by: options.groupSize) {
        let end = min(layer.inner, column + options.groupSize)
        groups.begin(row, column, UnsafeBufferPointer(rebasing: values[column..<end]))
        for k in column..<end { _ = groups.round(row, k, values[k]) }
      }
    }
    return groups.weight(smoothing: smoothing)
  }

  /// Weights of which each makes up for the errors before it; nil where the inputs do not allow it.
  private func compensated(
    _ weight: FloatMatrix, _ layer: Layer, trial: LayerTrial, smoothing: [Float]?
  ) -> QuantizedWeight? {
    let smoothed = self.smoothed(weight, by: smoothing)
    defer { withExtendedLifetime(smoothed) {} }
    let (importance, products) = self.products(layer, trial: trial, smoothing: smoothing)
    guard let compensation = ErrorCompensation(products: products, arena: arena) else { return nil }
    guard options.keepsFourBits(layer) else {
      let scales = Elements.quantizeRows(smoothed.view).scales
      var levels = [Int8](repeating: 0, count: layer.outputs * layer.inner)
      compensation.run(
        smoothed, groupSize: layer.inner, arena: arena, begin: { _, _, _ in },
        round: { row, column, value in
          let level = min(max((value / scales[row]).rounded(.toNearestOrEven), -127), 127)
          levels[row * layer.inner + column] = level.isFinite ? Int8(level) : 0
          return level * scales[row]
        })
      return QuantizedWeight(
        outputs: layer.outputs, inner: layer.inner, levels: levels, scales: scales, smoothing: smoothing)
    }
    var groups = GroupRounding(
      smoothed.view, groupSize: options.groupSize, importance: importance)
    // Not exclusive to one closure: both write through the same variable.
    withUnsafeMutablePointer(to: &groups) { groups in
      compensation.run(
        smoothed, groupSize: options.groupSize, arena: arena,
        begin: { groups.pointee.begin($0, $1, $2) }, round: { groups.pointee.round($0, $1, $2) })
    }
    return groups.weight(smoothing: smoothing)
  }

  /// The mean square of each column of the inputs, and XᵀX, where inputs count by their rows' weights.
  private func products(
    _ layer: Layer, trial: LayerTrial, smoothing: [Float]?
  ) -> (importance: [Float], products: FloatMatrix) {
    let inputs = FloatMatrix(rows: trial.inputs.rows, columns: layer.inner)
    for row in 0..<inputs.rows {
      let (source, target) = (trial.inputs.view.row(row), inputs.mutable.row(row))
      let factor = trial.rowWeights[row].squareRoot()
      for k in 0..<layer.inner { target[k] = factor * source[k] / (smoothing?[k] ?? 1) }
    }
    let products = FloatMatrix(rows: layer.inner, columns: layer.inner)
    defer { withExtendedLifetime(inputs) {} }
    // Symmetric: what is on and above the diagonal, then the rest from there.
    for first in stride(from: 0, to: layer.inner, by: 256) {
      let rows = first..<min(layer.inner, first + 256)
      Compute.multiply(
        .transposed(inputs.view[0..<inputs.rows, rows]),
        .asIs(inputs.view[0..<inputs.rows, first..<layer.inner]),
        into: products.mutable[rows, first..<layer.inner], arena: arena)
    }
    products.mirror()
    return (meanSquares(inputs), products)
  }

  private func smoothed(_ weight: FloatMatrix, by smoothing: [Float]?) -> FloatMatrix {
    let result = FloatMatrix(rows: weight.rows, columns: weight.columns)
    result.mutable.copy(from: weight.view)
    guard let smoothing else { return result }
    for row in 0..<result.rows {
      let values = result.mutable.row(row)
      for k in 0..<result.columns { values[k] *= smoothing[k] }
    }
    return result
  }

  /// The mean square of each column.
  private func meanSquares(_ matrix: FloatMatrix) -> [Float] {
    var sums = [Float](repeating: 0, count: matrix.columns)
    for row in 0..<matrix.rows {
      let values = matrix.view.row(row)
      for k in 0..<matrix.columns { sums[k] += values[k] * values[k] }
    }
    return sums.map { $0 / Float(max(1, matrix.rows)) }
  }

  /// Of inputs that are divided by the smoothing.
  private static func smoothedImportance(_ importance: [Float]?, _ smoothing: [Float]?) -> [Float]? {
    guard let importance, let smoothing else { return importance }
    return zip(importance, smoothing).map { $0 / ($1 * $1) }
  }

  // MARK: Inputs

  /// max|x| ^ exponent / max|w| ^ (1 - exponent) of each column (SmoothQuant, equation 4), its geometric mean 1.
  /// - Returns: nil where no column has both.
  private static func smoothing(_ magnitudes: [Float], _ weight: MatrixView, exponent: Double) -> [Float]? {
    var largest = [Float](repeating: 0, count: weight.columns)
    for row in 0..<weight.rows {
      let values = weight.row(row)
      for k in 0..<weight.columns { largest[k] = max(largest[k], abs(values[k])) }
    }
    var logarithms = [Double?](repeating: nil, count: weight.columns)
    for k in 0..<weight.columns where magnitudes[k] > 0 && largest[k] > 0 {
      logarithms[k] = exponent * logarithm(magnitudes[k]) - (1 - exponent) * logarithm(largest[k])
    }
    let known = logarithms.compactMap(\.self)
    guard !known.isEmpty else { return nil }
    let mean = known.reduce(0, +) / Double(known.count)
    // Columns that are never used keep what they have; all are numbers that float16, in which they are stored, has.
    return logarithms.map { logarithm in
      logarithm.map { Float(Float16(exponential(min(max($0 - mean, -9), 9)))) } ?? 1
    }
  }

  /// Levels of an input that are tried.
  private struct LevelChoice {
    /// By the range of all images; nil for levels that are found for each row.
    var whole: QuantizedWeight.Input?
    /// By the ranges of the halves, where these are tried crosswise.
    var ofHalves: (QuantizedWeight.Input, QuantizedWeight.Input)?

    /// The squared error that they leave: each half of the images with the levels of the other, so that a range counts by what it is
    /// worth to images that it was not taken from.
    func noise(of weight: LayerTrial.PreparedWeight, in trial: LayerTrial) -> Double {
      guard let ofHalves else { return trial.noise(of: weight, levels: whole) }
      let (split, count) = (trial.split, trial.inputs.rows)
      return trial.noise(of: weight, levels: ofHalves.1, rows: 0..<split)
        + trial.noise(of: weight, levels: ofHalves.0, rows: split..<count)
    }
  }

  /// How many levels of an input are tried with each exponent, at most.
  private var numLevelChoices: Int {
    options.scheme == .w8a8Static && options.observer == .mse ? Self.shares.count : 1
  }

  /// What is tried as levels of an input that is divided by the smoothing.
  private func levels(
    _ samples: LayerSamples, _ inputs: FloatMatrix, smoothing: [Float]?
  ) -> [LevelChoice] {
    guard options.scheme == .w8a8Static else { return [LevelChoice()] }
    let (least, largest) = samples.range.whole(dividedBy: smoothing)
    switch options.observer {
    case .minMax: return [LevelChoice(whole: Self.levels(least, largest))]
    case .mse:
      let halves = samples.halves.map { $0.range.whole(dividedBy: smoothing) }
      func levels(_ range: (least: Float, largest: Float), _ share: Float) -> QuantizedWeight.Input {
        Self.levels(share * range.least, share * range.largest)
      }
      let areHalves = samples.count(ofHalf: 1) > 0
      return Self.shares.map { share in
        LevelChoice(
          whole: Self.levels(share * least, share * largest),
          ofHalves: areHalves ? (levels(halves[0], share), levels(halves[1], share)) : nil)
      }
    case .percentile:
      var values: [Float] = []
      values.reserveCapacity(inputs.rows * inputs.columns)
      for row in 0..<inputs.rows {
        for (k, value) in inputs.view.row(row).enumerated() { values.append(value / (smoothing?[k] ?? 1)) }
      }
      values.sort()
      let tail = values.count / 20_000
      return [LevelChoice(whole: Self.levels(min(0, values[tail]), max(0, values[values.count - 1 - tail])))]
    }
  }

  private static func levels(_ least: Float, _ largest: Float) -> QuantizedWeight.Input {
    let scale = largest / 255 - least / 255
    guard scale > 0x1p-100, scale.isFinite else { return QuantizedWeight.Input(scale: 1, zeroPoint: 0) }
    let zeroPoint = (-least / scale).rounded()
    return QuantizedWeight.Input(scale: scale, zeroPoint: UInt8(min(max(zeroPoint, 0), 255)))
  }
}

extension QuantizationOptions {
  /// Whether a layer's weight gets 4 bits.
  func keepsFourBits(_ layer: LayerQuantizer.Layer) -> Bool {
    scheme == .w4 && layer.isInBlock && layer.inner % 2 == 0
  }
}
