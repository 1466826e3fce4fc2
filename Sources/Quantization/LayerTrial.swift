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
  /// How much an error in each row counts.
  let weights: [Float]

  init(inputs: FloatMatrix, outputs: FloatMatrix, isInteger: Bool) {
    (self.inputs, self.outputs, self.isInteger) = (inputs, outputs, isInteger)
    let squares = (0..<outputs.rows).map { Self.squares(outputs.view.row($0)) }
    let mean = squares.reduce(0, +) / Double(max(1, squares.count))
    weights = squares.map { mean > 0 && mean.isFinite ? Float(mean / ($0 + 0.1 * mean)) : 1 }
  }

  /// The sum of squares of the outputs.
  var signal: Double { squares(outputs.view, weights: weights[...]) }

  private func squares(_ matrix: MatrixView, weights: ArraySlice<Float>) -> Double {
    zip(weights, 0..<matrix.rows).reduce(0) { $0 + Double($1.0) * Self.squares(matrix.row($1.1)) }
  }

  /// In double precision, so that what float32 holds does not overflow.
  private static func squares(_ row: UnsafeBufferPointer<Float>) -> Double {
    row.reduce(0) { $0 + Double($1) * Double($1) }
  }

  /// The outputs of some rows with a quantised weight, less what they should be: [R, O].
  private func errors(_ weight: QuantizedWeight, _ rows: Range<Int>) throws(PackingError) -> FloatMatrix {
    let (inputs, outputs) = (inputs.view[rows, 0..<inputs.columns], outputs.view[rows, 0..<outputs.columns])
    let errors = FloatMatrix(rows: outputs.rows, columns: outputs.columns)
    defer { withExtendedLifetime(errors) {} }
    let arena = Arena()
    if isInteger, weight.inner <= PackedMatrix.largestInner {
      let multipliers = weight.smoothing.map { smoothing in
        FloatMatrix(smoothing.map { 1 / $0 }, rows: 1, columns: weight.inner)
      }
      defer { withExtendedLifetime(multipliers) {} }
      let levels = RowLevels(
        multipliers: multipliers?.view,
        fixed: weight.input.map { .init(scale: $0.scale, zeroPoint: $0.zeroPoint) })
      let storage = PackedStorage()
      let packed = try weight.levels.withUnsafeBufferPointer { bytes throws(PackingError) -> PackedMatrix? in
        try weight.scales.withUnsafeBufferPointer { scales throws(PackingError) -> PackedMatrix? in
          guard let bytes = bytes.baseAddress, let scales = scales.baseAddress else { return nil }
          return try PackedMatrix(
            LevelsView(levels: bytes, scales: scales, outputs: weight.outputs, inner: weight.inner),
            rowLevels: levels, storage: storage)
        }
      }
      if let packed {
        Compute().linear(inputs, weight: packed, into: .store(errors.mutable), arena: arena)
      }
    } else {
      let floats = FloatMatrix(rows: weight.outputs, columns: weight.inner)
      defer { withExtendedLifetime(floats) {} }
      weight.dequantize(
        into: UnsafeMutableBufferPointer(start: floats.mutable.base, count: floats.rows * floats.columns))
      Compute.multiply(.asIs(inputs), .transposed(floats.view), into: errors.mutable, arena: arena)
    }
    for row in 0..<errors.rows {
      let (found, wanted) = (errors.mutable.row(row), outputs.row(row))
      for column in 0..<errors.columns { found[column] -= wanted[column] }
    }
    return errors
  }

  private var allRows: Range<Int> { 0..<outputs.rows }

  /// The squared error of the outputs.
  /// - Parameter rows: those that count; nil for all.
  func noise(of weight: QuantizedWeight, rows: Range<Int>? = nil) throws(PackingError) -> Double {
    let rows = rows ?? allRows
    let errors = try errors(weight, rows)
    defer { withExtendedLifetime(errors) {} }
    return squares(errors.view, weights: weights[rows])
  }

  /// Takes the mean error out through the bias, where that holds for inputs that it was not computed from.
  /// - Parameter bias: what it is; nil where there is none, or none that may change.
  /// - Returns: the squared error of the outputs that is left, and the bias where it changes.
  func correct(
    _ weight: QuantizedWeight, bias: [Float]?
  ) throws(PackingError) -> (noise: Double, bias: [Float]?) {
    let errors = try errors(weight, allRows)
    defer { withExtendedLifetime(errors) {} }
    let noise = squares(errors.view, weights: weights[...])
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
      let weight = Double(weights[row])
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
        sum += Double(weights[row]) * rest * rest
      }
    }
    return sum
  }
}
