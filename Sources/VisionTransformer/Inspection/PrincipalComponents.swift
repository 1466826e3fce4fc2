/// The directions in which samples differ most.
///
/// Signs are settled: the element of a direction that is largest in size is positive, the first of these where there are several.
public struct PrincipalComponents: Sendable {
  /// Values of a sample.
  public let dim: Int
  /// Number of samples.
  public let count: Int
  /// [dim]: the samples' mean.
  public let mean: [Double]
  /// Unit vectors [k, dim], the one with the largest variance first.
  public let directions: [[Double]]
  /// Share of the samples' variance along each direction, 0...1; 0 where all samples are equal.
  public let varianceShares: [Double]

  /// - Parameters:
  ///   - samples: float32 [count, dim].
  ///   - components: how many directions; at most what the samples can have, count - 1 or dim.
  public init(of samples: [Float], dim: Int, components: Int) {
    precondition(dim > 0 && samples.count.isMultiple(of: dim), "samples must be float32 [*, \(dim)]")
    let count = samples.count / dim
    var mean = [Double](repeating: 0, count: dim)
    for (index, value) in samples.enumerated() { mean[index % dim] += Double(value) }
    for index in 0..<dim { mean[index] /= Double(max(1, count)) }
    let centred = samples.enumerated().map { Double($1) - mean[$0 % dim] }
    (self.dim, self.count, self.mean) = (dim, count, mean)

    // The smaller of covariance [dim, dim] and Gram matrix [count, count], which have the same eigenvalues but for zeros.
    let usesGram = count < dim
    let n = usesGram ? count : dim
    let eigen = SymmetricEigen(
      usesGram
        ? Self.gram(centred, rows: count, columns: dim) : Self.covariance(centred, rows: count, columns: dim),
      n: n)
    let total = eigen.values.reduce(0) { $0 + max(0, $1) }
    let kept = min(components, dim, max(0, count - 1))
    varianceShares = (0..<kept).map { total > 0 ? max(0, eigen.values[$0]) / total : 0 }
    directions = (0..<kept).map { component in
      let vector = Array(eigen.vectors[component * n..<(component + 1) * n])
      guard usesGram else { return Self.settled(vector) }
      // X'v of a Gram matrix' vector is the covariance's.
      var direction = [Double](repeating: 0, count: dim)
      for row in 0..<count {
        for column in 0..<dim { direction[column] += vector[row] * centred[row * dim + column] }
      }
      let length = direction.reduce(0) { $0 + $1 * $1 }.squareRoot()
      return Self.settled(length > 0 ? direction.map { $0 / length } : direction)
    }
  }

  /// Where samples lie along the directions: [k, count].
  public func scores(of samples: [Float]) -> [[Double]] {
    directions.map { direction in
      stride(from: 0, to: samples.count, by: dim).map { first in
        var score = 0.0
        for index in 0..<dim { score += (Double(samples[first + index]) - mean[index]) * direction[index] }
        return score
      }
    }
  }

  private static func settled(_ vector: [Double]) -> [Double] {
    guard let largest = vector.max(by: { abs($0) < abs($1) }), largest < 0 else { return vector }
    return vector.map { -$0 }
  }

  /// X X': [rows, rows].
  private static func gram(_ values: [Double], rows: Int, columns: Int) -> [Double] {
    var result = [Double](repeating: 0, count: rows * rows)
    for i in 0..<rows {
      for j in 0...i {
        var sum = 0.0
        for k in 0..<columns { sum += values[i * columns + k] * values[j * columns + k] }
        (result[i * rows + j], result[j * rows + i]) = (sum, sum)
      }
    }
    return result
  }

  /// X'X: [columns, columns], of which the lower triangle is filled.
  private static func covariance(_ values: [Double], rows: Int, columns: Int) -> [Double] {
    var result = [Double](repeating: 0, count: columns * columns)
    result.withUnsafeMutableBufferPointer { result in
      values.withUnsafeBufferPointer { values in
        for row in 0..<rows {
          let first = row * columns
          for i in 0..<columns {
            let (factor, target) = (values[first + i], i * columns)
            for j in 0...i { result[target + j] += factor * values[first + j] }
          }
        }
      }
    }
    return result
  }
}
