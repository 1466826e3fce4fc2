import Checkpoints
import Images
import Kernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Takes the layers of a Vision Transformer out of a checkpoint one by one, and packs their weights.
struct ParameterReader {
  var weights: WeightReader
  let configuration: ViTConfiguration
  /// Holds what was packed, and the vectors.
  let storage = PackedStorage()
  private let precision: Precision
  private let pool: ThreadPool?

  init(
    _ tensors: NamedTensors, _ configuration: ViTConfiguration, precision: Precision, pool: ThreadPool?,
    describesOnly: Bool, substitutes: LayerSubstitutes? = nil
  ) {
    weights = WeightReader(tensors, describesOnly: describesOnly, substitutes: substitutes)
    self.configuration = configuration
    self.precision = precision
    self.pool = pool
  }

  var tensors: NamedTensors { weights.tensors }

  // MARK: Layers

  mutating func vector(_ name: String, count: Int) throws(CheckpointError) -> MatrixView {
    try keep { reader throws(CheckpointError) in
      try reader.weights.matrices(name, shape: [count], columns: count)
    }
  }

  mutating func norm(_ name: String, dim: Int) throws(CheckpointError) -> Parameters.Norm {
    Parameters.Norm(
      kind: configuration.norm, gamma: try vector("\(name).weight", count: dim),
      beta: configuration.norm == .layerNorm ? try vector("\(name).bias", count: dim) : nil,
      epsilon: configuration.normEpsilon)
  }

  /// A layer of the blocks; where the file keeps apart what timm stacks by rows, its parts as one.
  mutating func linear(
    _ name: String, outputs: Int, inputs: Int, hasBias: Bool
  ) throws(CheckpointError) -> Parameters.Linear {
    if precision == .int8, !weights.describesOnly,
      let weight = try quantized("\(name).weight", outputs: outputs, inputs: inputs)
    {
      return Parameters.Linear(
        name: name, weight: weight, bias: hasBias ? try vector("\(name).bias", count: outputs) : nil)
    }
    return try linear(name, outputs: outputs, inputs: inputs, hasBias: hasBias, precision: roundedPrecision)
  }

  /// A layer's weight that is stored as integers; nil where it is not, or where no sum of them could be exact.
  private mutating func quantized(
    _ name: String, outputs: Int, inputs: Int
  ) throws(CheckpointError) -> PackedMatrix? {
    guard inputs <= PackedMatrix.largestInner,
      let weight = try weights.quantized(name, shape: [outputs, inputs])
    else { return nil }
    var levels = RowLevels()
    if let smoothing = weight.smoothing {
      let multipliers = try matrix(rows: 1, columns: inputs)
      for (index, value) in smoothing.enumerated() { multipliers.row(0)[index] = 1 / value }
      levels.multipliers = multipliers.view
    }
    levels.fixed = weight.input.map { .init(scale: $0.scale, zeroPoint: $0.zeroPoint) }
    do {
      return try weight.levels.withUnsafeBufferPointer { bytes throws(PackingError) in
        try weight.scales.withUnsafeBufferPointer { scales throws(PackingError) in
          guard let bytes = bytes.baseAddress, let scales = scales.baseAddress else { return nil }
          return try PackedMatrix(
            LevelsView(levels: bytes, scales: scales, outputs: outputs, inner: inputs), rowLevels: levels,
            storage: storage, pool: pool)
        }
      }
    } catch {
      throw checkpointError(error)
    }
  }

  /// Of a block's layer that is stored as floats: with int8 it is rounded, unless other layers were quantised and this one kept.
  var roundedPrecision: Precision { weights.isQuantized ? outerPrecision : precision }

  /// A layer before or behind the blocks: a small share of the work that a result depends on directly. With int8 it stays in
  /// bfloat16, or in float32 where the processor has no products of bfloat16.
  mutating func outerLinear(
    _ name: String, outputs: Int, inputs: Int, hasBias: Bool
  ) throws(CheckpointError) -> Parameters.Linear {
    try linear(name, outputs: outputs, inputs: inputs, hasBias: hasBias, precision: outerPrecision)
  }

  private var outerPrecision: Precision {
    precision == .int8 ? .nearFloat : precision
  }

  private mutating func linear(
    _ name: String, outputs: Int, inputs: Int, hasBias: Bool, precision: Precision
  ) throws(CheckpointError) -> Parameters.Linear {
    Parameters.Linear(
      name: name,
      weight: try pack(precision) { reader throws(CheckpointError) in
        try reader.weights.matrices("\(name).weight", shape: [outputs, inputs], columns: inputs)
      },
      bias: hasBias ? try vector("\(name).bias", count: outputs) : nil)
  }

  // MARK: Packing

  /// Packs matrices with equal columns as one, and lets go of what was read for them.
  mutating func pack(
    _ precision: Precision, _ read: (inout Self) throws(CheckpointError) -> [MatrixView]
  ) throws(CheckpointError) -> PackedMatrix {
    let parts = try read(&self)
    let packed = try pack(precision, parts)
    weights.letGo()
    return packed
  }

  /// Packs matrices that were read since the last time that the weights let go.
  func pack(_ precision: Precision, _ parts: [MatrixView]) throws(CheckpointError) -> PackedMatrix {
    guard !weights.describesOnly else {
      return PackedMatrix(
        describing: parts.reduce(0) { $0 + $1.rows }, inner: parts.first?.columns ?? 0, precision: precision)
    }
    do {
      return try PackedMatrix(parts, precision: precision, storage: storage, pool: pool)
    } catch {
      throw checkpointError(error)
    }
  }

  /// One vector of the parts, copied to stay; lets go of what was read for it.
  mutating func keep(
    _ read: (inout Self) throws(CheckpointError) -> [MatrixView]
  ) throws(CheckpointError) -> MatrixView {
    let parts = try read(&self)
    let vector = try matrix(rows: 1, columns: parts.reduce(0) { $0 + $1.columns })
    if !weights.describesOnly {
      try weights.weights.checkFinite()
      var column = 0
      for part in parts {
        vector[0..<1, column..<column + part.columns].copy(from: part)
        column += part.columns
      }
    }
    weights.letGo()
    return vector.view
  }

  /// A matrix to stay, of zeros.
  func matrix(rows: Int, columns: Int) throws(CheckpointError) -> MutableMatrixView {
    do {
      return try storage.matrix(rows: rows, columns: columns)
    } catch {
      throw checkpointError(error)
    }
  }

  private func checkpointError(_ error: PackingError) -> CheckpointError {
    switch error {
    case .outOfMemory(let bytes): return .outOfMemory(path: tensors.path, bytes: bytes)
    case .nonFinite:
      // What is packed may have been computed from the tensor that was read.
      let source = weights.weights.first { !Elements.allFinite($0.matrix) } ?? weights.weights.last
      return source.map { .nonFinite(path: $0.path, tensor: $0.name) }
        ?? .malformed(path: tensors.path, reason: "a weight is NaN or infinite")
    }
  }

  /// A layer of a block has a bias in all blocks or in none.
  func hasBias(_ name: String) -> Bool { tensors.containsLike("\(name).bias") }

  mutating func layerScale(_ name: String) throws(CheckpointError) -> MatrixView? {
    configuration.layerScale ? try vector("\(name).gamma", count: configuration.embedDim) : nil
  }

  // MARK: Embedding

  mutating func patchEmbedding(stem: ResNetParameters?) throws(CheckpointError) -> Parameters.Linear {
    let name = "patch_embed.proj"
    let (d, patch) = (configuration.embedDim, configuration.patchSize)
    // Networks with a norm before the blocks have no bias here (timm's `pre_norm`), nor has any CLIP.
    let mayLackBias = configuration.hasPreNorm || tensors.scheme.library == .clip
    let hasBias = !mayLackBias || tensors.contains("\(name).bias")
    let bias = hasBias ? try vector("\(name).bias", count: d) : nil
    if let stem {
      let scale = configuration.stem?.stride ?? 1
      let kernel = Extent(height: patch.height / scale, width: patch.width / scale)
      // The stem's output is float32.
      let weight = try pack(.fp32) { reader throws(CheckpointError) in
        [try reader.convolution("\(name).weight", outputs: d, inputs: stem.channels, kernel: kernel)]
      }
      return Parameters.Linear(weight: weight, bias: bias)
    }
    let weight = try pack(outerPrecision) { reader throws(CheckpointError) in
      let channels = reader.configuration.inChannels
      let parts = try reader.weights.matrices(
        "\(name).weight", shape: [d, channels, patch.height, patch.width],
        columns: reader.configuration.patchDim)
      guard reader.outerPrecision == .fp32 else { return parts }
      return try parts.map { part throws(CheckpointError) in
        let wide = reader.weights.allocate(rows: part.rows, columns: part.columns + channels)
        if !reader.weights.describesOnly { PatchMeans.appendSums(of: part, channels: channels, into: wide) }
        return wide.view
      }
    }
    return Parameters.Linear(weight: weight, bias: bias)
  }

  /// A convolution's weight [O, I, kh, kw] with its columns in the order row, column, channel.
  mutating func convolution(
    _ name: String, outputs: Int, inputs: Int, kernel: Extent
  ) throws(CheckpointError) -> MatrixView {
    let area = kernel.count
    let source = try weights.matrices(
      name, shape: [outputs, inputs, kernel.height, kernel.width], columns: inputs * area)[0]
    guard area > 1 else { return source }
    let target = weights.allocate(rows: outputs, columns: inputs * area)
    for output in 0..<outputs {
      let (from, to) = (source.row(output), target.row(output))
      for input in 0..<inputs {
        for pixel in 0..<area { to[pixel * inputs + input] = from[input * area + pixel] }
      }
    }
    return target.view
  }

  /// Prefix tokens with their positions, and the positions of the patches.
  mutating func tokens() throws(CheckpointError) -> (prefix: [Float], positions: [Float]) {
    let dim = configuration.embedDim
    var prefix: [Float] = []
    for (name, count) in [
      ("cls_token", configuration.hasClassToken ? 1 : 0),
      ("dist_token", configuration.hasDistillationToken ? 1 : 0),
      ("reg_token", configuration.numRegisterTokens),
    ] where count > 0 {
      prefix += try values(name, rows: count, columns: dim)
    }
    guard configuration.positions == .learned else { return (prefix, []) }
    let positioned = configuration.numPositionedPrefixTokens
    let patches = configuration.gridSize.height * configuration.gridSize.width
    let positions = try values("pos_embed", rows: positioned + patches, columns: dim)
    for index in 0..<positioned * dim { prefix[index] += positions[index] }
    return (prefix, Array(positions.dropFirst(positioned * dim)))
  }

  private mutating func values(_ name: String, rows: Int, columns: Int) throws(CheckpointError) -> [Float] {
    let matrix = try weights.rows(name, rows: rows, columns: columns)
    defer { weights.letGo() }
    if !weights.describesOnly { try weights.weights.checkFinite() }
    return (0..<rows).flatMap { Array(matrix.row($0)) }
  }

  mutating func attentionPool() throws(CheckpointError) -> Parameters.AttentionPool {
    let d = configuration.embedDim
    let name = "attn_pool"
    let count = tensors.shape(of: "\(name).latent")?.dropLast().last ?? 1
    let m = tensors.shape(of: "\(name).mlp.fc1.weight")?.first ?? 4 * d
    return Parameters.AttentionPool(
      latent: try latents(name, count: count),
      query: try outerLinear("\(name).q", outputs: d, inputs: d, hasBias: true),
      keyValue: try withoutKeyBias(
        try outerLinear("\(name).kv", outputs: 2 * d, inputs: d, hasBias: true), keys: 0..<d),
      projection: try outerLinear("\(name).proj", outputs: d, inputs: d, hasBias: true),
      norm: try norm("\(name).norm", dim: d),
      fc1: try outerLinear("\(name).mlp.fc1", outputs: m, inputs: d, hasBias: true),
      fc2: try outerLinear("\(name).mlp.fc2", outputs: d, inputs: m, hasBias: true))
  }

  private mutating func latents(_ name: String, count: Int) throws(CheckpointError) -> MatrixView {
    let d = configuration.embedDim
    let latents = try matrix(rows: count, columns: d)
    let source = try values("\(name).latent", rows: count, columns: d)
    for row in 0..<count { _ = latents.row(row).update(fromContentsOf: source[row * d..<(row + 1) * d]) }
    return latents.view
  }
}
