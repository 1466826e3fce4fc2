import Kernels
import VisionTransformer

extension Initialization {
  /// Draws the attention's weights so that they look like a trained network's: each head's queries and keys as a part of
  /// 0.7 Z + 0.7 I, so that a token attends to those like itself, and values and projection together as 0.4 Z - 0.4 I, with normal
  /// numbers Z of variance 1/D (Trockman and Kolter, "Mimetic Initialization of Self-Attention Layers", arXiv:2305.09828, with the factors
  /// found there). Learned positions begin as sines and cosines, at frequencies for small grids. All else stays as it is.
  ///
  /// It helps where images are few or the training is short: the network need not learn first to look near by.
  public static func imitateTrained(_ store: ParameterStore, seed: UInt64, pool: ThreadPool) {
    let configuration = store.layout.architecture.configuration
    let (d, width, numHeads) = (configuration.embedDim, configuration.headDim, configuration.numHeads)
    let slots = store.layout.slots
    let values = store.values(.values)
    if let positions = slots.positions { writePositions(values.mutable(positions), configuration) }
    // For each block its heads, and behind them values and projection.
    let parts = numHeads + 1
    pool.forEach(slots.blocks.count * parts) { index in
      let (block, part) = index.quotientAndRemainder(dividingBy: parts)
      let attention = slots.blocks[block].attention
      let qkv = values.mutable(attention.qkv.weight)
      let normal = NormalNumbers(
        CounterRandom(seed: seed, stream: stream, position: UInt64(block), UInt64(part)))
      guard part < numHeads else {
        let product = SingularValues(square(d, normal, noise: 0.4, identity: -0.4))
        let projection = values.mutable(attention.projection.weight)
        for (rank, triple) in product.triples.enumerated() {
          let root = triple.value.squareRoot()
          let row = qkv.row(2 * d + rank)
          for column in 0..<d {
            row[column] = root * triple.right[column]
            projection.row(column)[rank] = root * triple.left[column]
          }
        }
        return
      }
      let product = SingularValues(square(d, normal, noise: 0.7, identity: 0.7))
      for (rank, triple) in product.triples.prefix(width).enumerated() {
        let root = triple.value.squareRoot()
        let (query, key) = (qkv.row(part * width + rank), qkv.row(d + part * width + rank))
        for column in 0..<d {
          query[column] = root * triple.left[column]
          key[column] = root * triple.right[column]
        }
      }
    }
  }

  /// noise · Z + identity · I, by columns.
  private static func square(
    _ dim: Int, _ numbers: NormalNumbers, noise: Float, identity: Float
  ) -> [[Float]] {
    var numbers = numbers
    let scale = noise / Float(dim).squareRoot()
    return (0..<dim).map { column in
      var values = (0..<dim).map { _ in scale * numbers.next() }
      values[column] += identity
      return values
    }
  }

  /// Half of what `PositionEmbedding.sinCos2D` gives, which is about as large as the patches are at the start.
  private static func writePositions(_ positions: MutableMatrixView, _ configuration: ViTConfiguration) {
    guard configuration.embedDim.isMultiple(of: 4) else { return }
    let table = PositionEmbedding.sinCos2D(
      dim: configuration.embedDim, grid: configuration.gridSize, temperature: 100)
    let prefix = positions.rows - configuration.gridSize.height * configuration.gridSize.width
    for row in 0..<prefix { positions.row(row).update(repeating: 0) }
    for (index, value) in table.enumerated() {
      let (row, column) = index.quotientAndRemainder(dividingBy: configuration.embedDim)
      positions.row(prefix + row)[column] = 0.5 * value
    }
  }
}
