import Kernels

/// From the tokens of one image to one feature vector (timm's `global_pool_nlc`).
public enum Pooling {
  /// The mean over the rows of a matrix [rows, D].
  public static func average(_ rows: MatrixView) -> [Float] {
    [Float](unsafeUninitializedCapacity: rows.columns) { result, count in
      average(rows, into: result)
      count = rows.columns
    }
  }

  /// - Parameters:
  ///   - classToken: the image's first token [D]; read only where the pool asks for it.
  ///   - patches: the image's patch tokens [patches, D], without prefix tokens.
  ///   - features: receives [F].
  static func pool(
    _ pool: GlobalPool, classToken: UnsafeBufferPointer<Float>, patches: MatrixView,
    into features: UnsafeMutableBufferPointer<Float>
  ) {
    let dim = patches.columns
    switch pool {
    case .token:
      _ = features.update(fromContentsOf: classToken)
    case .average:
      average(patches, into: features)
    case .maximum:
      maximum(patches, into: features)
    case .averageMaximum:
      average(patches, into: features)
      withUnsafeTemporaryAllocation(of: Float.self, capacity: dim) { largest in
        maximum(patches, into: largest)
        for column in 0..<dim { features[column] = (features[column] + largest[column]) / 2 }
      }
    case .attention, .refinement:
      preconditionFailure("attention pooling has weights or heads of its own")
    case .tokenAndAverage:
      _ = features.update(fromContentsOf: classToken)
      average(patches, into: UnsafeMutableBufferPointer(rebasing: features[dim..<2 * dim]))
    }
  }

  /// The mean of the rows [rows, D] into [D].
  static func average(_ rows: MatrixView, into result: UnsafeMutableBufferPointer<Float>) {
    withUnsafeTemporaryAllocation(of: Double.self, capacity: rows.columns) { sums in
      sums.initialize(repeating: 0)
      for index in 0..<rows.rows {
        let row = rows.row(index)
        for column in 0..<rows.columns { sums[column] += Double(row[column]) }
      }
      for column in 0..<rows.columns { result[column] = Float(sums[column] / Double(rows.rows)) }
    }
  }

  private static func maximum(_ rows: MatrixView, into result: UnsafeMutableBufferPointer<Float>) {
    _ = result.update(fromContentsOf: rows.row(0))
    for index in 1..<max(rows.rows, 1) {
      let row = rows.row(index)
      // A NaN stays, as in torch's amax.
      for column in 0..<rows.columns where !(row[column] <= result[column]) && !result[column].isNaN {
        result[column] = row[column]
      }
    }
  }
}
