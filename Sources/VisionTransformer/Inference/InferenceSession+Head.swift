import Kernels

/// What follows the blocks: norm, pool, representation layer, head and projection.
extension InferenceSession {
  /// The norm after the last block, where there is one, and a representation layer that stands before it.
  func normalized(_ tokens: MatrixView) -> MatrixView {
    var tokens = tokens
    if model.configuration.representationPrecedesNorm { tokens = represented(tokens) }
    guard let norm = model.parameters.norm else { return tokens }
    let normed = arena.matrix(rows: tokens.rows, columns: tokens.columns)
    normalize(tokens, norm, into: normed)
    return normed.view
  }

  /// Tokens [B * N, D] to features [B, F]. Where the pool is the class token, there may be fewer of each image than N.
  func pool(_ tokens: MatrixView, batch: Int) -> MatrixView {
    let configuration = model.configuration
    let isDouble = configuration.globalPool == .tokenAndAverage
    let pooled = arena.matrix(rows: batch, columns: isDouble ? 2 * tokens.columns : tokens.columns)
    let numTokens = tokens.rows / max(1, batch)
    let numPrefix = configuration.poolsPrefixTokens ? 0 : min(configuration.numPrefixTokens, numTokens)
    for image in 0..<batch {
      let first = image * numTokens
      let result = pooled[image..<image + 1, 0..<pooled.columns]
      switch configuration.globalPool {
      case .attention:
        let start = first + numPrefix
        attentionPool(tokens[start..<first + numTokens, 0..<tokens.columns], into: result)
      case .refinement:
        refine(tokens[first..<first + numTokens, 0..<tokens.columns], into: result)
      default:
        let patches = tokens[first + numPrefix..<first + numTokens, 0..<tokens.columns]
        Pooling.pool(
          configuration.globalPool, classToken: tokens.row(first), patches: patches, into: result.row(0))
      }
    }
    if let norm = model.parameters.featureNorm { normalize(pooled.view, norm, into: pooled) }
    return configuration.representationPrecedesNorm ? pooled.view : represented(pooled.view)
  }

  /// tanh(representation layer), where there is one.
  private func represented(_ x: MatrixView) -> MatrixView {
    guard let layer = model.parameters.representation else { return x }
    let result = arena.matrix(rows: x.rows, columns: layer.weight.outputs)
    linear(x, layer, activation: .tanh, into: .store(result))
    return result.view
  }

  /// Learned queries attend to all tokens of an image [N, D]; an MLP follows. The first query's result is the feature
  /// (timm's `AttentionPoolLatent`, big_vision's `MAPHead`).
  private func attentionPool(_ tokens: MatrixView, into feature: MutableMatrixView) {
    guard let pool = model.parameters.attentionPool else { return }
    let dim = tokens.columns
    arena.scope {
      let queries = arena.matrix(rows: pool.latent.rows, columns: dim)
      linear(pool.latent, pool.query, into: .store(queries))
      let keyValues = arena.matrix(rows: tokens.rows, columns: 2 * dim)
      linear(tokens, pool.keyValue, into: .store(keyValues))
      let attended = arena.matrix(rows: queries.rows, columns: dim)
      compute.attention(
        .floats(
          queries: queries.view, keys: keyValues[0..<tokens.rows, 0..<dim].view,
          values: keyValues[0..<tokens.rows, dim..<2 * dim].view),
        numHeads: model.configuration.numHeads, into: .floats(attended), arena: arena)
      linear(attended[0..<1, 0..<dim].view, pool.projection, into: .store(feature))
      let normed = arena.matrix(rows: 1, columns: dim)
      normalize(feature.view, pool.norm, into: normed)
      let hidden = arena.matrix(rows: 1, columns: pool.fc1.weight.outputs)
      linear(
        normed.view, pool.fc1, activation: model.configuration.activation.function, into: .store(hidden))
      linear(hidden.view, pool.fc2, into: .add(feature, layerScale: nil))
    }
  }

  /// An attention of all tokens to one another without weights, then the class token or the mean (timm's `AttentionPoolPrr`).
  private func refine(_ tokens: MatrixView, into feature: MutableMatrixView) {
    arena.scope {
      let refined = arena.matrix(rows: tokens.rows, columns: tokens.columns)
      compute.attention(
        .floats(queries: tokens, keys: tokens, values: tokens), numHeads: model.configuration.numHeads,
        into: .floats(refined), arena: arena)
      Pooling.pool(
        model.configuration.hasClassToken ? .token : .average, classToken: refined.view.row(0),
        patches: refined.view, into: feature.row(0))
    }
  }

  /// Features [B, F] to logits [B, C]; with a distillation head, the mean of both heads.
  func classify(_ features: MatrixView, tokens: MatrixView) -> MatrixView? {
    guard let head = model.parameters.head else { return nil }
    let logits = arena.matrix(rows: features.rows, columns: model.configuration.numClasses)
    linear(features, head, into: .store(logits))
    if let second = model.parameters.distillationHead {
      arena.scope {
        let distilled = arena.matrix(rows: logits.rows, columns: logits.columns)
        // The distillation token of each image: a row of its own, right after the class token.
        let token = MatrixView(
          base: tokens.base + tokens.rowStride, rows: features.rows, columns: tokens.columns,
          rowStride: tokens.rows / features.rows * tokens.rowStride)
        linear(token, second, into: .store(distilled))
        for row in 0..<logits.rows {
          let (a, b) = (logits.row(row), distilled.row(row))
          for column in a.indices { a[column] = (a[column] + b[column]) / 2 }
        }
      }
    }
    return logits.view
  }

  /// Features [B, F] to image embeddings [B, E].
  func project(_ features: MatrixView) -> MatrixView? {
    guard let projection = model.parameters.projection else { return nil }
    let embeddings = arena.matrix(rows: features.rows, columns: projection.weight.outputs)
    linear(features, projection, into: .store(embeddings))
    return embeddings.view
  }
}
