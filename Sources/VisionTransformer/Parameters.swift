import Checkpoints
import Images
import Kernels

/// The weights of a Vision Transformer as the forward pass reads them. A float32 tensor is used where it lies in the mapped
/// file; one of another type, or one that lies askew, is converted once.
struct Parameters: Sendable {
  /// weight [O, K] and bias [O], as in torch's `Linear`.
  struct Linear: Sendable {
    let weight: MatrixView
    let bias: MatrixView?
  }

  /// Several layers that share their input and whose outputs stand side by side: query, key and value where the file keeps them
  /// apart.
  struct StackedLinear: Sendable {
    let parts: [Linear]
  }

  /// gamma [D] and beta [D].
  struct Norm: Sendable {
    let gamma: MatrixView
    let beta: MatrixView
  }

  struct Block: Sendable {
    let norm1: Norm
    /// [3D, D]: rows for queries, keys and values.
    let qkv: StackedLinear
    /// [D, D]
    let projection: Linear
    /// Layer scale [D] of the attention branch.
    let layerScale1: MatrixView?
    let norm2: Norm
    /// [M, D]
    let fc1: Linear
    /// [D, M]
    let fc2: Linear
    /// Layer scale [D] of the MLP branch.
    let layerScale2: MatrixView?
  }

  /// [D, 3 * P * P]
  let patchEmbedding: Linear
  /// Class, distillation and register tokens with their positions added: [prefix tokens, D] in row-major order.
  let prefixTokens: [Float]
  /// [grid.height * grid.width, D], for the grid for which they were trained.
  let patchPositions: [Float]
  let blocks: [Block]
  let norm: Norm?
  let featureNorm: Norm?
  /// [C, F]
  let head: Linear?
  /// [C, D]
  let distillationHead: Linear?
  /// Number of parameters in the file that take part in the forward pass.
  let count: Int
  private let storage: ParameterStorage

  /// - Throws: `CheckpointError` where a tensor is missing, has another shape, a type that is no weight's, or NaN in it.
  init(_ tensors: NamedTensors, configuration: ViTConfiguration) throws(CheckpointError) {
    var reader = ParameterReader(tensors: tensors)
    let (d, m, c) = (configuration.embedDim, configuration.mlpDim, configuration.numClasses)

    patchEmbedding = try reader.linear(
      "patch_embed.proj", outputs: d, inputs: configuration.patchDim,
      shape: [d, 3, configuration.patchSize.height, configuration.patchSize.width])
    (prefixTokens, patchPositions) = try reader.tokens(configuration)
    var blocks: [Block] = []
    for index in 0..<configuration.depth {
      let name = "blocks.\(index)"
      blocks.append(
        Block(
          norm1: try reader.norm("\(name).norm1", dim: d),
          qkv: try reader.stacked(
            "\(name).attn.qkv", outputs: 3 * d, inputs: d, hasBias: configuration.qkvBias),
          projection: try reader.linear("\(name).attn.proj", outputs: d, inputs: d),
          layerScale1: configuration.layerScale ? try reader.vector("\(name).ls1.gamma", count: d) : nil,
          norm2: try reader.norm("\(name).norm2", dim: d),
          fc1: try reader.linear("\(name).mlp.fc1", outputs: m, inputs: d),
          fc2: try reader.linear("\(name).mlp.fc2", outputs: d, inputs: m),
          layerScale2: configuration.layerScale ? try reader.vector("\(name).ls2.gamma", count: d) : nil))
    }
    self.blocks = blocks
    norm = configuration.hasNorm ? try reader.norm("norm", dim: d) : nil
    featureNorm = configuration.hasFeatureNorm ? try reader.norm("fc_norm", dim: d) : nil
    head = c > 0 ? try reader.linear("head", outputs: c, inputs: configuration.featureDim) : nil
    distillationHead =
      configuration.hasDistillationHead ? try reader.linear("head_dist", outputs: c, inputs: d) : nil
    count = reader.count
    storage = reader.storage
  }
}

/// Keeps alive what the views of the parameters point into: mapped files and converted copies.
private final class ParameterStorage: Sendable {
  let used: [TensorElements]
  let converted: [ConvertedTensor]

  init(used: [TensorElements], converted: [ConvertedTensor]) {
    self.used = used
    self.converted = converted
  }
}

/// A tensor's elements as float32 in memory of its own.
private final class ConvertedTensor: Sendable {
  let buffer: FloatBuffer

  init(_ buffer: consuming FloatBuffer) {
    self.buffer = buffer
  }
}

/// Takes tensors out of a checkpoint one by one, with the checks that each needs.
private struct ParameterReader {
  let tensors: NamedTensors
  private(set) var count = 0
  private var used: [TensorElements] = []
  private var converted: [ConvertedTensor] = []

  init(tensors: NamedTensors) {
    self.tensors = tensors
  }

  var storage: ParameterStorage { ParameterStorage(used: used, converted: converted) }

  mutating func vector(_ name: String, count: Int) throws(CheckpointError) -> MatrixView {
    try matrices(name, shape: [count], rows: 1, columns: count)[0]
  }

  mutating func norm(_ name: String, dim: Int) throws(CheckpointError) -> Parameters.Norm {
    Parameters.Norm(
      gamma: try vector("\(name).weight", count: dim), beta: try vector("\(name).bias", count: dim))
  }

  /// A layer whose weight has the given shape in the file, by default [outputs, inputs].
  mutating func linear(
    _ name: String, outputs: Int, inputs: Int, shape: [Int]? = nil
  ) throws(CheckpointError) -> Parameters.Linear {
    Parameters.Linear(
      weight: try matrices(
        "\(name).weight", shape: shape ?? [outputs, inputs], rows: outputs, columns: inputs)[0],
      bias: try vector("\(name).bias", count: outputs))
  }

  mutating func stacked(
    _ name: String, outputs: Int, inputs: Int, hasBias: Bool
  ) throws(CheckpointError) -> Parameters.StackedLinear {
    let weights = try matrices("\(name).weight", shape: [outputs, inputs], rows: outputs, columns: inputs)
    guard hasBias else {
      return Parameters.StackedLinear(parts: weights.map { .init(weight: $0, bias: nil) })
    }
    let biases = try matrices("\(name).bias", shape: [outputs], rows: 1, columns: outputs)
    guard weights.count == biases.count else { throw tensors.missing("\(name).bias") }
    return Parameters.StackedLinear(parts: zip(weights, biases).map { .init(weight: $0, bias: $1) })
  }

  /// Prefix tokens with their positions, and the positions of the patches.
  mutating func tokens(
    _ configuration: ViTConfiguration
  ) throws(CheckpointError) -> (prefix: [Float], positions: [Float]) {
    let dim = configuration.embedDim
    var prefix: [Float] = []
    for (name, count) in [
      ("cls_token", configuration.hasClassToken ? 1 : 0),
      ("dist_token", configuration.hasDistillationToken ? 1 : 0),
      ("reg_token", configuration.numRegisterTokens),
    ] where count > 0 {
      prefix += try values(name, rows: count, columns: dim)
    }
    let positioned = configuration.numPositionedPrefixTokens
    let patches = configuration.gridSize.height * configuration.gridSize.width
    let positions = try values("pos_embed", rows: positioned + patches, columns: dim)
    for index in 0..<positioned * dim { prefix[index] += positions[index] }
    return (prefix, Array(positions.dropFirst(positioned * dim)))
  }

  /// A tensor of shape [1, ..., rows, columns] as an array.
  private mutating func values(_ name: String, rows: Int, columns: Int) throws(CheckpointError) -> [Float] {
    let shape = tensors.shape(of: name) ?? []
    let ones = [Int](repeating: 1, count: max(0, shape.count - 2))
    let view = try matrices(name, shape: ones + [rows, columns], rows: rows, columns: columns)[0]
    return (0..<rows).flatMap { Array(view.row($0)) }
  }

  /// A tensor's parts, each as a matrix; several only where the file keeps apart what timm stacks by rows.
  private mutating func matrices(
    _ name: String, shape: [Int], rows: Int, columns: Int
  ) throws(CheckpointError) -> [MatrixView] {
    try tensors.require(name, shape: shape)
    guard let parts = tensors.sources(of: name) else { throw tensors.missing(name) }
    var views: [MatrixView] = []
    for part in parts {
      let isVector = shape.count == 1
      let view = try self.view(
        part, rows: isVector ? 1 : rows / parts.count, columns: isVector ? columns / parts.count : columns)
      views.append(view)
    }
    return views
  }

  private mutating func view(_ tensor: TensorInfo, rows: Int, columns: Int) throws(CheckpointError)
    -> MatrixView
  {
    let path = tensors.container.path(of: tensor)
    count += tensor.count
    let elements = try tensors.container.elements(of: tensor)
    let base = try elements.withUnsafeBytes { bytes throws(CheckpointError) in
      try floats(bytes, of: tensor, elements: elements)
    }
    let view = MatrixView(base: base, rows: rows, columns: columns)
    guard Elements.allFinite(view) else { throw .nonFinite(path: path, tensor: tensor.name) }
    return view
  }

  /// The elements as float32: where they lie if that is what they are, else a copy.
  private mutating func floats(
    _ bytes: UnsafeRawBufferPointer, of tensor: TensorInfo, elements: TensorElements
  ) throws(CheckpointError) -> UnsafePointer<Float> {
    let path = tensors.container.path(of: tensor)
    guard let start = bytes.baseAddress, tensor.count > 0 else {
      throw .malformedTensor(path: path, tensor: tensor.name, reason: "it has no elements")
    }
    let isAligned = UInt(bitPattern: start).isMultiple(of: UInt(MemoryLayout<Float>.alignment))
    if tensor.type == .float32, isAligned {
      used.append(elements)
      return start.assumingMemoryBound(to: Float.self)
    }
    let copy = FloatBuffer(count: tensor.count)
    let floats = UnsafeMutableBufferPointer(start: copy.base, count: copy.count)
    switch tensor.type {
    case .float32: UnsafeMutableRawBufferPointer(floats).copyMemory(from: bytes)
    case .float16: Elements.convertFloat16(bytes, into: floats)
    case .bfloat16: Elements.convertBFloat16(bytes, into: floats)
    default: throw .unsupportedType(path: path, tensor: tensor.name, type: tensor.type.rawValue)
    }
    let base = UnsafePointer(copy.base)
    converted.append(ConvertedTensor(copy))
    return base
  }
}
