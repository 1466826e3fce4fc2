import Kernels
import VisionTransformer

/// What the backward pass of one block needs of its forward pass. R = B · N rows, Q = B · `numQueries` rows.
struct BlockActivations {
  /// The block's input [R, D].
  let input: MatrixView
  /// Queries, keys and values before their norms [R, 3D].
  let qkv: MutableMatrixView
  /// The heads' outputs [Q, D].
  let heads: MutableMatrixView
  /// The attention branch [Q, D], where a norm or a scale follows it.
  let attention: MutableMatrixView?
  /// The tokens between the two branches [Q, D].
  let middle: MutableMatrixView
  /// The MLP's hidden layer before its activation [Q, M]; gated [Q, 2M].
  let hidden: MutableMatrixView
  /// The MLP branch [Q, D], where a norm or a scale follows it.
  let mlp: MutableMatrixView?
}

/// A block, forward and backward: x += branch(norm(x)) twice, or x += norm(branch(x)) where the block is `postNorm`.
extension ShardPass {
  /// Room for a block's activations in the arena.
  func activations(of index: Int, input: MatrixView) -> BlockActivations {
    let block = slots.blocks[index]
    let (rows, d, m) = (batch * numQueries(index), input.columns, configuration.mlpDim)
    func matrix(_ columns: Int) -> MutableMatrixView { arena.matrix(rows: rows, columns: columns) }
    let isPostNorm = configuration.block == .postNorm
    return BlockActivations(
      input: input, qkv: arena.matrix(rows: input.rows, columns: 3 * d), heads: matrix(d),
      attention: isPostNorm || block.attention.layerScale != nil ? matrix(d) : nil, middle: matrix(d),
      hidden: matrix(configuration.gatedMLP ? 2 * m : m),
      mlp: isPostNorm || block.mlp.layerScale != nil ? matrix(d) : nil)
  }

  /// - Parameter out: receives the block's output [Q, D].
  func forward(_ index: Int, saving saved: BlockActivations, into out: MutableMatrixView) {
    let block = slots.blocks[index]
    add(
      saved.input, norm: block.attention.norm, scale: block.attention.layerScale, keeping: saved.attention,
      path: .attentionPath(block: index), block: index, into: saved.middle
    ) { input, branch in
      attend(input, block.attention, block: index, saving: saved, into: branch)
    }
    add(
      saved.middle.view, norm: block.mlp.norm, scale: block.mlp.layerScale, keeping: saved.mlp,
      path: .mlpPath(block: index), block: index, into: out
    ) { input, branch in
      transform(input, block.mlp, block: index, saving: saved, into: branch)
    }
  }

  /// - Parameters:
  ///   - gradient: that of the block's output [Q, D]; used up.
  ///   - dInput: receives that of its input [R, D]; may be `gradient` where Q is R.
  func backward(
    _ index: Int, saved: BlockActivations, _ gradient: MutableMatrixView, into dInput: MutableMatrixView
  ) {
    let block = slots.blocks[index]
    addBackward(
      saved.middle.view, norm: block.mlp.norm, scale: block.mlp.layerScale, branch: saved.mlp,
      path: .mlpPath(block: index), output: .output(block: index), block: index, gradient, into: gradient
    ) { input, dBranch, dInput in
      mlpBackward(input, block.mlp, block: index, saved: saved, dBranch, into: dInput)
    }
    addBackward(
      saved.input, norm: block.attention.norm, scale: block.attention.layerScale, branch: saved.attention,
      path: .attentionPath(block: index), output: .projection(block: index), block: index, gradient,
      into: dInput
    ) { input, dBranch, dInput in
      attentionBackward(input, block.attention, block: index, saved: saved, dBranch, into: dInput)
    }
  }

  /// out = x + path · scale ⊙ branch(norm(x)), or x + path · norm(branch(x)), for the tokens that `out` has room for.
  /// - Parameter branch: its input is as long as x, its result as long as `out`.
  private func add(
    _ x: MatrixView, norm: ModelSlots.Norm, scale: Slot?, keeping kept: MutableMatrixView?,
    path: Dropout.Site, block: Int, into out: MutableMatrixView,
    _ branch: (_ input: MatrixView, _ branch: MutableMatrixView) -> Void
  ) {
    arena.scope {
      let isPostNorm = configuration.block == .postNorm
      let result = kept ?? arena.matrix(rows: out.rows, columns: out.columns)
      branch(isPostNorm ? x : normalized(x, norm), result)
      let addend = isPostNorm ? normalized(result.view, norm) : result.view
      copyFirstTokens(of: x, to: out)
      forEachPath(path, of: out.rows, block: block, scale: scale) { rows, factors in
        Elementwise.add(addend[rows, 0..<x.columns], times: factors, to: out[rows, 0..<x.columns])
      }
    }
  }

  /// Backward of `add`.
  /// - Parameters:
  ///   - gradient: that of `out`, as long as this.
  ///   - dx: receives that of x, as long as this; may be `gradient` where the two have the same shape.
  private func addBackward(
    _ x: MatrixView, norm: ModelSlots.Norm, scale: Slot?, branch: MutableMatrixView?, path: Dropout.Site,
    output: Dropout.Site, block: Int, _ gradient: MutableMatrixView, into dx: MutableMatrixView,
    _ backward: (_ input: MatrixView, _ dBranch: MatrixView, _ dInput: MutableMatrixView) -> Void
  ) {
    arena.scope {
      let columns = 0..<gradient.columns
      var dBranch = gradient.view
      if trainsParameters, let scale, let branch {
        addLayerScaleGradient(branch.view, gradient.view, scale, path: path, block: block)
      }
      let isPostNorm = configuration.block == .postNorm
      let drops = dropout != nil && (rates.projection > 0 || rates.path > 0)
      if scale != nil || drops || isPostNorm {
        let copy = arena.matrix(rows: gradient.rows, columns: gradient.columns)
        copy.copy(from: gradient.view)
        forEachPath(path, of: copy.rows, block: block, scale: scale) { rows, factors in
          if let factors { Elementwise.multiplyRows(copy[rows, columns], by: factors) }
        }
        if isPostNorm, let branch {
          normBackward(branch.view, norm, copy.view, into: copy, adding: false)
        }
        dropout?.apply(rates.projection, output, batch: batch, to: copy)
        dBranch = copy.view
      }
      let dInput = arena.matrix(rows: x.rows, columns: x.columns)
      backward(isPostNorm ? x : normalized(x, norm), dBranch, dInput)
      if dx.base != gradient.base { spreadFirstTokens(gradient.view, to: dx) }
      if isPostNorm {
        Elementwise.add(dInput.view, to: dx)
      } else {
        normBackward(x, norm, dInput.view, into: dx, adding: true)
      }
    }
  }

  private func addLayerScaleGradient(
    _ branch: MatrixView, _ gradient: MatrixView, _ scale: Slot, path: Dropout.Site, block: Int
  ) {
    let columns = 0..<branch.columns
    for sample in 0..<batch {
      let factor = dropout?.pathFactor(path, block: block, sample: sample) ?? 1
      guard factor != 0 else { continue }
      let rows = rows(of: sample, in: branch.rows)
      Backward.addColumnProducts(
        branch[rows, columns], gradient[rows, columns], scale: factor, to: gradients.pointer(scale))
    }
  }

  /// Calls `body` for runs of a matrix's rows that share what their branch is multiplied with: a factor for each column [D]; nil for 1.
  private func forEachPath(
    _ path: Dropout.Site, of rowCount: Int, block: Int, scale: Slot?,
    _ body: (_ rows: Range<Int>, _ factors: UnsafePointer<Float>?) -> Void
  ) {
    let scales = scale.map { UnsafePointer(values.pointer($0)) }
    guard let dropout, dropout.pathRate(block) > 0 else {
      body(0..<rowCount, scales)
      return
    }
    arena.scope {
      let d = configuration.embedDim
      let factors = arena.matrix(rows: 1, columns: d).row(0)
      for sample in 0..<batch {
        let factor = dropout.pathFactor(path, block: block, sample: sample)
        for column in 0..<d { factors[column] = factor * (scales?[column] ?? 1) }
        body(rows(of: sample, in: rowCount), factors.baseAddress.map { UnsafePointer($0) })
      }
    }
  }
}
