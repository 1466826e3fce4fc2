import Kernels

extension ActivationKind {
  var function: Activation {
    switch self {
    case .gelu: .gelu
    case .geluTanh: .geluTanh
    case .quickGELU: .quickGELU
    case .silu: .silu
    case .relu: .relu
    }
  }
}

/// The blocks: attention and MLP, in the order that the model's kind of block has them.
extension InferenceSession {
  /// - Parameters:
  ///   - tokens: [B * N, D], changed in place.
  ///   - batch: B
  func forward(_ block: Parameters.Block, tokens: MutableMatrixView, batch: Int) {
    switch model.configuration.block {
    case .preNorm:
      addBranches(of: block.attentions.count, to: tokens) { index, input in
        let branch = block.attentions[index]
        attend(normed(input, branch.norm), branch, batch: batch, into: tokens)
      }
      addBranches(of: block.mlps.count, to: tokens) { index, input in
        let branch = block.mlps[index]
        transform(normed(input, branch.norm), branch, into: tokens)
      }
    case .postNorm:
      for branch in block.attentions {
        addNormed(branch.norm, to: tokens) { attend(tokens.view, branch, batch: batch, into: $0) }
      }
      for branch in block.mlps {
        addNormed(branch.norm, to: tokens) { transform(tokens.view, branch, into: $0) }
      }
    case .parallel:
      arena.scope {
        guard let attention = block.attentions.first, let mlp = block.mlps.first else { return }
        let input = normed(tokens.view, attention.norm)
        attend(input, attention, batch: batch, into: tokens)
        transform(input, mlp, into: tokens)
      }
    }
  }

  /// Branches that all read the tokens as they are before the first of them is added.
  private func addBranches(
    of count: Int, to tokens: MutableMatrixView, _ branch: (_ index: Int, _ input: MatrixView) -> Void
  ) {
    arena.scope {
      var input = tokens.view
      if count > 1 {
        let copy = arena.matrix(rows: tokens.rows, columns: tokens.columns)
        copy.copy(from: input)
        input = copy.view
      }
      for index in 0..<count { arena.scope { branch(index, input) } }
    }
  }

  /// tokens += norm(branch)
  private func addNormed(
    _ norm: Parameters.Norm, to tokens: MutableMatrixView, _ branch: (MutableMatrixView) -> Void
  ) {
    arena.scope {
      let result = arena.matrix(rows: tokens.rows, columns: tokens.columns)
      for row in 0..<result.rows { result.row(row).update(repeating: 0) }
      branch(result)
      normalize(result.view, norm, into: result)
      compute.add(result.view, to: tokens)
    }
  }

  private func normed(_ x: MatrixView, _ norm: Parameters.Norm) -> MatrixView {
    let result = arena.matrix(rows: x.rows, columns: x.columns)
    normalize(x, norm, into: result)
    return result.view
  }

  // MARK: Attention

  /// residual += layerScale * projection(attention(x)), x and residual [B * N, D].
  private func attend(
    _ x: MatrixView, _ branch: Parameters.Attention, batch: Int, into residual: MutableMatrixView
  ) {
    let (dim, numTokens) = (x.columns, model.numTokens)
    arena.scope {
      let qkv = arena.matrix(rows: x.rows, columns: 3 * dim)
      timed(.qkv) { linear(x, branch.qkv, activation: nil, into: qkv) }
      normalizeHeads(branch.queryNorm, qkv[0..<qkv.rows, 0..<dim])
      normalizeHeads(branch.keyNorm, qkv[0..<qkv.rows, dim..<2 * dim])
      let heads = arena.matrix(rows: x.rows, columns: dim)
      timed(.attention) {
        for image in 0..<batch {
          let rows = image * numTokens..<(image + 1) * numTokens
          let (queries, keys, values) = (
            qkv[rows, 0..<dim], qkv[rows, dim..<2 * dim], qkv[rows, 2 * dim..<3 * dim]
          )
          if let differential = branch.differential {
            subtract(queries.view, keys.view, values.view, differential, into: heads[rows, 0..<dim])
          } else {
            compute.attention(
              queries: queries.view, keys: keys.view, values: values.view,
              numHeads: model.configuration.numHeads, into: heads[rows, 0..<dim], probabilities: nil,
              arena: arena)
          }
        }
      }
      if let norm = branch.outputNorm { normalize(heads.view, norm, into: heads) }
      timed(.projection) {
        compute.linearResidual(
          heads.view, weight: branch.projection.weight, bias: branch.projection.bias?.base,
          layerScale: branch.layerScale?.base, into: residual, arena: arena)
      }
    }
  }

  /// Norms each head's part of the rows.
  private func normalizeHeads(_ norm: Parameters.Norm?, _ x: MutableMatrixView) {
    guard let norm else { return }
    let width = norm.gamma.columns
    for start in stride(from: 0, to: x.columns, by: width) {
      let head = x[0..<x.rows, start..<start + width]
      normalize(head.view, norm, into: head)
    }
  }

  /// The difference of two attentions, each head with queries and keys of half its width (timm's `DiffAttention`).
  private func subtract(
    _ queries: MatrixView, _ keys: MatrixView, _ values: MatrixView, _ differential: Parameters.Differential,
    into out: MutableMatrixView
  ) {
    let width = model.configuration.headDim
    let rows = 0..<queries.rows
    arena.scope {
      let second = arena.matrix(rows: queries.rows, columns: width)
      for head in 0..<model.configuration.numHeads {
        let columns = head * width..<(head + 1) * width
        let middle = columns.lowerBound + width / 2
        let target = out[rows, columns]
        for (half, result) in [(columns.lowerBound..<middle, target), (middle..<columns.upperBound, second)] {
          compute.attention(
            queries: queries[rows, half], keys: keys[rows, half], values: values[rows, columns], numHeads: 1,
            into: result, probabilities: nil, arena: arena)
        }
        for row in rows {
          let (a, b) = (target.row(row), second.row(row))
          for column in a.indices { a[column] -= differential.lambda * b[column] }
        }
        normalize(target.view, differential.norm, into: target)
      }
    }
  }

  // MARK: MLP

  /// residual += layerScale * fc2(activation(fc1(x))), x and residual [B * N, D].
  private func transform(_ x: MatrixView, _ branch: Parameters.MLP, into residual: MutableMatrixView) {
    let configuration = model.configuration
    let activation = configuration.activation.function
    arena.scope {
      var hidden = arena.matrix(
        rows: x.rows, columns: configuration.gatedMLP ? 2 * configuration.mlpDim : configuration.mlpDim)
      timed(.fc1) {
        linear(x, branch.fc1, activation: configuration.gatedMLP ? nil : activation, into: hidden)
      }
      if configuration.gatedMLP {
        let gated = hidden[0..<hidden.rows, 0..<configuration.mlpDim]
        timed(.activation) { compute.gate(hidden.view, activation: activation, into: gated) }
        hidden = gated
      }
      if let norm = branch.innerNorm { normalize(hidden.view, norm, into: hidden) }
      timed(.fc2) {
        compute.linearResidual(
          hidden.view, weight: branch.fc2.weight, bias: branch.fc2.bias?.base,
          layerScale: branch.layerScale?.base, into: residual, arena: arena)
      }
    }
  }

  /// Layers whose outputs stand side by side.
  func linear(
    _ x: MatrixView, _ layers: Parameters.StackedLinear, activation: Activation?, into out: MutableMatrixView
  ) {
    var column = 0
    for part in layers.parts {
      let columns = column..<column + part.weight.rows
      compute.linear(
        x, weight: part.weight, bias: part.bias?.base, activation: activation,
        into: out[0..<out.rows, columns])
      column = columns.upperBound
    }
  }
}
