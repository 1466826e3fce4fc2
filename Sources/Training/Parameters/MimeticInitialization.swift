import Kernels
import VisionTransformer

extension Initialization {
  /// Draws the attention's weights so that they look like a trained network's (Trockman and Kolter, "Mimetic Initialization of
  /// Self-Attention Layers", arXiv:2305.09828, with the factors found there): the product of each head's queries and keys is 0.7 Z + 0.7 I
  /// in a subspace, so that a token attends to those like itself, and that of projection and values is 0.4 Z - 0.4 I, with normal numbers
  /// Z of variance 1/D. The subspace is drawn at random, where the paper takes that of the largest singular values, whose search would
  /// take minutes in larger networks. Learned positions begin as sines and cosines, at frequencies for small grids, where D is a
  /// multiple of 4. All else stays as it is.
  ///
  /// It helps where images are few or the training is short: the network need not learn first to look near by.
  public static func imitateTrained(_ store: ParameterStore, seed: UInt64, pool: ThreadPool) {
    let configuration = store.layout.architecture.configuration
    let (d, width) = (configuration.embedDim, configuration.headDim)
    let slots = store.layout.slots
    let values = store.values(.values)
    if let positions = slots.positions { writePositions(values.mutable(positions), configuration) }
    // For each block its heads, and behind them values and projection.
    let parts = configuration.numHeads + 1
    pool.forEach(slots.blocks.count * parts) { index in
      let (block, part) = index.quotientAndRemainder(dividingBy: parts)
      let attention = slots.blocks[block].attention
      let qkv = values.mutable(attention.qkv.weight)
      var normal = NormalNumbers(
        CounterRandom(seed: seed, stream: stream, position: UInt64(block), UInt64(part)))
      let scale = 1 / Float(d).squareRoot()
      if part < configuration.numHeads {
        // B and 0.7 B + 0.7 Z, with orthonormal rows B: their product is that of BᵀB and 0.7 I + 0.7 Z, as BZ is Z again.
        let queries = qkv[part * width..<(part + 1) * width, 0..<d]
        drawOrthonormal(queries, &normal)
        let keys = qkv[d + part * width..<d + (part + 1) * width, 0..<d]
        for row in 0..<width {
          let (query, key) = (queries.row(row), keys.row(row))
          for column in 0..<d { key[column] = 0.7 * query[column] + 0.7 * scale * normal.next() }
        }
      } else {
        // c R and (0.4 Z - 0.4 Rᵀ) / c, with an orthogonal matrix R and a factor that makes them about as large.
        let factor = (0.4 * Float(2).squareRoot()).squareRoot()
        let matrix = qkv[2 * d..<3 * d, 0..<d]
        drawOrthonormal(matrix, &normal)
        let projection = values.mutable(attention.projection.weight)
        for row in 0..<d {
          let weights = projection.row(row)
          for column in 0..<d {
            weights[column] = (0.4 * scale * normal.next() - 0.4 * matrix.row(column)[row]) / factor
          }
        }
        for row in 0..<d {
          let weights = matrix.row(row)
          for column in 0..<d { weights[column] *= factor }
        }
      }
    }
  }

  /// Draws rows of length 1 that are orthogonal to one another, by Gram and Schmidt's method, twice, since once leaves what rounding
  /// has brought in.
  private static func drawOrthonormal(_ matrix: MutableMatrixView, _ normal: inout NormalNumbers) {
    for index in 0..<matrix.rows {
      let row = matrix.row(index)
      for column in row.indices { row[column] = normal.next() }
      for _ in 0..<2 {
        for other in 0..<index {
          subtract(product(row, matrix.row(other)), times: matrix.row(other), from: row)
        }
        let length = product(row, row).squareRoot()
        for column in row.indices { row[column] /= max(length, .leastNormalMagnitude) }
      }
    }
  }

  private static func subtract(
    _ factor: Float, times other: UnsafeMutableBufferPointer<Float>,
    from row: UnsafeMutableBufferPointer<Float>
  ) {
    for column in row.indices { row[column] -= factor * other[column] }
  }

  private static func product(
    _ a: UnsafeMutableBufferPointer<Float>, _ b: UnsafeMutableBufferPointer<Float>
  ) -> Float {
    // Sixteen sums at a time, for which the compiler has vectors.
    var sums = SIMD16<Float>()
    let whole = a.count - a.count % 16
    for start in stride(from: 0, to: whole, by: 16) {
      for lane in 0..<16 { sums[lane] += a[start + lane] * b[start + lane] }
    }
    return (whole..<a.count).reduce(sums.sum()) { $0 + a[$1] * b[$1] }
  }

  /// Half of what `PositionEmbedding.sinCos2D` gives, which is about as large as the patches are at the start.
  private static func writePositions(_ positions: MutableMatrixView, _ configuration: ViTConfiguration) {
    guard configuration.embedDim.isMultiple(of: 4) else { return }
    let table = PositionEmbedding.sinCos2D(
      dim: configuration.embedDim, grid: configuration.gridSize, temperature: 100)
    let prefix = configuration.numPositionedPrefixTokens
    for row in 0..<prefix { positions.row(row).update(repeating: 0) }
    for (index, value) in table.enumerated() {
      let (row, column) = index.quotientAndRemainder(dividingBy: configuration.embedDim)
      positions.row(prefix + row)[column] = 0.5 * value
    }
  }
}
