import Checkpoints
import Kernels

/// 4-bit weights: numbers of -8...7 times a scale of their group, 1...16, times a scale of their row, so that what is computed with is
/// 8-bit without another rounding.
struct GroupRounding {
  private let rows: Int
  private let inner: Int
  private let groupSize: Int
  /// Groups of a row.
  private let groups: Int
  /// How much an error in each column matters; nil for all the same.
  private let importance: [Float]?
  private let scales: [Float]
  private var numbers: [Int8]
  private var groupScales: [UInt8]

  /// - Parameters:
  ///   - weight: [O, K], of which the rows' scales are found.
  ///   - importance: [K], the mean square of what each column is multiplied with.
  init(_ weight: MatrixView, groupSize: Int, importance: [Float]?) {
    (rows, inner, self.groupSize) = (weight.rows, weight.columns, groupSize)
    groups = QuantizationGroups.count(weight.columns, size: groupSize)
    // What the samples leave at 0 counts a little: other inputs may not.
    let mean = (importance ?? []).reduce(0, +) / Float(max(1, weight.columns))
    self.importance = mean > 0 && mean.isFinite ? importance?.map { $0 + 0.01 * mean } : nil
    // The largest of the row is 7 of the largest steps.
    let unit = 7 * Float(QuantizationGroups.largestScale)
    scales = (0..<weight.rows).map { row in
      let scale = weight.row(row).reduce(0) { max($0, abs($1)) } / unit
      return scale > 0 ? scale : 1
    }
    numbers = [Int8](repeating: 0, count: rows * inner)
    groupScales = [UInt8](repeating: 1, count: rows * groups)
  }

  /// Finds the scale of a group: the one with the least squared error, errors weighed by importance.
  mutating func begin(_ row: Int, _ column: Int, _ values: UnsafeBufferPointer<Float>) {
    let unit = 1 / scales[row]
    var best = (scale: UInt8(1), error: Float.infinity)
    for scale in 1...QuantizationGroups.largestScale {
      let (step, inverse) = (Float(scale), unit / Float(scale))
      var error: Float = 0
      for (index, value) in values.enumerated() {
        let number = min(max((value * inverse).rounded(.toNearestOrEven), -8), 7)
        let rest = value * unit - number * step
        error += rest * rest * (importance?[column + index] ?? 1)
      }
      if error < best.error { best = (scale, error) }
    }
    groupScales[row * groups + column / groupSize] = best.scale
  }

  /// Rounds a value of a group that was begun.
  /// - Returns: what is stored of it.
  mutating func round(_ row: Int, _ column: Int, _ value: Float) -> Float {
    let step = scales[row] * Float(groupScales[row * groups + column / groupSize])
    let number = min(max((value / step).rounded(.toNearestOrEven), -8), 7)
    numbers[row * inner + column] = number.isFinite ? Int8(number) : 0
    return number * step
  }

  func weight(smoothing: [Float]?) -> QuantizedWeight {
    QuantizedWeight(
      outputs: rows, inner: inner, numbers: numbers, groupScales: groupScales, groupSize: groupSize,
      scales: scales, smoothing: smoothing)
  }
}
