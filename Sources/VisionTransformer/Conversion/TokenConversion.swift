import Checkpoints
import Kernels

/// The learned tokens and their positions, rearranged for a library that gives positions to other tokens than the source does.
///
/// A token's position is a vector that is added to it, so that it may as well be part of the token; where a position is wanted, but
/// there is none, zeros are one.
struct TokenConversion {
  /// [D], [D], [R * D]; nil where there are none.
  let classToken: [Float]?
  let distillationToken: [Float]?
  let registerTokens: [Float]?
  /// [positioned + patches, D]; nil where no positions are wanted.
  let positions: [Float]?
  let positionRows: Int

  /// - Parameters:
  ///   - positioned: how many of the prefix tokens, from the first, are to have a position; nil for no positions at all, which is
  ///     possible only where there are none.
  ///   - foldsPatchBias: whether the bias of the patch projection goes into the positions.
  /// - Throws: `CheckpointError` where a tensor is damaged.
  init(
    _ tensors: NamedTensors, _ configuration: ViTConfiguration, positioned: Int?, foldsPatchBias: Bool
  ) throws(CheckpointError) {
    let dim = configuration.embedDim
    var reader = WeightReader(tensors)
    defer { reader.letGo() }
    func read(_ name: String, rows: Int) throws(CheckpointError) -> [Float] {
      let matrix = try reader.rows(name, rows: rows, columns: dim)
      return Array(UnsafeBufferPointer(start: matrix.base, count: rows * dim))
    }
    let counts = [
      configuration.hasClassToken ? 1 : 0, configuration.hasDistillationToken ? 1 : 0,
      configuration.numRegisterTokens,
    ]
    var prefix: [Float] = []
    for (name, count) in zip(["cls_token", "dist_token", "reg_token"], counts) where count > 0 {
      prefix += try read(name, rows: count)
    }
    let grid = configuration.gridSize.height * configuration.gridSize.width
    let existing = configuration.positions == .learned ? configuration.numPositionedPrefixTokens : 0
    var table: [Float]
    switch configuration.positions {
    case .learned: table = try read("pos_embed", rows: existing + grid)
    case .sinCos2D: table = PositionEmbedding.sinCos2D(dim: dim, grid: configuration.gridSize)
    case .none: table = [Float](repeating: 0, count: grid * dim)
    }
    let wanted = positioned ?? 0
    for index in min(wanted, existing) * dim..<existing * dim where index >= wanted * dim {
      prefix[index] += table[index]
    }
    var rows = [Float](repeating: 0, count: wanted * dim)
    for index in 0..<min(wanted, existing) * dim { rows[index] = table[index] }
    table = Array(table.dropFirst(existing * dim))
    if foldsPatchBias {
      let bias = try reader.matrices("patch_embed.proj.bias", shape: [dim], columns: dim)[0].row(0)
      for index in table.indices { table[index] += bias[index % dim] }
    }
    try reader.weights.checkFinite()
    positions = positioned == nil ? nil : rows + table
    positionRows = wanted + grid
    func token(_ kind: Int) -> [Float]? {
      let first = counts[..<kind].reduce(0, +) * dim
      return counts[kind] == 0 ? nil : Array(prefix[first..<first + counts[kind] * dim])
    }
    (classToken, distillationToken, registerTokens) = (token(0), token(1), token(2))
  }
}
