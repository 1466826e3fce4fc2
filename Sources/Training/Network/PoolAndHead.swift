import Kernels
import VisionTransformer

/// What the backward pass of pool and heads needs.
struct HeadActivations {
  /// Pooled features before the feature norm [B, D].
  let pooled: MutableMatrixView
  /// The heads' input [B, D].
  let features: MutableMatrixView
  /// The distillation token of each sample, after the norm [B, D].
  let distillation: MutableMatrixView?
  /// Which token of its sample each feature's maximum is, [B, D] as whole numbers.
  let maxima: MutableMatrixView?
  /// [B, C]
  let logits: MutableMatrixView
}

/// Pool, feature norm and heads behind the last norm, forward and backward.
extension ShardPass {
  func headActivations() -> HeadActivations {
    let (d, c) = (configuration.embedDim, configuration.numClasses)
    func matrix(_ columns: Int) -> MutableMatrixView { arena.matrix(rows: batch, columns: columns) }
    let pool = configuration.globalPool
    return HeadActivations(
      pooled: matrix(d), features: matrix(d), distillation: slots.distillationHead == nil ? nil : matrix(d),
      maxima: pool == .maximum || pool == .averageMaximum ? matrix(d) : nil, logits: matrix(c))
  }

  /// - Parameters:
  ///   - tokens: what `forward` returns: [B · N, D] behind the last norm, or the first tokens of each sample alone.
  ///   - saved: receives what its name says; `logits` the result.
  func classify(_ tokens: MatrixView, saving saved: HeadActivations) {
    for sample in 0..<batch { pool(tokens, sample: sample, saving: saved) }
    if let norm = slots.featureNorm {
      normalize(saved.pooled.view, norm, into: saved.features)
    } else {
      saved.features.copy(from: saved.pooled.view)
    }
    dropout?.apply(rates.head, .head, batch: batch, to: saved.features)
    linear(saved.features.view, slots.head, into: saved.logits)
    guard let head = slots.distillationHead, let distillation = saved.distillation else { return }
    for sample in 0..<batch {
      let row = rows(of: sample, in: tokens.rows).lowerBound + 1
      _ = distillation.row(sample).update(fromContentsOf: tokens.row(row))
    }
    arena.scope {
      let second = arena.matrix(rows: batch, columns: configuration.numClasses)
      linear(distillation.view, head, into: second)
      Elementwise.add(second.view, to: saved.logits)
      scale(saved.logits, by: 0.5)
    }
  }

  /// - Parameters:
  ///   - dLogits: gradient of the logits [B, C]; used up.
  ///   - dTokens: receives the gradient of the tokens, as long as these; nil where only the heads are trained.
  func classifyBackward(
    _ saved: HeadActivations, _ dLogits: MutableMatrixView, into dTokens: MutableMatrixView?
  ) {
    let d = configuration.embedDim
    if slots.distillationHead != nil { scale(dLogits, by: 0.5) }
    guard let dTokens else {
      linearBackward(saved.features.view, slots.head, dLogits.view)
      if let head = slots.distillationHead, let distillation = saved.distillation {
        linearBackward(distillation.view, head, dLogits.view)
      }
      return
    }
    dTokens.base.update(repeating: 0, count: dTokens.rows * dTokens.columns)
    arena.scope {
      let gradient = arena.matrix(rows: batch, columns: d)
      linearBackward(saved.features.view, slots.head, dLogits.view, into: gradient)
      dropout?.apply(rates.head, .head, batch: batch, to: gradient)
      if let norm = slots.featureNorm {
        normBackward(saved.pooled.view, norm, gradient.view, into: gradient, adding: false)
      }
      for sample in 0..<batch { poolBackward(gradient.view, sample: sample, saved, into: dTokens) }
      guard let head = slots.distillationHead, let distillation = saved.distillation else { return }
      linearBackward(distillation.view, head, dLogits.view, into: gradient)
      for sample in 0..<batch {
        let row = rows(of: sample, in: dTokens.rows).lowerBound + 1
        Elementwise.add(gradient[sample..<sample + 1, 0..<d].view, to: dTokens[row..<row + 1, 0..<d])
      }
    }
  }

  /// The tokens of a sample that are pooled, where that is not the class token alone.
  private func pooledRows(_ sample: Int) -> Range<Int> {
    let rows = rows(of: sample, in: batch * numTokens)
    return configuration.poolsPrefixTokens ? rows : rows.dropFirst(numPrefixTokens)
  }

  /// The shares of mean and maximum in the pooled features.
  private var poolShares: (mean: Float, maximum: Float) {
    switch configuration.globalPool {
    case .maximum: (0, 1)
    case .averageMaximum: (0.5, 0.5)
    default: (1, 0)
    }
  }

  private func pool(_ tokens: MatrixView, sample: Int, saving saved: HeadActivations) {
    let result = saved.pooled.row(sample)
    guard configuration.globalPool != .token else {
      _ = result.update(fromContentsOf: tokens.row(rows(of: sample, in: tokens.rows).lowerBound))
      return
    }
    let rows = pooledRows(sample)
    let shares = poolShares
    result.update(repeating: 0)
    if let sums = result.baseAddress, shares.mean > 0 {
      Backward.addColumnSums(tokens[rows, 0..<tokens.columns], to: sums)
      let factor = shares.mean / Float(rows.count)
      for column in result.indices { result[column] *= factor }
    }
    guard let maxima = saved.maxima else { return }
    let places = maxima.row(sample)
    for column in result.indices {
      var (best, place) = (tokens.row(rows.lowerBound)[column], 0)
      for (index, row) in rows.enumerated() where tokens.row(row)[column] > best {
        (best, place) = (tokens.row(row)[column], index)
      }
      result[column] += shares.maximum * best
      places[column] = Float(place)
    }
  }

  private func poolBackward(
    _ gradient: MatrixView, sample: Int, _ saved: HeadActivations, into dTokens: MutableMatrixView
  ) {
    let dFeature = gradient.row(sample)
    guard configuration.globalPool != .token else {
      let row = rows(of: sample, in: dTokens.rows).lowerBound
      _ = dTokens.row(row).update(fromContentsOf: dFeature)
      return
    }
    let rows = pooledRows(sample)
    let shares = poolShares
    let factor = shares.mean / Float(rows.count)
    if shares.mean > 0 {
      for row in rows {
        let target = dTokens.row(row)
        for column in target.indices { target[column] = factor * dFeature[column] }
      }
    }
    guard let maxima = saved.maxima else { return }
    let places = maxima.row(sample)
    for column in dFeature.indices {
      dTokens.row(rows.lowerBound + Int(places[column]))[column] += shares.maximum * dFeature[column]
    }
  }

  private func scale(_ x: MutableMatrixView, by factor: Float) {
    for row in 0..<x.rows {
      let values = x.row(row)
      for column in values.indices { values[column] *= factor }
    }
  }
}
