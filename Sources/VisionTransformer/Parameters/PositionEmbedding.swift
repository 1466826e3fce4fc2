import Images

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Resamples position embeddings from the grid for which they were trained to another one.
///
/// The arithmetic is that of PyTorch's `upsample_bicubic2d`, `_upsample_bicubic2d_aa` and `upsample_bilinear2d`: separable; the cubic
/// convolution (Keys, 1981) with a = -0.75, and with a = -0.5 and the support widened by the reduction where antialiased.
package struct PositionEmbedding {
  /// The weights with which samples of one axis make up a sample of the new axis.
  struct Tap: Equatable {
    var indices: [Int]
    var weights: [Float]
  }

  /// Resamples `embedding`, float32 [grid.height * grid.width, dim] in row-major order, to the new grid.
  static func resample(
    _ embedding: [Float], dim: Int, from grid: ImageSize, to newGrid: ImageSize, method: PositionResampling
  ) -> [Float] {
    precondition(embedding.count == grid.height * grid.width * dim, "positions do not fill the grid")
    guard grid != newGrid else { return embedding }
    let columns = taps(from: grid.width, to: newGrid.width, method: method)
    let rows = taps(from: grid.height, to: newGrid.height, method: method)

    var wide = [Float](repeating: 0, count: grid.height * newGrid.width * dim)
    for row in 0..<grid.height {
      for (column, tap) in columns.enumerated() {
        let target = (row * newGrid.width + column) * dim
        for (index, weight) in zip(tap.indices, tap.weights) {
          accumulate(
            embedding, at: (row * grid.width + index) * dim, weight: weight, into: &wide, at: target,
            count: dim)
        }
      }
    }
    var result = [Float](repeating: 0, count: newGrid.height * newGrid.width * dim)
    let rowCount = newGrid.width * dim
    for (row, tap) in rows.enumerated() {
      for (index, weight) in zip(tap.indices, tap.weights) {
        accumulate(
          wide, at: index * rowCount, weight: weight, into: &result, at: row * rowCount, count: rowCount)
      }
    }
    return result
  }

  /// Positions of a grid as sines and cosines: float32 [grid.height * grid.width, dim], a quarter each for sin(x), cos(x), sin(y) and
  /// cos(y) at frequencies from 1 to 1 / temperature (big_vision's `posemb_sincos_2d`, after MoCo v3).
  package static func sinCos2D(dim: Int, grid: ImageSize, temperature: Double = 10_000) -> [Float] {
    let quarter = dim / 4
    let frequencies = (0..<quarter).map { 1 / pow(temperature, Double($0) / Double(max(1, quarter - 1))) }
    var positions: [Float] = []
    positions.reserveCapacity(grid.height * grid.width * dim)
    for row in 0..<grid.height {
      for column in 0..<grid.width {
        for coordinate in [column, row] {
          positions += frequencies.map { Float(sin(Double(coordinate) * $0)) }
          positions += frequencies.map { Float(cos(Double(coordinate) * $0)) }
        }
      }
    }
    return positions
  }

  /// One tap list for each of `newCount` samples of an axis that has `count`.
  static func taps(from count: Int, to newCount: Int, method: PositionResampling) -> [Tap] {
    // The distance between two new samples, in old ones.
    let scale = Float(count) / Float(newCount)
    let cornerScale = newCount > 1 ? Float(count - 1) / Float(newCount - 1) : 0
    return (0..<newCount).map { index in
      let center = Float(index) + 0.5
      return switch method {
      case .bicubicAntialiased: antialiasedTap(index, scale: scale, count: count)
      case .bicubic: cubicTap(at: scale * center - 0.5, count: count)
      // F.interpolate takes the scale from the factor that it was given, not from the sizes.
      case .bicubicOffset:
        cubicTap(at: Float(1 / ((Double(newCount) + 0.1) / Double(count))) * center - 0.5, count: count)
      case .bicubicCorners: cubicTap(at: cornerScale * Float(index), count: count)
      case .bilinear: linearTap(at: max(scale * center - 0.5, 0), count: count)
      case .bilinearCorners: linearTap(at: cornerScale * Float(index), count: count)
      }
    }
  }

  /// PyTorch's `_compute_indices_min_size_weights_aa`.
  private static func antialiasedTap(_ index: Int, scale: Float, count: Int) -> Tap {
    let reduction = max(scale, 1)
    let support = 2 * reduction
    let center = scale * (Float(index) + 0.5)
    let first = max(Int(center - support + 0.5), 0)
    let last = min(Int(center + support + 0.5), count)
    let weights = (first..<last).map { cubic((Float($0) - center + 0.5) / reduction, a: -0.5) }
    let total = weights.reduce(0, +)
    return Tap(indices: Array(first..<last), weights: weights.map { $0 / total })
  }

  /// PyTorch's `upsample_bicubic2d`: four samples, the edge repeated.
  private static func cubicTap(at position: Float, count: Int) -> Tap {
    let origin = position.rounded(.down)
    let offsets = -1...2
    return Tap(
      indices: offsets.map { min(max(Int(origin) + $0, 0), count - 1) },
      weights: offsets.map { cubic(position - origin - Float($0), a: -0.75) })
  }

  /// PyTorch's `upsample_bilinear2d`, and a spline of order 1: two samples, the edge repeated.
  private static func linearTap(at position: Float, count: Int) -> Tap {
    let origin = min(Int(position), count - 1)
    let fraction = min(max(position - Float(origin), 0), 1)
    return Tap(indices: [origin, min(origin + 1, count - 1)], weights: [1 - fraction, fraction])
  }

  /// Keys' cubic convolution kernel.
  private static func cubic(_ x: Float, a: Float) -> Float {
    let x = abs(x)
    if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
    if x < 2 { return (((x - 5) * x + 8) * x - 4) * a }
    return 0
  }

  private static func accumulate(
    _ source: [Float], at start: Int, weight: Float, into target: inout [Float], at targetStart: Int,
    count: Int
  ) {
    for offset in 0..<count { target[targetStart + offset] += weight * source[start + offset] }
  }
}
