extension Compute {
  /// Group normalisation of one image, channels last: each group of neighbouring channels is normalised over all its pixels,
  /// then an affine map of each channel and an activation.
  ///
  /// Source: Wu, He, "Group Normalization", arXiv:1803.08494, eq. 1, 2 and 7; PyTorch's `group_norm`. Mean and variance are summed
  /// in double precision about each channel's first pixel, in an order that does not depend on the number of threads.
  /// - Parameters:
  ///   - x: pixels [h·w, C].
  ///   - groups: divides C.
  ///   - gamma: scale [C]; nil for 1.
  ///   - beta: shift [C]; nil for 0.
  ///   - epsilon: added to the (biased) variance.
  ///   - activation: applied to the result; nil for none.
  ///   - out: [h·w, C]; may be `x`.
  public func groupNorm(
    _ x: MatrixView, groups: Int, gamma: UnsafePointer<Float>?, beta: UnsafePointer<Float>?, epsilon: Float,
    activation: Activation? = nil, into out: MutableMatrixView
  ) {
    checkSameShape(x, out, "groupNorm")
    precondition(
      groups > 0 && x.columns % groups == 0,
      "groupNorm: \(x.columns) channels cannot be cut into \(groups) groups")
    guard x.rows > 0 && x.columns > 0 else { return }
    let maps = channelMaps(x, groups: groups, gamma: gamma, beta: beta, epsilon: epsilon)
    maps.withUnsafeBufferPointer { maps in
      guard let base = maps.baseAddress else { return }
      let maps = MatrixView(base: base, rows: 3, columns: x.columns)
      split(x.rows, work: x.rows * x.columns * Cost.element) { rows in
        // A row at a time: it stays in the first-level cache until the activation.
        for row in rows {
          let target = out[row..<row + 1, 0..<out.columns]
          Operations.active.normalize_columns(
            x.base + row * x.rowStride, x.rowStride, target.base, target.rowStride, 1, x.columns,
            maps.base, maps.base + maps.columns, maps.base + 2 * maps.columns)
          activation?.apply(to: target)
        }
      }
    }
  }

  /// What normalises each channel, as three rows [C] one after the other: center, scale and shift of
  /// (x - center) · scale + shift.
  private func channelMaps(
    _ x: MatrixView, groups: Int, gamma: UnsafePointer<Float>?, beta: UnsafePointer<Float>?, epsilon: Float
  ) -> [Float] {
    let (sums, squares) = moments(x)
    let (channels, pixels) = (x.columns / groups, Double(x.rows))
    var maps = [Float](repeating: 0, count: 3 * x.columns)
    for group in 0..<groups {
      let members = group * channels..<(group + 1) * channels
      let means = members.map { Double(x.base[$0]) + sums[$0] / pixels }
      let mean = means.reduce(0, +) / Double(channels)
      // The variance inside the channels and that between them (Chan, Golub, LeVeque, "Algorithms for computing
      // the sample variance", 1983, section 2).
      let total = zip(members, means).reduce(0) { total, member in
        let (channel, channelMean) = member
        let inside = squares[channel] - sums[channel] * sums[channel] / pixels
        return total + inside + pixels * (channelMean - mean) * (channelMean - mean)
      }
      // Never below zero: the first of n differences is 0, so what is inside is at least 1/n of the squares, far
      // above their rounding errors.
      let variance = total / (pixels * Double(channels))
      let scale = 1 / (variance + Double(epsilon)).squareRoot()
      let center = Float(mean)
      for channel in members {
        let channelScale = scale * Double(gamma?[channel] ?? 1)
        maps[channel] = center
        maps[x.columns + channel] = Float(channelScale)
        // What the mean loses in becoming a float goes into the shift.
        let lost = (mean - Double(center)) * channelScale
        maps[2 * x.columns + channel] = Float(Double(beta?[channel] ?? 0) - lost)
      }
    }
    return maps
  }

  /// The sums [C] of each channel's differences to its first pixel, and of their squares.
  private func moments(_ x: MatrixView) -> (sums: [Double], squares: [Double]) {
    var (sums, squares) = ([Double](repeating: 0, count: x.columns), [Double](repeating: 0, count: x.columns))
    sums.withUnsafeMutableBufferPointer { sums in
      squares.withUnsafeMutableBufferPointer { squares in
        guard let sums = sums.baseAddress, let squares = squares.baseAddress else { return }
        let targets = SharedMoments(sums: sums, squares: squares)
        split(x.columns, work: x.rows * x.columns * Cost.element) { columns in
          let block = x[0..<x.rows, columns]
          Operations.active.column_moments(
            block.base, block.rowStride, block.rows, block.columns, block.base,
            targets.sums + columns.lowerBound, targets.squares + columns.lowerBound)
        }
      }
    }
    return (sums, squares)
  }
}

/// Sums [C] that several threads write, each its own part.
private struct SharedMoments: @unchecked Sendable {
  let sums, squares: UnsafeMutablePointer<Double>
}
