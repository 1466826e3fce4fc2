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
  /// For images of the size that the patches cover.
  public let configuration: ViTConfiguration
  /// The size of the images, of which the patches may leave a margin at the right and at the bottom.
  let imageSize: ImageSize
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
      // What has no backward pass is named before anything else is found missing.
      _ = try TrainableArchitecture(model.configuration)
      source = try TimmSource(model.path, architecture: architecture, limits: model.fileLimits)
      architectureOfSource = try Self.architecture(source, of: model)
    } catch TrainingError.notTrainable(let part) {
      throw ModelError.notDefined(what: "attribution", reason: "\(part) has no backward pass")
    } catch let error as ConversionError {
      throw ModelError.notDefined(
        what: "attribution", reason: "the model has no backward pass (\(error))")
    }
    self.precision = precision
    imageSize = model.transform.size
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

  /// The model's own network in timm's terms, for images of the size that its patches cover.
  private static func architecture(
    _ source: TimmSource, of model: VisionTransformer
  ) throws -> TrainableArchitecture {
    let patch = model.configuration.patchSize
    var arguments = source.arguments
    arguments["img_size"] = .array([
      .number(Double(model.grid.height * patch.height)), .number(Double(model.grid.width * patch.width)),
    ])
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
    /// The query's relevance of each token [N]: prefix tokens first.
    public let relevance: [Float]
  }

  /// The attributions of one image.
  /// - Parameters:
  ///   - pixels: float32 [channels, height, width], as the model's transform makes them, with what no patch covers.
  ///   - query: weights [N] of the tokens whose relevance is asked for.
  ///   - choose: gives the classes, by the logits [C].
  /// - Returns: the logits [C], and an attribution for each class.
  public func attribute(
    _ pixels: [Float], query: [Float], labels choose: ([Float]) -> [Int]
  ) -> (logits: [Float], attributions: [Attribution]) {
    let c = model.configuration
    precondition(
      pixels.count == c.inChannels * model.imageSize.height * model.imageSize.width
        && query.count == pass.numTokens,
      "\(pixels.count) pixels and \(query.count) weights are no image of \(model.imageSize) and its query")
    let pixels = covered(pixels)
    var logits: [Float] = []
    var sums: [RelevanceSum] = []
    let targets = [Float](repeating: 0, count: c.numClasses)
    pixels.withUnsafeBufferPointer { pixels in
      targets.withUnsafeBufferPointer { targets in
        guard let base = pixels.baseAddress, let targetBase = targets.baseAddress else { return }
        let shard = ShardPass.Shard(
          pixels: base, targets: MatrixView(base: targetBase, rows: 1, columns: c.numClasses),
          labels: UnsafeBufferPointer(start: nil, count: 0))
        pass.explain(shard, values: model.values) { output in
          logits = Array(output)
          let labels = choose(logits)
          sums = labels.map { RelevanceSum(label: $0, query: query, numHeads: c.numHeads) }
          return labels
        } observer: { number in
          let sum = sums[number]
          return { block, _, _, probabilities, gradient in sum.add(probabilities, gradient, block: block) }
        }
      }
    }
    return (logits, sums.map { $0.finish() })
  }

  /// What the patches cover of an image.
  private func covered(_ pixels: [Float]) -> [Float] {
    let (size, covered) = (model.imageSize, model.configuration.imageSize)
    guard size != covered else { return pixels }
    var result: [Float] = []
    result.reserveCapacity(model.configuration.inChannels * covered.height * covered.width)
    for channel in 0..<model.configuration.inChannels {
      for row in 0..<covered.height {
        let start = (channel * size.height + row) * size.width
        result += pixels[start..<start + covered.width]
      }
    }
    return result
  }
}

/// The relevance of a query, from the last block to the first: r becomes r + r · E_heads[(dA ⊙ A)⁺].
private final class RelevanceSum {
  private let label: Int
  private let share: Float
  /// [N]
  private var relevance: [Float]
  /// What the heads of the present block add.
  private var sum: [Float]
  private var block: Int?

  init(label: Int, query: [Float], numHeads: Int) {
    (self.label, relevance, share) = (label, query, 1 / Float(numHeads))
    sum = [Float](repeating: 0, count: query.count)
  }

  /// The next head: probabilities and their gradient [queries, N], of the first queries alone where the others have none.
  func add(_ probabilities: MatrixView, _ gradient: MatrixView, block: Int) {
    if block != self.block { finishBlock() }
    self.block = block
    let (relevance, share) = (relevance, share)
    sum.withUnsafeMutableBufferPointer { sum in
      for query in 0..<probabilities.rows where relevance[query] != 0 {
        let factor = share * relevance[query]
        let (p, d) = (probabilities.row(query), gradient.row(query))
        for key in p.indices { sum[key] += factor * max(0, p[key] * d[key]) }
      }
    }
  }

  func finish() -> AttributionSession.Attribution {
    finishBlock()
    return .init(label: label, relevance: relevance)
  }

  private func finishBlock() {
    for index in relevance.indices {
      relevance[index] += sum[index]
      sum[index] = 0
    }
  }
}
