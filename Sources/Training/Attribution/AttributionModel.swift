import Images
import Kernels
import SystemPackage
import VisionTransformer

/// A model whose decisions can be attributed to the patches of an image: its weights as the backward pass reads them.
///
/// The relevance of the tokens for a class is R = E_heads[(dlogit/dA ⊙ A)⁺] R + R, from the identity on through all blocks.
/// Source: Chefer, Gur, Wolf, "Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder Transformers",
/// arXiv:2103.15679, equations 5 and 6.
///
/// Immutable and shared; each worker attributes with an `AttributionSession` of its own.
public final class AttributionModel: Sendable {
  /// For images of the size that the model was opened for.
  public let configuration: ViTConfiguration
  let layout: ParameterLayout
  let precision: Precision
  let weights: PackedWeights
  private let buffer: FloatBuffer

  var values: ParameterValues { ParameterValues(base: buffer.base) }

  /// Reads the weights once more, and packs them.
  /// - Parameters:
  ///   - model: the model, which may have been opened to be looked at alone.
  ///   - architecture: timm's name, for a checkpoint that does not tell, or tells wrong.
  ///   - precision: of the products: fp32 or bf16.
  /// - Throws: `ModelError.noHead`, `ModelError.notDefined` for what has no backward pass, and what reading the checkpoint throws.
  public init(
    _ model: VisionTransformer, architecture: String? = nil, precision: Precision = .fp32, threads: Int
  )
    throws
  {
    guard model.configuration.numClasses > 0 else { throw ModelError.noHead(path: model.path) }
    guard precision != .int8 else {
      throw ModelError.notDefined(
        what: "attribution in int8", reason: "gradients need a precision of fp32 or bf16")
    }
    let source: TimmSource
    let architectureOfSource: TrainableArchitecture
    do {
      source = try TimmSource(model.path, architecture: architecture)
      architectureOfSource = try Self.architecture(source, size: model.transform.size, of: model)
    } catch TrainingError.notTrainable(let part) {
      throw ModelError.notDefined(what: "attribution", reason: "\(part) has no backward pass")
    } catch let error as ConversionError {
      throw ModelError.notDefined(
        what: "attribution", reason: "the model has no backward pass (\(error))")
    }
    self.precision = precision
    configuration = architectureOfSource.configuration
    layout = ParameterLayout(architectureOfSource)
    buffer = FloatBuffer(count: layout.bufferCount)
    let values = ParameterValues(base: buffer.base)
    for tensor in layout.savedTensors {
      guard let elements = try source.values(of: tensor, configuration) else {
        throw ModelError.noHead(path: model.path)
      }
      (values.pointer(tensor.parameter.slot) + tensor.elements.lowerBound).update(
        from: elements, count: elements.count)
    }
    weights = PackedWeights(layout, precision: precision, headOnly: false)
    weights.pack(values, backward: true, pool: ThreadPool(threadCount: threads))
  }

  /// The model's own network in timm's terms, for images of a size.
  private static func architecture(
    _ source: TimmSource, size: ImageSize, of model: VisionTransformer
  ) throws -> TrainableArchitecture {
    var arguments = source.arguments
    arguments["img_size"] = .array([.number(Double(size.height)), .number(Double(size.width))])
    let timm = try TimmModel(architecture: source.architecture, arguments: arguments, path: model.path)
    var configuration = timm.configuration
    // What timm cannot state.
    configuration.normEpsilon = model.configuration.normEpsilon
    return try TrainableArchitecture(
      configuration, hasPatchBias: timm.hasPatchBias, hasProjectionBias: timm.hasProjectionBias,
      hasAttentionNorm: timm.hasAttentionNorm, hasMLPNorm: timm.hasMLPNorm, splitsGate: timm.splitsGate)
  }
}

/// Attributes images one at a time, on one thread: the scratch memory of one worker.
public final class AttributionSession {
  private let model: AttributionModel
  private let pass: ShardPass

  public init(_ model: AttributionModel) {
    self.model = model
    pass = ShardPass(
      model.layout, rates: DropoutRates(), recomputes: false, extent: .none, precision: model.precision,
      weights: model.weights)
  }

  /// What speaks for a class.
  public struct Attribution: Sendable {
    /// Index of the class.
    public let label: Int
    /// [C]
    public let logits: [Float]
    /// The query's relevance of each token [N]: prefix tokens first.
    public let relevance: [Float]
  }

  /// The attribution of one image.
  /// - Parameters:
  ///   - pixels: float32 [channels, height, width], as the model's transform makes them.
  ///   - query: weights [N] of the tokens whose relevance is asked for.
  ///   - label: chooses the class by the logits [C].
  public func attribute(
    _ pixels: [Float], query: [Float], label choose: ([Float]) -> Int
  ) -> Attribution {
    let c = model.configuration
    precondition(
      pixels.count == c.inChannels * c.imageSize.height * c.imageSize.width && query.count == pass.numTokens,
      "\(pixels.count) pixels and \(query.count) weights are no image of \(c.imageSize) and its query")
    var (label, logits) = (0, [Float]())
    // From the last block to the first: r becomes r + r · E[(dA ⊙ A)⁺].
    var (relevance, sum) = (query, [Float](repeating: 0, count: query.count))
    var current = c.depth
    func finishBlock() {
      for index in relevance.indices { relevance[index] += sum[index] }
      sum.withUnsafeMutableBufferPointer { $0.update(repeating: 0) }
    }
    pixels.withUnsafeBufferPointer { pixels in
      guard let base = pixels.baseAddress else { return }
      let targets = [Float](repeating: 0, count: c.numClasses)
      targets.withUnsafeBufferPointer { targets in
        guard let targetBase = targets.baseAddress else { return }
        let shard = ShardPass.Shard(
          pixels: base, targets: MatrixView(base: targetBase, rows: 1, columns: c.numClasses),
          labels: UnsafeBufferPointer(start: nil, count: 0))
        pass.explain(shard, values: model.values) { output, gradient in
          logits = Array(output.row(0))
          label = choose(logits)
          gradient.row(0).update(repeating: 0)
          gradient.row(0)[label] = 1
        } observer: { block, _, _, probabilities, gradient in
          if block != current {
            finishBlock()
            current = block
          }
          Self.add(probabilities, gradient, from: relevance, share: 1 / Float(c.numHeads), to: &sum)
        }
      }
    }
    finishBlock()
    return Attribution(label: label, logits: logits, relevance: relevance)
  }

  /// sum [N] += share · rows [N] · (gradient ⊙ probabilities)⁺, of the queries that have a gradient.
  private static func add(
    _ probabilities: MatrixView, _ gradient: MatrixView, from rows: [Float], share: Float,
    to sum: inout [Float]
  ) {
    sum.withUnsafeMutableBufferPointer { sum in
      for query in 0..<probabilities.rows where rows[query] != 0 {
        let factor = share * rows[query]
        let (p, d) = (probabilities.row(query), gradient.row(query))
        for key in p.indices { sum[key] += factor * max(0, p[key] * d[key]) }
      }
    }
  }
}
