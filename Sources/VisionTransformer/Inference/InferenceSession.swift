import Images
import Kernels

/// Runs a model on one thread at a time, or over a pool: the scratch memory of one worker, allocated for the first batch and used
/// for every later one.
///
/// The walk is that of timm's `VisionTransformer.forward` (arXiv 2010.11929, equations 1 to 4): patches are projected, positions
/// are added and prefix tokens put in front, blocks follow, then norm, pooling and head.
public final class InferenceSession {
  public let model: VisionTransformer
  let compute: Compute
  /// Of the thread that calls.
  let arena = Arena()
  /// Of the threads that compute.
  private let arenas: Arenas
  /// How many images go through the blocks together, at most.
  package var imagesTogether: Int {
    didSet { precondition(imagesTogether > 0, "\(imagesTogether) images together") }
  }
  /// Measures the operations; nil where nobody asks.
  let clock: OperationClock?

  /// - Parameters:
  ///   - compute: on which threads the layers run; by default on the caller's alone.
  ///   - clock: told how long each operation takes.
  public init(_ model: VisionTransformer, compute: Compute = Compute(), clock: OperationClock? = nil) {
    precondition(!model.describesOnly, "the model was opened to be looked at, not to be run")
    self.model = model
    self.compute = compute
    arenas = Arenas(threads: compute.threadCount)
    imagesTogether = compute.threadCount * Self.imagesOfOneThread(model)
    self.clock = clock
  }

  /// As many images as were fastest on several processors and models: their tokens, projections and heads take about twice a core's second-level
  /// cache. Each group of images reads all weights, but products fetch these ahead of their turn, and activations they do not.
  private static func imagesOfOneThread(_ model: VisionTransformer) -> Int {
    let elementBytes = model.precision == .fp32 ? 4 : 2
    let tokenBytes = model.configuration.embedDim * (4 + (3 + 1) * elementBytes)
    return max(1, 2 * CPU.secondLevelCache / (model.numTokens * tokenBytes))
  }

  /// What the network is fed.
  public enum Batch: Sendable {
    /// Images that the model's transform has prepared (`transform.prepare`).
    case images([Image])
    /// Normalised pixels, each float32 [channels, height, width] of the transform's size, as `transform.tensor` makes them.
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
    /// After the positions were added and the prefix tokens put in front, and normed where the model has a norm there.
    case embeddings
    /// After the block of that index.
    case block(Int)
    /// After the norm that follows the last block, if the model has one.
    case norm
  }

  /// What the network makes of a batch. The matrices are scratch memory: valid only inside the closure that receives them.
  public struct Output {
    /// Tokens after the norm: [B * N, D], those of one image after those of the other; only those that pool and heads read where
    /// the others were not asked for.
    public let tokens: MatrixView
    /// Pooled features, the head's input: [B, F].
    public let features: MatrixView
    /// [B, C]; nil where the model has no head.
    public let logits: MatrixView?
    /// Image embeddings [B, E], not normalised; nil where the model has no projection.
    public let embeddings: MatrixView?
  }

  /// Runs the whole network.
  /// - Parameters:
  ///   - batch: B inputs.
  ///   - allTokens: whether all tokens are wanted. Where they are not, the last block leaves those out that pool and heads do not
  ///     read (all but the class token, where the pool is that), with the same bits as the result.
  ///   - observer: sees the tokens [B * N, D] at each stage; all of them, then.
  ///   - attention: sees what the tokens attend to.
  ///   - body: receives the output.
  public func run<R>(
    _ batch: Batch, allTokens: Bool = true, observer: ((Stage, MatrixView) -> Void)? = nil,
    attention: AttentionObserver? = nil, body: (Output) throws -> R
  ) rethrows -> R {
    try run(
      batch, allTokens: allTokens, observer: observer, attention: attention, layerInputs: nil, body: body)
  }

  /// As above.
  /// - Parameter layerInputs: sees what goes into the blocks' layers.
  package func run<R>(
    _ batch: Batch, allTokens: Bool = true, observer: ((Stage, MatrixView) -> Void)? = nil,
    attention: AttentionObserver? = nil, layerInputs: LayerInputObserver?, body: (Output) throws -> R
  ) rethrows -> R {
    try arena.scope {
      let output = timed(.other) {
        let depth = model.configuration.depth
        let looksAtAll = allTokens || observer != nil || attention?.layers.contains(depth - 1) == true
        let tokens = encode(
          batch, blocks: depth, leading: looksAtAll ? nil : model.configuration.numReadTokens,
          observer: observer, attention: attention, layerInputs: layerInputs)
        return finish(tokens, batch: batch.count, observer: observer)
      }
      return try body(output)
    }
  }

  /// Runs the rest of the network, with the same bits as the whole.
  /// - Parameters:
  ///   - tokens: [B * N, D], as they are before a block.
  ///   - batch: B
  ///   - block: its index; `depth` where all blocks are behind.
  ///   - allTokens, body: as above.
  package func run<R>(
    _ tokens: MatrixView, batch: Int, from block: Int, allTokens: Bool = true, body: (Output) throws -> R
  ) rethrows -> R {
    try arena.scope {
      let depth = model.configuration.depth
      precondition((0...depth).contains(block), "block \(block) of \(depth)")
      let tokens = walk(
        copy(tokens, batch: batch), batch: batch, blocks: block..<depth,
        leading: allTokens ? nil : model.configuration.numReadTokens)
      return try body(finish(tokens, batch: batch, observer: nil))
    }
  }

  /// Runs one block.
  /// - Parameters:
  ///   - tokens: [B * N, D], as they are before it.
  ///   - batch: B
  ///   - body: receives its output, [B * N, D].
  package func run<R>(
    _ tokens: MatrixView, batch: Int, block: Int, body: (MatrixView) throws -> R
  ) rethrows -> R {
    precondition(
      (0..<model.configuration.depth).contains(block), "block \(block) of \(model.configuration.depth)")
    return try arena.scope {
      try body(walk(copy(tokens, batch: batch), batch: batch, blocks: block..<block + 1, leading: nil))
    }
  }

  private func copy(_ tokens: MatrixView, batch: Int) -> MutableMatrixView {
    precondition(
      tokens.rows == batch * model.numTokens, "\(tokens.rows) tokens of \(batch) times \(model.numTokens)")
    let result = arena.matrix(rows: tokens.rows, columns: tokens.columns)
    result.copy(from: tokens)
    return result
  }

  /// What follows the blocks.
  private func finish(
    _ tokens: MatrixView, batch: Int, observer: ((Stage, MatrixView) -> Void)?
  ) -> Output {
    let normed = normalized(tokens)
    observer?(.norm, normed)
    return timed(.head) {
      let features = pool(normed, batch: batch)
      return Output(
        tokens: normed, features: features, logits: classify(features, tokens: normed),
        embeddings: project(features))
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
      try body(
        encode(batch, blocks: layer + 1, leading: nil, observer: nil, attention: nil, layerInputs: nil))
    }
  }

  /// Runs the network as far as somebody looks at what the tokens attend to.
  public func run(_ batch: Batch, attention: AttentionObserver) {
    let depth = model.configuration.depth
    precondition(
      !attention.layers.isEmpty && (0..<depth).contains(attention.layers),
      "layers \(attention.layers) of \(depth)")
    arena.scope {
      _ = encode(
        batch, blocks: attention.layers.upperBound, leading: nil, observer: nil, attention: attention,
        layerInputs: nil)
    }
  }

  // MARK: The walk

  /// Tokens after the given number of blocks: [B * N, D].
  /// - Parameter leading: how many tokens of each image are wanted, from the first on; nil for all.
  private func encode(
    _ batch: Batch, blocks: Int, leading: Int?, observer: ((Stage, MatrixView) -> Void)?,
    attention: AttentionObserver?, layerInputs: LayerInputObserver?
  ) -> MatrixView {
    let tokens = timed(.patchEmbedding) { embed(batch) }
    observer?(.embeddings, tokens.view)
    return walk(
      tokens, batch: batch.count, blocks: 0..<blocks, leading: leading, observer: observer,
      attention: attention, layerInputs: layerInputs)
  }

  /// Tokens [B * N, D] after some blocks, computed where they are: of some images after the others, unless somebody looks at them.
  private func walk(
    _ tokens: MutableMatrixView, batch: Int, blocks: Range<Int>, leading: Int?,
    observer: ((Stage, MatrixView) -> Void)? = nil, attention: AttentionObserver? = nil,
    layerInputs: LayerInputObserver? = nil
  ) -> MatrixView {
    let groups = (batch + imagesTogether - 1) / imagesTogether
    guard groups > 1, !blocks.isEmpty, observer == nil, attention == nil, layerInputs == nil else {
      return walkTogether(
        tokens, batch: batch, blocks: blocks, leading: leading, observer: observer, attention: attention,
        layerInputs: layerInputs)
    }
    let (numTokens, columns) = (tokens.rows / batch, 0..<tokens.columns)
    let kept = leading.map { arena.matrix(rows: batch * $0, columns: tokens.columns) }
    for group in 0..<groups {
      let images = batch * group / groups..<batch * (group + 1) / groups
      arena.scope {
        let result = walkTogether(
          tokens[images.lowerBound * numTokens..<images.upperBound * numTokens, columns], batch: images.count,
          blocks: blocks, leading: leading)
        guard let kept, let leading else { return }
        kept[images.lowerBound * leading..<images.upperBound * leading, columns].copy(from: result)
      }
    }
    return kept?.view ?? tokens.view
  }

  /// As above, of all images at once.
  private func walkTogether(
    _ tokens: MutableMatrixView, batch: Int, blocks indices: Range<Int>, leading: Int?,
    observer: ((Stage, MatrixView) -> Void)? = nil, attention: AttentionObserver? = nil,
    layerInputs: LayerInputObserver? = nil
  ) -> MatrixView {
    let blocks = model.parameters.blocks
    let walk = BlockWalk(
      model, tokens: tokens, images: batch, arena: arena, clock: clock, layerInputs: layerInputs)
    // Somebody who looks at the tokens after a block wants them before the next has begun.
    let pauses = observer != nil
    /// How many tokens of each image attend in a block. Who looks at the layers' inputs sees each of them once.
    @Sendable func attending(_ index: Int) -> Int? {
      index + 1 == indices.upperBound && layerInputs == nil ? leading : nil
    }
    for index in indices {
      let block = blocks[index]
      if pauses || index == indices.lowerBound {
        compute.forEachRowBlock(tokens.rows, arenas: arenas) { rows, arena, lane in
          walk.begin(block, rows, leading: attending(index), walk.lane(lane, arena))
        }
      }
      let isLast = index + 1 == indices.upperBound
      if isLast, let leading {
        let walk = walk.narrowed(to: leading, compute, arena)
        timed(.attention) { walk.attend(block, compute, arena) }
        walk.finish(block, 0..<walk.tokens.rows, walk.lane(0, arena))
        return walk.tokens.view
      }
      let show = attention?.showing(index)
      timed(.attention) { walk.attend(block, compute, arena, showing: show) }
      let next = pauses || isLast ? nil : blocks[index + 1]
      compute.forEachRowBlock(tokens.rows, arenas: arenas) { rows, arena, lane in
        let lane = walk.lane(lane, arena)
        walk.finish(block, rows, lane)
        if let next { walk.begin(next, rows, leading: attending(index + 1), lane) }
      }
      observer?(.block(index), tokens.view)
    }
    return tokens.view
  }

  /// Pixels to tokens: patch rows times the projection, or the stem's output; positions, prefix tokens.
  private func embed(_ batch: Batch) -> MutableMatrixView {
    let configuration = model.configuration
    let (dim, numPrefix) = (configuration.embedDim, configuration.numPrefixTokens)
    let numTokens = model.numTokens
    let tokens = arena.matrix(rows: batch.count * numTokens, columns: dim)
    for index in 0..<batch.count {
      let first = index * numTokens
      let patchTokens = tokens[first + numPrefix..<first + numTokens, 0..<dim]
      arena.scope { project(batch, at: index, into: patchTokens) }
      if let norm = model.parameters.patchNorm { normalize(patchTokens.view, norm, into: patchTokens) }
      if configuration.hasPositions { add(model.patchPositions, to: patchTokens) }
      model.parameters.prefixTokens.withUnsafeBufferPointer { prefix in
        for row in 0..<numPrefix {
          _ = tokens.row(first + row).update(fromContentsOf: prefix[row * dim..<(row + 1) * dim])
        }
      }
    }
    if let norm = model.parameters.preNorm { normalize(tokens.view, norm, into: tokens) }
    return tokens
  }

  /// One input to patch tokens [patches, D].
  private func project(_ batch: Batch, at index: Int, into patchTokens: MutableMatrixView) {
    let configuration = model.configuration
    if let stem = model.parameters.stem {
      // Patches of one pixel are the pixels, channels last.
      let size = model.transform.size
      let pixels = arena.matrix(rows: size.height * size.width, columns: configuration.inChannels)
      writePatches(of: batch, at: index, patchSize: ImageSize(1), into: pixels)
      embed(pixels, size: Extent(height: size.height, width: size.width), stem: stem, into: patchTokens)
      return
    }
    let patches = arena.matrix(rows: patchTokens.rows, columns: configuration.patchDim)
    writePatches(of: batch, at: index, patchSize: configuration.patchSize, into: patches)
    let projection = model.parameters.patchEmbedding
    guard projection.weight.inner > patches.columns else {
      linear(patches.view, projection, into: .store(patchTokens))
      return
    }
    let wide = arena.spacedMatrix(rows: patches.rows, columns: projection.weight.inner)
    PatchMeans.separate(patches.view, channels: configuration.inChannels, into: wide)
    linear(wide.view, projection, into: .store(patchTokens))
  }

  /// One input as patch rows [patches, channels * P * P].
  private func writePatches(
    of batch: Batch, at index: Int, patchSize: ImageSize, into patches: MutableMatrixView
  ) {
    let output = UnsafeMutableBufferPointer(start: patches.base, count: patches.rows * patches.columns)
    switch batch {
    case .images(let images):
      model.transform.writePatches(ofPrepared: images[index], patchSize: patchSize, into: output)
    case .tensors(let tensors):
      PatchRows.write(
        tensors[index], channels: model.configuration.inChannels, size: model.transform.size,
        patchSize: patchSize,
        into: output)
    }
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

  func normalize(_ x: MatrixView, _ norm: Parameters.Norm, into out: MutableMatrixView) {
    timed(.norm) { compute.normalize(x, norm, into: out) }
  }

  func linear(
    _ x: MatrixView, _ layer: Parameters.Linear, activation: Activation? = nil, into out: ProductOutput
  ) {
    compute.linear(
      x, weight: layer.weight, bias: layer.bias?.base, activation: activation, into: out, arena: arena)
  }
}
