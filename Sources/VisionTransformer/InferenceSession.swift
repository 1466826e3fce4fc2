import Images
import Kernels

/// Runs a model on one thread at a time, or over a pool: the scratch memory of one worker, allocated for the first batch and used
/// for every later one.
///
/// The walk is that of timm's `VisionTransformer.forward` (arXiv 2010.11929, equations 1 to 4): patches are projected, positions
/// are added and prefix tokens put in front, pre-norm blocks follow, then norm, pooling and head.
public final class InferenceSession {
  public let model: VisionTransformer
  private let compute: Compute
  private let arena = Arena()

  /// - Parameter compute: on which threads the layers run; by default on the caller's alone.
  public init(_ model: VisionTransformer, compute: Compute = Compute()) {
    self.model = model
    self.compute = compute
  }

  /// What the network is fed.
  public enum Batch: Sendable {
    /// Images that the model's transform has prepared (`transform.prepare`).
    case images([Image])
    /// Normalised pixels, each float32 [3, height, width] of the transform's size, as `transform.tensor` makes them.
    case tensors([[Float]])

    /// B
    public var count: Int {
      switch self {
      case .images(let images): images.count
      case .tensors(let tensors): tensors.count
      }
    }
  }

  /// A place in the network whose tokens can be looked at.
  public enum Stage: Sendable, Equatable {
    /// After the positions were added and the prefix tokens put in front.
    case embeddings
    /// After the block of that index.
    case block(Int)
    /// After the norm that follows the last block, if the model has one.
    case norm
  }

  /// What the network makes of a batch. The matrices are scratch memory: valid only inside the closure that receives them.
  public struct Output {
    /// Tokens after the norm: [B * N, D], those of one image after those of the other.
    public let tokens: MatrixView
    /// Pooled features, the head's input: [B, F].
    public let features: MatrixView
    /// [B, C]; nil where the model has no head.
    public let logits: MatrixView?
  }

  /// Runs the whole network.
  /// - Parameters:
  ///   - batch: B inputs.
  ///   - observer: sees the tokens [B * N, D] at each stage.
  ///   - body: receives the output.
  public func run<R>(
    _ batch: Batch, observer: ((Stage, MatrixView) -> Void)? = nil, body: (Output) throws -> R
  ) rethrows -> R {
    try arena.scope {
      let tokens = encode(batch, blocks: model.configuration.depth, observer: observer)
      let normed = normalized(tokens)
      observer?(.norm, normed)
      let features = pool(normed, batch: batch.count)
      return try body(Output(tokens: normed, features: features, logits: classify(features, tokens: normed)))
    }
  }

  /// Runs the network up to a block.
  /// - Parameters:
  ///   - layer: index of the last block to run.
  ///   - body: receives its output, [B * N, D], without the norm that follows the last block.
  public func run<R>(_ batch: Batch, upTo layer: Int, body: (MatrixView) throws -> R) rethrows -> R {
    precondition(
      (0..<model.configuration.depth).contains(layer), "layer \(layer) of \(model.configuration.depth)")
    return try arena.scope {
      try body(encode(batch, blocks: layer + 1, observer: nil))
    }
  }

  // MARK: The walk

  /// Tokens after the given number of blocks: [B * N, D].
  private func encode(
    _ batch: Batch, blocks: Int, observer: ((Stage, MatrixView) -> Void)?
  ) -> MatrixView {
    let tokens = embed(batch)
    observer?(.embeddings, tokens.view)
    for (index, block) in model.parameters.blocks.prefix(blocks).enumerated() {
      forward(block, tokens: tokens, batch: batch.count)
      observer?(.block(index), tokens.view)
    }
    return tokens.view
  }

  /// Pixels to tokens: patch rows times the projection, positions, prefix tokens.
  private func embed(_ batch: Batch) -> MutableMatrixView {
    let configuration = model.configuration
    let (dim, numPrefix) = (configuration.embedDim, configuration.numPrefixTokens)
    let (numTokens, numPatches) = (model.numTokens, model.numTokens - numPrefix)
    let tokens = arena.matrix(rows: batch.count * numTokens, columns: dim)
    arena.scope {
      let patches = arena.matrix(rows: numPatches, columns: configuration.patchDim)
      for index in 0..<batch.count {
        let first = index * numTokens
        writePatches(
          of: batch, at: index,
          into: UnsafeMutableBufferPointer(start: patches.base, count: numPatches * configuration.patchDim))
        let patchTokens = tokens[first + numPrefix..<first + numTokens, 0..<dim]
        let projection = model.parameters.patchEmbedding
        compute.linear(
          patches.view, weight: projection.weight, bias: projection.bias?.base, into: patchTokens)
        add(model.patchPositions, to: patchTokens)
        model.parameters.prefixTokens.withUnsafeBufferPointer { prefix in
          for row in 0..<numPrefix {
            _ = tokens.row(first + row).update(fromContentsOf: prefix[row * dim..<(row + 1) * dim])
          }
        }
      }
    }
    return tokens
  }

  /// One input as patch rows [patches, 3 * P * P].
  private func writePatches(of batch: Batch, at index: Int, into output: UnsafeMutableBufferPointer<Float>) {
    let patchSize = model.configuration.patchSize
    switch batch {
    case .images(let images):
      model.transform.writePatches(ofPrepared: images[index], patchSize: patchSize, into: output)
    case .tensors(let tensors):
      PatchRows.write(tensors[index], size: model.transform.size, patchSize: patchSize, into: output)
    }
  }

  /// x += attention(norm1(x)); x += mlp(norm2(x)), each branch scaled where the model has layer scale.
  private func forward(_ block: Parameters.Block, tokens: MutableMatrixView, batch: Int) {
    let configuration = model.configuration
    let (dim, numTokens) = (configuration.embedDim, model.numTokens)
    arena.scope {
      let normed = arena.matrix(rows: tokens.rows, columns: dim)
      normalize(tokens.view, block.norm1, into: normed)
      let qkv = arena.matrix(rows: tokens.rows, columns: 3 * dim)
      var column = 0
      for part in block.qkv.parts {
        let outputs = column..<column + part.weight.rows
        compute.linear(
          normed.view, weight: part.weight, bias: part.bias?.base, into: qkv[0..<qkv.rows, outputs])
        column = outputs.upperBound
      }
      for image in 0..<batch {
        let rows = image * numTokens..<(image + 1) * numTokens
        compute.attention(
          queries: qkv[rows, 0..<dim].view, keys: qkv[rows, dim..<2 * dim].view,
          values: qkv[rows, 2 * dim..<3 * dim].view, numHeads: configuration.numHeads,
          into: normed[rows, 0..<dim], probabilities: nil, arena: arena)
      }
      compute.linearResidual(
        normed.view, weight: block.projection.weight, bias: block.projection.bias?.base,
        layerScale: block.layerScale1?.base, into: tokens, arena: arena)
    }
    arena.scope {
      let normed = arena.matrix(rows: tokens.rows, columns: dim)
      normalize(tokens.view, block.norm2, into: normed)
      let hidden = arena.matrix(rows: tokens.rows, columns: configuration.mlpDim)
      compute.linear(
        normed.view, weight: block.fc1.weight, bias: block.fc1.bias?.base, activation: .gelu, into: hidden)
      compute.linearResidual(
        hidden.view, weight: block.fc2.weight, bias: block.fc2.bias?.base,
        layerScale: block.layerScale2?.base, into: tokens, arena: arena)
    }
  }

  /// The norm after the last block, where there is one.
  private func normalized(_ tokens: MatrixView) -> MatrixView {
    guard let norm = model.parameters.norm else { return tokens }
    let normed = arena.matrix(rows: tokens.rows, columns: tokens.columns)
    normalize(tokens, norm, into: normed)
    return normed.view
  }

  private func normalize(_ x: MatrixView, _ norm: Parameters.Norm, into out: MutableMatrixView) {
    compute.layerNorm(
      x, gamma: norm.gamma.base, beta: norm.beta.base, epsilon: model.configuration.layerNormEpsilon,
      into: out)
  }

  /// Tokens [B * N, D] to features [B, F].
  private func pool(_ tokens: MatrixView, batch: Int) -> MatrixView {
    let configuration = model.configuration
    let features = arena.matrix(rows: batch, columns: configuration.featureDim)
    for image in 0..<batch {
      let first = image * model.numTokens
      let patches = tokens[
        first + configuration.numPrefixTokens..<first + model.numTokens, 0..<tokens.columns]
      Pooling.pool(
        configuration.globalPool, classToken: tokens.row(first), patches: patches, into: features.row(image))
    }
    if let norm = model.parameters.featureNorm {
      normalize(features.view, norm, into: features)
    }
    return features.view
  }

  /// Features [B, F] to logits [B, C]; with a distillation head, the mean of both heads.
  private func classify(_ features: MatrixView, tokens: MatrixView) -> MatrixView? {
    guard let head = model.parameters.head else { return nil }
    let logits = arena.matrix(rows: features.rows, columns: model.configuration.numClasses)
    compute.linear(features, weight: head.weight, bias: head.bias?.base, into: logits)
    if let second = model.parameters.distillationHead {
      arena.scope {
        let distilled = arena.matrix(rows: logits.rows, columns: logits.columns)
        // The distillation token of each image: one row of N, right after the class token.
        let token = MatrixView(
          base: tokens.base + tokens.rowStride, rows: features.rows, columns: tokens.columns,
          rowStride: model.numTokens * tokens.rowStride)
        compute.linear(token, weight: second.weight, bias: second.bias?.base, into: distilled)
        for row in 0..<logits.rows {
          let (a, b) = (logits.row(row), distilled.row(row))
          for column in a.indices { a[column] = (a[column] + b[column]) / 2 }
        }
      }
    }
    return logits.view
  }

  /// matrix += values, both [rows, columns].
  private func add(_ values: [Float], to matrix: MutableMatrixView) {
    precondition(values.count == matrix.rows * matrix.columns, "positions do not fit the patches")
    values.withUnsafeBufferPointer { values in
      for row in 0..<matrix.rows {
        let target = matrix.row(row)
        for column in 0..<matrix.columns { target[column] += values[row * matrix.columns + column] }
      }
    }
  }
}
