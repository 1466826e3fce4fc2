import Kernels

extension ActivationKind {
  package var function: Activation {
    switch self {
    case .gelu: .gelu
    case .geluTanh: .geluTanh
    case .quickGELU: .quickGELU
    case .silu: .silu
    case .relu: .relu
    }
  }
}

extension Compute {
  func normalize(_ x: MatrixView, _ norm: Parameters.Norm, into out: MutableMatrixView) {
    switch norm.kind {
    case .layerNorm:
      layerNorm(x, gamma: norm.gamma.base, beta: norm.beta?.base, epsilon: norm.epsilon, into: out)
    case .rmsNorm:
      rmsNorm(x, gamma: norm.gamma.base, epsilon: norm.epsilon, into: out)
    }
  }
}

/// What a thread works with.
struct Lane {
  let arena: Arena
  /// nil where nobody asks, or where another thread is measured.
  let clock: OperationClock?
  /// Sees what goes into the blocks' layers.
  let layerInputs: LayerInputObserver?

  func timed<R>(_ operation: NetworkOperation, _ body: () throws -> R) rethrows -> R {
    guard let clock else { return try body() }
    return try clock.time(operation, body)
  }
}

/// Sees the rows [R, K] that go into a layer of a block, by timm's name, where they are floats; called by several threads.
package typealias LayerInputObserver = @Sendable (_ layer: String, _ input: MatrixView) -> Void

/// The blocks over the tokens of a batch.
///
/// Only attention looks at several tokens. All else is done for some rows at a time, from the end of one attention to the
/// beginning of the next, so that what is between stays in a core's cache and threads meet twice a block.
struct BlockWalk: @unchecked Sendable {
  let model: VisionTransformer
  /// [B * N, D], changed in place; of a narrowed walk [B * n, D].
  let tokens: MutableMatrixView
  /// B
  let images: Int
  /// One for each attention branch of a block.
  let branches: [BranchMemory]
  /// Runs the operations on some rows: on one thread, unless the walk is narrowed.
  private let compute: Compute
  private let clock: OperationClock?
  private let layerInputs: LayerInputObserver?

  struct BranchMemory {
    let projections: Projections
    /// The heads' outputs, a row for each row of the queries.
    let heads: Matrix
  }

  /// Queries, keys and values [B * N, 3D], and the queries that attend: their first D columns, or a copy of some rows of these.
  enum Projections {
    case floats(queries: MutableMatrixView, qkv: MutableMatrixView)
    case halves(queries: HalfMatrixView, qkv: HalfMatrixView)
  }

  /// float32, or what the next operation would round it to anyway.
  enum Matrix {
    case floats(MutableMatrixView)
    case halves(HalfMatrixView)
  }

  init(
    _ model: VisionTransformer, tokens: MutableMatrixView, images: Int, arena: Arena, clock: OperationClock?,
    layerInputs: LayerInputObserver? = nil
  ) {
    (self.model, self.tokens, self.images, self.clock) = (model, tokens, images, clock)
    self.layerInputs = layerInputs
    compute = Compute()
    let configuration = model.configuration
    let isReduced = model.precision != .fp32
    let attendsInHalves =
      isReduced && Compute.attendsInHalves(headDim: configuration.headDim) && !configuration.queryKeyNorm
      && !configuration.differentialAttention
    let blocks = model.parameters.blocks
    let hasHeadNorm =
      configuration.differentialAttention
      || blocks.contains { $0.attentions.contains { $0.outputNorm != nil } }
    let (dim, rows) = (tokens.columns, tokens.rows)
    let storesHalves = model.precision.readsHalves(columns: dim) && !hasHeadNorm
    branches = (0..<(blocks.map(\.attentions.count).max() ?? 0)).map { _ in
      let projections: Projections
      if attendsInHalves {
        let qkv = arena.halfMatrix(rows: rows, columns: 3 * dim)
        projections = .halves(queries: qkv[0..<rows, 0..<dim], qkv: qkv)
      } else {
        let qkv = arena.spacedMatrix(rows: rows, columns: 3 * dim)
        projections = .floats(queries: qkv[0..<rows, 0..<dim], qkv: qkv)
      }
      return BranchMemory(
        projections: projections,
        heads: storesHalves
          ? .halves(arena.halfMatrix(rows: rows, columns: dim))
          : .floats(arena.spacedMatrix(rows: rows, columns: dim)))
    }
  }

  private init(
    _ walk: BlockWalk, tokens: MutableMatrixView, branches: [BranchMemory], compute: Compute
  ) {
    (model, images, clock, layerInputs) = (walk.model, walk.images, walk.clock, walk.layerInputs)
    (self.tokens, self.branches, self.compute) = (tokens, branches, compute)
  }

  /// What the thread of that number works with; the caller's, 0, is measured.
  func lane(_ index: Int, _ arena: Arena) -> Lane {
    Lane(arena: arena, clock: index == 0 ? clock : nil, layerInputs: layerInputs)
  }

  // MARK: Before attention

  /// Queries, keys and values of some rows.
  /// - Parameter leading: how many tokens of each image attend, from the first on; nil for all.
  func begin(_ block: Parameters.Block, _ rows: Range<Int>, leading: Int? = nil, _ lane: Lane) {
    for (branch, memory) in zip(block.attentions, branches) {
      lane.arena.scope {
        let norm = model.configuration.block == .postNorm ? nil : branch.norm
        let input = normed(
          tokens[rows, 0..<tokens.columns].view, norm: norm, for: branch.qkv.weight, lane)
        guard let leading, branch.hasQueriesApart else {
          computeQKV(input, rows, 0..<3 * tokens.columns, branch, memory.projections, lane)
          return
        }
        computeQKV(input, rows, tokens.columns..<3 * tokens.columns, branch, memory.projections, lane)
        let numTokens = tokens.rows / images
        for image in rows.lowerBound / numTokens...(rows.upperBound - 1) / numTokens {
          let few = (image * numTokens..<image * numTokens + leading).clamped(to: rows)
          guard !few.isEmpty else { continue }
          computeQKV(
            input[few.lowerBound - rows.lowerBound..<few.upperBound - rows.lowerBound], few,
            0..<tokens.columns,
            branch, memory.projections, lane)
        }
      }
    }
  }

  /// Some columns of the queries, keys and values of some rows, from their normed tokens.
  private func computeQKV(
    _ input: ProductRows, _ rows: Range<Int>, _ columns: Range<Int>, _ branch: Parameters.Attention,
    _ projections: Projections, _ lane: Lane
  ) {
    switch projections {
    case .halves(_, let qkv):
      lane.timed(.qkv) {
        linear(input, branch.qkv, outputs: columns, into: .storeHalves(qkv[rows, columns]), lane)
      }
    case .floats(_, let qkv):
      lane.timed(.qkv) { linear(input, branch.qkv, outputs: columns, into: .store(qkv[rows, columns]), lane) }
      let dim = tokens.columns
      if columns.lowerBound < dim { normalizeHeads(branch.queryNorm, qkv[rows, 0..<dim]) }
      if columns.upperBound > dim { normalizeHeads(branch.keyNorm, qkv[rows, dim..<2 * dim]) }
    }
  }

  /// Norms each head's part of the rows.
  private func normalizeHeads(_ norm: Parameters.Norm?, _ x: MutableMatrixView) {
    guard let norm else { return }
    let width = norm.gamma.columns
    for start in stride(from: 0, to: x.columns, by: width) {
      let head = x[0..<x.rows, start..<start + width]
      compute.normalize(head.view, norm, into: head)
    }
  }

  // MARK: Attention

  /// The walk for the first `count` tokens of each image alone, where nobody will read the others: theirs are the keys and values
  /// still. Between `begin` and `attend` of the last block.
  /// - Parameters:
  ///   - compute: on which threads the few rows run, now without blocks of rows.
  ///   - arena: holds the narrowed walk's tokens.
  func narrowed(to count: Int, _ compute: Compute, _ arena: Arena) -> BlockWalk {
    let (numTokens, dim, rows) = (tokens.rows / images, tokens.columns, images * count)
    let columns = 0..<dim
    func forEachImage(_ body: (_ few: Range<Int>, _ all: Range<Int>) -> Void) {
      for image in 0..<images {
        body(image * count..<(image + 1) * count, image * numTokens..<image * numTokens + count)
      }
    }
    let few = arena.matrix(rows: rows, columns: dim)
    forEachImage { few[$0, columns].copy(from: tokens[$1, columns].view) }
    let branches = branches.map { memory in
      let projections: Projections
      switch memory.projections {
      case .floats(let all, let qkv):
        let queries = arena.spacedMatrix(rows: rows, columns: dim)
        forEachImage { queries[$0, columns].copy(from: all[$1, columns].view) }
        projections = .floats(queries: queries, qkv: qkv)
      case .halves(let all, let qkv):
        let queries = arena.halfMatrix(rows: rows, columns: dim)
        forEachImage { queries[$0, columns].copy(from: all[$1, columns]) }
        projections = .halves(queries: queries, qkv: qkv)
      }
      let heads: Matrix =
        switch memory.heads {
        case .floats(let heads): .floats(heads[0..<rows, columns])
        case .halves(let heads): .halves(heads[0..<rows, columns])
        }
      return BranchMemory(projections: projections, heads: heads)
    }
    return BlockWalk(self, tokens: few, branches: branches, compute: compute)
  }

  // MARK: After attention

  /// The projections of the heads and the MLPs of some rows, added to the tokens.
  func finish(_ block: Parameters.Block, _ rows: Range<Int>, _ lane: Lane) {
    let tokens = tokens[rows, 0..<tokens.columns]
    switch model.configuration.block {
    case .preNorm:
      for (branch, memory) in zip(block.attentions, branches) {
        project(memory.heads, rows, branch, into: tokens, lane)
      }
      addMLPs(block.mlps, to: tokens, lane)
    case .postNorm:
      for (branch, memory) in zip(block.attentions, branches) {
        addNormed(branch.norm, to: tokens, lane) { project(memory.heads, rows, branch, into: $0, lane) }
      }
      for branch in block.mlps {
        addNormed(branch.norm, to: tokens, lane) { result in
          let input = normed(tokens.view, norm: nil, for: branch.fc1.weight, lane)
          transform(input, branch, into: result, lane)
        }
      }
    case .parallel:
      guard let attention = block.attentions.first, let mlp = block.mlps.first else { return }
      lane.arena.scope {
        // Read before the attention is added.
        let input = normed(tokens.view, norm: attention.norm, for: mlp.fc1.weight, lane)
        project(branches[0].heads, rows, attention, into: tokens, lane)
        transform(input, mlp, into: tokens, lane)
      }
    }
  }

  /// residual += layerScale * projection(heads)
  private func project(
    _ heads: Matrix, _ rows: Range<Int>, _ branch: Parameters.Attention, into residual: MutableMatrixView,
    _ lane: Lane
  ) {
    lane.arena.scope {
      let input: ProductRows
      switch heads {
      case .halves(let heads):
        input = ProductRows(heads[rows, 0..<heads.columns])
      case .floats(let heads):
        let heads = heads[rows, 0..<heads.columns]
        if let norm = branch.outputNorm { compute.normalize(heads.view, norm, into: heads) }
        input = compute.rows(heads.view, for: branch.projection.weight, arena: lane.arena)
      }
      lane.timed(.projection) {
        linear(input, branch.projection, into: .add(residual, layerScale: branch.layerScale?.base), lane)
      }
    }
  }

  /// MLPs that all read the tokens as they are before the first of them is added.
  private func addMLPs(_ mlps: [Parameters.MLP], to tokens: MutableMatrixView, _ lane: Lane) {
    lane.arena.scope {
      var input = tokens.view
      if mlps.count > 1 {
        let copy = lane.arena.matrix(rows: tokens.rows, columns: tokens.columns)
        copy.copy(from: input)
        input = copy.view
      }
      for branch in mlps {
        lane.arena.scope {
          transform(
            normed(input, norm: branch.norm, for: branch.fc1.weight, lane), branch, into: tokens,
            lane)
        }
      }
    }
  }

  /// tokens += norm(branch)
  private func addNormed(
    _ norm: Parameters.Norm, to tokens: MutableMatrixView, _ lane: Lane, _ branch: (MutableMatrixView) -> Void
  ) {
    lane.arena.scope {
      let result = lane.arena.matrix(rows: tokens.rows, columns: tokens.columns)
      for row in 0..<result.rows { result.row(row).update(repeating: 0) }
      branch(result)
      compute.normalize(result.view, norm, into: result)
      compute.add(result.view, to: tokens)
    }
  }

  /// residual += layerScale * fc2(activation(fc1(x)))
  private func transform(
    _ x: ProductRows, _ branch: Parameters.MLP, into residual: MutableMatrixView, _ lane: Lane
  ) {
    let configuration = model.configuration
    let activation = configuration.activation.function
    let (precision, width) = (branch.fc2.weight.precision, configuration.mlpDim)
    lane.arena.scope {
      let hidden: ProductRows
      if precision.readsHalves(columns: width) && !configuration.gatedMLP && branch.innerNorm == nil {
        let halves = lane.arena.halfMatrix(rows: x.rows, columns: width)
        lane.timed(.fc1) { linear(x, branch.fc1, activation: activation, into: .storeHalves(halves), lane) }
        hidden = ProductRows(halves)
      } else {
        var floats = lane.arena.spacedMatrix(
          rows: x.rows, columns: configuration.gatedMLP ? 2 * width : width)
        lane.timed(.fc1) {
          linear(
            x, branch.fc1, activation: configuration.gatedMLP ? nil : activation, into: .store(floats), lane)
        }
        if configuration.gatedMLP {
          let gated = floats[0..<floats.rows, 0..<width]
          lane.timed(.activation) { compute.gate(floats.view, activation: activation, into: gated) }
          floats = gated
        }
        if let norm = branch.innerNorm { compute.normalize(floats.view, norm, into: floats) }
        hidden = lane.timed(.conversion) {
          compute.rows(floats.view, for: branch.fc2.weight, arena: lane.arena)
        }
      }
      lane.timed(.fc2) {
        linear(hidden, branch.fc2, into: .add(residual, layerScale: branch.layerScale?.base), lane)
      }
    }
  }

  // MARK: Parts

  private func linear(
    _ x: ProductRows, _ layer: Parameters.Linear, activation: Activation? = nil, outputs: Range<Int>? = nil,
    into out: ProductOutput, _ lane: Lane
  ) {
    if let observe = lane.layerInputs, let name = layer.name, let rows = x.floats { observe(name, rows) }
    compute.linear(
      x, weight: layer.weight, bias: layer.bias?.base, activation: activation, outputs: outputs, into: out)
  }

  /// x, normed where there is a norm, as products read it.
  private func normed(
    _ x: MatrixView, norm: Parameters.Norm?, for weight: PackedMatrix, _ lane: Lane
  ) -> ProductRows {
    guard let norm else { return compute.rows(x, for: weight, arena: lane.arena) }
    return lane.timed(.norm) {
      compute.rows(x.rows, for: weight, arena: lane.arena) { rows, out in
        compute.normalize(x[rows, 0..<x.columns], norm, into: out)
      }
    }
  }
}
