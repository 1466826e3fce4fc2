import Checkpoints
import Images
import Kernels

/// Position embeddings of an image's patches.
public struct PositionTable: Sendable {
  /// Rows and columns of patches.
  public let grid: ImageSize
  /// D
  public let dim: Int
  /// float32 [grid.height * grid.width, D]
  public let values: [Float]

  public init(grid: ImageSize, dim: Int, values: [Float]) {
    precondition(values.count == grid.height * grid.width * dim, "positions do not fill the grid")
    (self.grid, self.dim, self.values) = (grid, dim, values)
  }

  public var count: Int { grid.height * grid.width }

  /// Cosine similarities of each position to each: float32 [grid.height * grid.width, grid.height * grid.width]. A position of zeros is like
  /// none, itself included.
  public func similarities() -> [Float] {
    // Unit vectors first: what is left is a product.
    var units = values.map(Double.init)
    for position in 0..<count {
      let row = position * dim..<(position + 1) * dim
      let length = units[row].reduce(0) { $0 + $1 * $1 }.squareRoot()
      guard length > 0 else { continue }
      for index in row { units[index] /= length }
    }
    return [Float](unsafeUninitializedCapacity: count * count) { result, initialized in
      units.withUnsafeBufferPointer { units in
        for a in 0..<count {
          for b in 0...a {
            var sum = 0.0
            for index in 0..<dim { sum += units[a * dim + index] * units[b * dim + index] }
            let similarity = Float(min(max(sum, -1), 1))
            result[a * count + b] = similarity
            result[b * count + a] = similarity
          }
        }
      }
      initialized = count * count
    }
  }
}

/// What the patch embedding looks for: one filter for each of the D dimensions.
public struct PatchFilters: Sendable {
  /// 3 for red, green and blue, 1 for grey.
  public let channels: Int
  public let patchSize: ImageSize
  /// float32 [D, channels, height, width]
  public let values: [Float]

  /// Values of a filter.
  public var dim: Int { channels * patchSize.height * patchSize.width }
  public var count: Int { values.count / dim }

  public init(channels: Int, patchSize: ImageSize, values: [Float]) {
    (self.channels, self.patchSize, self.values) = (channels, patchSize, values)
  }
}

extension VisionTransformer {
  /// The position embeddings of the patches, read from the checkpoint: also of a model that was opened to be looked at.
  /// - Parameter grid: rows and columns of patches to which they are resampled; nil for those that they were trained for.
  /// - Throws: `ModelError.noPositions`, and `CheckpointError` where the tensor cannot be read.
  public func positionTable(grid: ImageSize? = nil) throws -> PositionTable {
    let (dim, trained) = (configuration.embedDim, configuration.gridSize)
    let target = grid ?? trained
    switch configuration.positions {
    case .none: throw ModelError.noPositions(path: path)
    case .sinCos2D:
      return PositionTable(grid: target, dim: dim, values: PositionEmbedding.sinCos2D(dim: dim, grid: target))
    case .learned:
      var reader = ParameterReader(tensors, configuration, precision: .fp32, pool: nil, describesOnly: false)
      let values = PositionEmbedding.resample(
        try reader.tokens().positions, dim: dim, from: trained, to: target,
        method: configuration.positionResampling)
      return PositionTable(grid: target, dim: dim, values: values)
    }
  }

  /// The filters of the patch embedding, read from the checkpoint: also of a model that was opened to be looked at.
  /// - Throws: `ModelError.noPixelFilters` where a convolutional network comes first, and `CheckpointError` where the tensor cannot be read.
  public func patchFilters() throws -> PatchFilters {
    let (c, name) = (configuration, "patch_embed.proj.weight")
    guard c.stem == nil else { throw ModelError.noPixelFilters(path: path) }
    var reader = WeightReader(tensors)
    let parts = try reader.matrices(
      name, shape: [c.embedDim, c.inChannels, c.patchSize.height, c.patchSize.width], columns: c.patchDim)
    defer { reader.letGo() }
    try reader.weights.checkFinite()
    let values = parts.flatMap { part in (0..<part.rows).flatMap { Array(part.row($0)) } }
    return PatchFilters(channels: c.inChannels, patchSize: c.patchSize, values: values)
  }
}
