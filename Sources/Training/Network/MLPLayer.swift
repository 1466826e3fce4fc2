import Kernels

/// The MLP of a block, plain or gated, forward and backward. Q = B · `numQueries` rows.
extension ShardPass {
  /// - Parameters:
  ///   - x: [Q, D]
  ///   - saved: receives the hidden layer before its activation, [Q, M]; gated [Q, 2M].
  ///   - out: receives the branch [Q, D].
  func transform(
    _ x: MatrixView, _ layer: ModelSlots.MLP, block: Int, saving saved: BlockActivations,
    into out: MutableMatrixView
  ) {
    linear(x, layer.fc1, into: saved.hidden)
    arena.scope {
      let activated = activatedHidden(saved.hidden.view)
      dropout?.apply(rates.projection, .hidden(block: block), batch: batch, to: activated)
      if let norm = layer.innerNorm { normalize(activated.view, norm, into: activated) }
      linear(activated.view, layer.fc2, into: out)
    }
    dropout?.apply(rates.projection, .output(block: block), batch: batch, to: out)
  }

  /// - Parameters:
  ///   - x: the branch's input [Q, D].
  ///   - dy: gradient of its output [Q, D], from before the last dropout.
  ///   - dx: receives the gradient of its input [Q, D].
  ///
  /// The saved hidden layer is used up, unless activations are kept.
  func mlpBackward(
    _ x: MatrixView, _ layer: ModelSlots.MLP, block: Int, saved: BlockActivations, _ dy: MatrixView,
    into dx: MutableMatrixView
  ) {
    arena.scope {
      var hidden = saved.hidden
      if keepsActivations {
        hidden = arena.matrix(rows: hidden.rows, columns: hidden.columns)
        hidden.copy(from: saved.hidden.view)
      }
      let gradient = arena.matrix(rows: hidden.rows, columns: hidden.columns)
      let dActivated = gradient[0..<gradient.rows, 0..<configuration.mlpDim]
      let isPlain = layer.innerNorm == nil && (dropout == nil || rates.projection == 0)
      if !isPlain { hiddenBackward(layer, block: block, hidden.view, dy, into: dActivated) }
      if isPlain { inputGradient(dy, layer.fc2, into: dActivated) }
      let activated = activationBackward(hidden, gradient)
      if isPlain { linearBackward(activated, layer.fc2, dy) }
      linearBackward(x, layer.fc1, gradient.view, into: dx)
    }
  }

  /// The second layer's backward pass, with a norm or a dropout in front of it; gives the gradient of the activated hidden layer [Q, M].
  private func hiddenBackward(
    _ layer: ModelSlots.MLP, block: Int, _ hidden: MatrixView, _ dy: MatrixView,
    into gradient: MutableMatrixView
  ) {
    arena.scope {
      let dropped = activatedHidden(hidden)
      dropout?.apply(rates.projection, .hidden(block: block), batch: batch, to: dropped)
      let input = layer.innerNorm.map { normalized(dropped.view, $0) } ?? dropped.view
      linearBackward(input, layer.fc2, dy, into: gradient)
      if let norm = layer.innerNorm {
        normBackward(dropped.view, norm, gradient.view, into: gradient, adding: false)
      }
      dropout?.apply(rates.projection, .hidden(block: block), batch: batch, to: gradient)
    }
  }

  /// activation(h), or activation(h1) ⊙ h2 of a gated MLP's halves: [Q, M] in new scratch memory.
  private func activatedHidden(_ hidden: MatrixView) -> MutableMatrixView {
    let (rows, m) = (0..<hidden.rows, configuration.mlpDim)
    let result = arena.matrix(rows: hidden.rows, columns: m)
    // A row at a time, which stays in the nearest cache.
    for row in rows {
      let activated = result[row..<row + 1, 0..<m]
      activated.copy(from: hidden[row..<row + 1, 0..<m])
      Elementwise.apply(activation, to: activated)
    }
    if configuration.gatedMLP { Elementwise.multiply(result, by: hidden[rows, m..<2 * m]) }
    return result
  }

  /// The activation's backward pass, in place.
  /// - Parameters:
  ///   - hidden: the hidden layer before its activation; used up.
  ///   - gradient: its first M columns hold the gradient of the activated layer; receives that of the hidden layer.
  /// - Returns: the activated layer [Q, M].
  private func activationBackward(_ hidden: MutableMatrixView, _ gradient: MutableMatrixView) -> MatrixView {
    let (rows, m) = (0..<hidden.rows, configuration.mlpDim)
    let left = hidden[rows, 0..<m]
    guard configuration.gatedMLP else {
      Backward.activation(activation, left, gradient)
      return left.view
    }
    // y = f(h1) ⊙ h2: dh1 = dy ⊙ h2 ⊙ f'(h1), dh2 = dy ⊙ f(h1).
    let right = hidden[rows, m..<2 * m]
    let (dLeft, dRight) = (gradient[rows, 0..<m], gradient[rows, m..<2 * m])
    dRight.copy(from: dLeft.view)
    Elementwise.multiply(dLeft, by: right.view)
    Backward.activation(activation, left, dLeft)
    Elementwise.multiply(dRight, by: left.view)
    Elementwise.multiply(left, by: right.view)
    return left.view
  }
}
