import Checkpoints
import Kernels

/// A layer's inputs, and the outputs that it should have.
///
/// Errors count by what they are to their own row: the norms that follow bring the few tokens with values far beyond all others down to
/// the size of these.
struct LayerTrial {
  let inputs: FloatMatrix
  let outputs: FloatMatrix
  /// Whether inputs become levels, too.
  let isInteger: Bool
  /// Rows before it are of one half of the images, the others of the other.
  let split: Int
  /// How much an error in each row counts.
  let rowWeights: [Float]

  init(inputs: FloatMatrix, outputs: FloatMatrix, split: Int, isInteger: Bool) {
    let squares = (0..<outputs.rows).map { Self.squares(outputs.view.row($0)) }
    let mean = squares.reduce(0, +) / Double(max(1, squares.count))
    self.init(
      inputs: inputs, outputs: outputs, split: split, isInteger: isInteger,
      rowWeights: squares.map { mean > 0 && mean.isFinite ? Float(mean / ($0 + 0.1 * mean)) : 1 })
  }

  private init(
    inputs: FloatMatrix, outputs: FloatMatrix, split: Int, isInteger: Bool, rowWeights: [Float]
  ) {
    (self.inputs, self.outputs, self.split) = (inputs, outputs, split)
    (self.isInteger, self.rowWeights) = (isInteger, rowWeights)
  }

  /// Some of the rows of each half, at random, which count as they do here; nil where there are not enough to choose by.
  func excerpt() -> LayerTrial? {
    func chosen(_ rows: Range<Int>) -> [Int] {
      let count = max(min(rows.count, Self.leastRows / 2), rows.count / Self.share)
      return rows.sorted {
        CounterHash.value(at: UInt64($0), of: 0) < CounterHash.value(at: UInt64($1), of: 0)
      }.prefix(count).sorted()
    }
    let first = chosen(0..<split)
    let chosen = first + chosen(split..<outputs.rows)
    guard 2 * chosen.count <= outputs.rows else { return nil }
    func rows(of matrix: FloatMatrix) -> FloatMatrix {
      let result = FloatMatrix(rows: chosen.count, columns: matrix.columns)
      for (row, source) in chosen.enumerated() {
        _ = result.mutable.row(row).update(fromContentsOf: matrix.view.row(source))
      }
      return result
    }
    return LayerTrial(
      inputs: rows(of: inputs), outputs: rows(of: outputs), split: first.count, isInteger: isInteger,
      rowWeights: chosen.map { rowWeights[$0] })
  }

  /// Of the rows, an eighth is an excerpt, but not fewer than these.
  private static let (share, leastRows) = (8, 128)

  /// The sum of squares of the outputs.
  var signal: Double { squares(outputs.view, weights: rowWeights[...]) }

  private func squares(_ matrix: MatrixView, weights: ArraySlice<Float>) -> Double {
    zip(weights, 0..<matrix.rows).reduce(0) { $0 + Double($1.0) * Self.squares(matrix.row($1.1)) }
  }

  /// In double precision, so that what float32 holds does not overflow.
  private static func squares(_ row: UnsafeBufferPointer<Float>) -> Double {
    row.reduce(0) { $0 + Double($1) * Double($1) }
  }

  /// A weight, ready for its product with the inputs.
  struct PreparedWeight {
    fileprivate let packed: PackedMatrix
    /// Of the smoothing, where the product is of levels.
    fileprivate let multipliers: FloatMatrix?
  }

  /// - Throws: `PackingError` where memory is missing, or a weight overflows.
  func prepare(_ weight: QuantizedWeight) throws(PackingError) -> PreparedWeight {
    let storage = PackedStorage()
    guard isInteger, weight.inner <= PackedMatrix.largestInner else {
      let floats = FloatMatrix(rows: weight.outputs, columns: weight.inner)
      defer { withExtendedLifetime(floats) {} }
      weight.dequantize(
        into: UnsafeMutableBufferPointer(start: floats.mutable.base, count: floats.rows * floats.columns))
      return PreparedWeight(
        packed: try PackedMatrix([floats.view], precision: .fp32, storage: storage), multipliers: nil)
    }
    let multipliers = weight.smoothing.map { smoothing in
      FloatMatrix(smoothing.map { 1 / $0 }, rows: 1, columns: weight.inner)
    }
    let packed = try weight.levels.withUnsafeBufferPointer { levels throws(PackingError) -> PackedMatrix in
      try weight.scales.withUnsafeBufferPointer { scales throws(PackingError) -> PackedMatrix in
        guard let levels = levels.baseAddress, let scales = scales.baseAddress else {
          return PackedMatrix(describing: weight.outputs, inner: weight.inner, precision: .int8)
        }
        return try PackedMatrix(
          LevelsView(levels: levels, scales: scales, outputs: weight.outputs, inner: weight.inner),
          rowLevels: RowLevels(), storage: storage)
      }
    }
    return PreparedWeight(packed: packed, multipliers: multipliers)
  }

  /// The outputs of some rows with a quantised weight, less what they should be: [R, O].
  /// - Parameter levels: of the inputs; nil for those of each row.
  private func errors(_ weight: PreparedWeight, levels: QuantizedWeight.Input?, _ rows: Range<Int>)
    -> FloatMatrix
  {
    let (inputs, outputs) = (inputs.view[rows, 0..<inputs.columns], outputs.view[rows, 0..<outputs.columns])
    let errors = FloatMatrix(rows: outputs.rows, columns: outputs.columns)
    defer { withExtendedLifetime((errors, weight)) {} }
    guard !rows.isEmpty, weight.packed.outputs > 0 else { return errors }
    let levels = RowLevels(
      multipliers: weight.multipliers?.view,
      fixed: levels.map { .init(scale: $0.scale, zeroPoint: $0.zeroPoint) })
    let arena = Arena()
    let (compute, packed) = (Compute(), weight.packed)
    compute.linear(
      compute.rows(inputs, for: packed.precision, levels: levels, arena: arena), weight: packed,
      into: .store(errors.mutable))
    for row in 0..<errors.rows {
      let (found, wanted) = (errors.mutable.row(row), outputs.row(row))
      for column in 0..<errors.columns { found[column] -= wanted[column] }
    }
    return errors
  }

  private var allRows: Range<Int> { 0..<outputs.rows }

  /// The squared error of the outputs; infinite where one is not a number.
  /// - Parameters:
  ///   - levels: of the inputs; nil for those of each row.
  ///   - rows: those that count; nil for all.
  func noise(of weight: PreparedWeight, levels: QuantizedWeight.Input?, rows: Range<Int>? = nil) -> Double {
    let rows = rows ?? allRows
    let errors = errors(weight, levels: levels, rows)
    defer { withExtendedLifetime(errors) {} }
    return noise(of: errors, rows: rows)
  }

  private func noise(of errors: FloatMatrix, rows: Range<Int>) -> Double {
    let noise = squares(errors.view, weights: rowWeights[rows])
    return noise.isNaN ? .infinity : noise
  }

  /// What a quantised weight with its levels makes wrong.
  struct Outcome {
    /// [R, O]
    fileprivate let errors: FloatMatrix
    /// The squared error of the outputs; infinite where one is not a number.
    let noise: Double
  }

  /// - Throws: `PackingError` where memory is missing.
  func outcome(of weight: QuantizedWeight) throws(PackingError) -> Outcome {
    let errors = errors(try prepare(weight), levels: weight.input, allRows)
    defer { withExtendedLifetime(errors) {} }
    return Outcome(errors: errors, noise: noise(of: errors, rows: allRows))
  }

  /// Takes the mean error out through the bias, where that holds for inputs that it was not computed from.
  /// - Parameter bias: what it is; nil where there is none, or none that may change.
  /// - Returns: the squared error of the outputs that is left, and the bias where it changes.
  func correct(_ outcome: Outcome, bias: [Float]?) -> (noise: Double, bias: [Float]?) {
    let (errors, noise) = (outcome.errors, outcome.noise)
    defer { withExtendedLifetime(errors) {} }
    guard let bias, errors.rows >= 16 else { return (noise, nil) }
    let even = means(errors, of: stride(from: 0, to: errors.rows, by: 2))
    let odd = stride(from: 1, to: errors.rows, by: 2)
    guard squares(errors, of: odd, without: even) < squares(errors, of: odd, without: nil) else {
      return (noise, nil)
    }
    let means = means(errors, of: stride(from: 0, to: errors.rows, by: 1))
    let left = squares(errors, of: stride(from: 0, to: errors.rows, by: 1), without: means)
    return (left, zip(bias, means).map { Float(Double($0) - $1) })
  }

  private func means(_ errors: FloatMatrix, of rows: StrideTo<Int>) -> [Double] {
    var sums = [Double](repeating: 0, count: errors.columns)
    var count = 0.0
    for row in rows {
      let weight = Double(rowWeights[row])
      for (column, error) in errors.view.row(row).enumerated() { sums[column] += weight * Double(error) }
      count += weight
    }
    return sums.map { count > 0 ? $0 / count : 0 }
  }

  private func squares(_ errors: FloatMatrix, of rows: StrideTo<Int>, without means: [Double]?) -> Double {
    var sum = 0.0
    for row in rows {
      for (column, error) in errors.view.row(row).enumerated() {
        let rest = Double(error) - (means?[column] ?? 0)
        sum += Double(rowWeights[row]) * rest * rest
      }
    }
    return sum
  }
}
