import Images
import Kernels
import Pipeline
import VisionTransformer

/// What each layer alone does to a model's features when it is quantised: 1 - cosine of the pooled features to float32's, the mean over
/// some images.
///
/// Up to the part of the network that a layer is in, nothing changes: what comes before is computed once for all layers of that part.
struct LayerErrors {
  /// In float32.
  let reference: VisionTransformer
  /// With the arithmetic of the quantised model, and no layer quantised.
  let plain: VisionTransformer
  let images: [Image]
  let pool: ThreadPool
  let cancellation: Cancellation

  /// An image on its way through the network.
  private struct Traveller: Sendable {
    let image: Image
    /// [F], as they should be.
    let wanted: [Float]
    /// [N, D], before the block that is looked at; nil before the first.
    var tokens: FloatMatrix?
  }

  /// - Parameters:
  ///   - layers: of the model, in any order.
  ///   - progress: told which share is done.
  /// - Returns: the errors by the layers' names.
  /// - Throws: `CheckpointError` where memory is missing, `CancellationError`.
  func measure(_ layers: [QuantizedLayer], progress: (Double) -> Void) throws -> [String: Double] {
    var travellers = try runs(images, reference) { session, image in
      session.run(.images([image]), allTokens: false) {
        Traveller(image: image, wanted: Array($0.features.row(0)))
      }
    }
    // What attention in bfloat16 does by itself.
    let base = try error(of: plain, travellers, from: nil)
    let byName = Dictionary(uniqueKeysWithValues: layers.map { ($0.name, $0) })
    let depth = plain.configuration.depth
    let all = plain.quantizableLayers
    var errors: [String: Double] = [:]
    for place in [.patchEmbedding] + (0..<depth).map(QuantizableLayer.Place.block) + [.head] {
      let start: Int? =
        switch place {
        case .patchEmbedding, .block(0): nil
        case .block(let index): index
        case .head: depth
        }
      if let start { travellers = try advanced(travellers, to: start) }
      for layer in all where layer.place == place {
        guard let quantized = byName[layer.name] else { continue }
        let model = try VisionTransformer(
          plain, substitutes: Quantizer.substitutes([quantized]), in: place, pool: pool)
        errors[layer.name] = max(0, try error(of: model, travellers, from: start) - base)
        progress(Double(errors.count) / Double(max(1, layers.count)))
      }
    }
    return errors
  }

  private func error(
    of model: VisionTransformer, _ travellers: [Traveller], from start: Int?
  ) throws -> Double {
    let errors = try runs(travellers, model) { session, traveller in
      func error(_ output: InferenceSession.Output) -> Double {
        traveller.wanted.withUnsafeBufferPointer { 1 - Vectors.cosine($0, output.features.row(0)) }
      }
      guard let start, let tokens = traveller.tokens else {
        return session.run(.images([traveller.image]), allTokens: false, body: error)
      }
      return session.run(tokens.view, batch: 1, from: start, allTokens: false, body: error)
    }
    return errors.reduce(0, +) / Double(max(1, errors.count))
  }

  /// Takes the tokens through the block before the one of that index.
  private func advanced(_ travellers: [Traveller], to block: Int) throws -> [Traveller] {
    try runs(travellers, plain) { session, traveller in
      func with(_ tokens: MatrixView) -> Traveller {
        let copy = FloatMatrix(rows: tokens.rows, columns: tokens.columns)
        copy.mutable.copy(from: tokens)
        var result = traveller
        result.tokens = copy
        return result
      }
      guard let tokens = traveller.tokens else {
        return session.run(.images([traveller.image]), upTo: block - 1, body: with)
      }
      return session.run(tokens.view, batch: 1, block: block - 1, body: with)
    }
  }

  private func runs<Element: Sendable, Value: Sendable>(
    _ elements: [Element], _ model: VisionTransformer,
    _ body: @escaping @Sendable (InferenceSession, Element) -> Value
  ) throws -> [Value] {
    try ImageRuns(pool: pool, cancellation: cancellation).map(
      elements, sessions: { InferenceSession(model) }, body: body)
  }
}
