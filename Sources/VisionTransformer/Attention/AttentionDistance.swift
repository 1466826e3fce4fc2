import Images
import Kernels

/// How far from each patch the patches lie that it attends to, in pixels of the network's input: the mean over all patches, each
/// distance weighted by the attention.
///
/// The attention to prefix tokens is left out, and what remains of a row is normalised to a sum of 1.
/// Source: Dosovitskiy et al., arXiv:2010.11929, figure 7 (right) and appendix D.7.
public struct AttentionDistance: Sendable {
  private let grid: ImageSize
  private let numPrefixTokens: Int
  /// Distances by the number of columns and rows between two patches: [grid.height, 2 * grid.width - 1].
  private let distances: [Float]

  public init(grid: ImageSize, patchSize: ImageSize, numPrefixTokens: Int) {
    (self.grid, self.numPrefixTokens) = (grid, numPrefixTokens)
    distances = (0..<grid.height).flatMap { rows in
      (1 - grid.width..<grid.width).map { columns in
        let (y, x) = (Double(rows * patchSize.height), Double(columns * patchSize.width))
        return Float((y * y + x * x).squareRoot())
      }
    }
  }

  /// The mean distance of attention to all patches alike.
  public var uniform: Double {
    let numTokens = numPrefixTokens + grid.height * grid.width
    return [Float](repeating: 1, count: numTokens).withUnsafeBufferPointer { row in mean { _ in row } }
  }

  /// The mean distance of one head.
  /// - Parameter probabilities: [N, N]
  public func mean(_ probabilities: MatrixView) -> Double {
    precondition(
      probabilities.rows == numPrefixTokens + grid.height * grid.width,
      "attention of \(probabilities.rows) tokens")
    return mean { probabilities.row($0) }
  }

  /// - Parameter row: of a token's probabilities, [N].
  private func mean(_ row: (_ token: Int) -> UnsafeBufferPointer<Float>) -> Double {
    let numPatches = grid.height * grid.width
    return distances.withUnsafeBufferPointer { distances in
      var total = 0.0
      for query in 0..<numPatches {
        let row = row(numPrefixTokens + query)
        let (y, x) = query.quotientAndRemainder(dividingBy: grid.width)
        var (sum, weighted) = (0.0, 0.0)
        for keyRow in 0..<grid.height {
          // The distance to column c lies at c + grid.width - 1 - x.
          let first = abs(keyRow - y) * (2 * grid.width - 1) + grid.width - 1 - x
          let start = numPrefixTokens + keyRow * grid.width
          var (rowSum, rowWeighted) = (Float(0), Float(0))
          for column in 0..<grid.width {
            rowSum += row[start + column]
            rowWeighted += row[start + column] * distances[first + column]
          }
          sum += Double(rowSum)
          weighted += Double(rowWeighted)
        }
        total += sum > 0 ? weighted / sum : 0
      }
      return total / Double(max(1, numPatches))
    }
  }
}
