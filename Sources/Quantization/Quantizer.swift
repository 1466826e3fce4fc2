import Checkpoints
import Images
import Kernels
import Pipeline
import Synchronization
import SystemPackage
import VisionTransformer

/// Turns a trained model into one whose weights are integers, and measures what that cost.
///
/// The layers are looked at one by one, each against what it computes in float32 on the calibration images; then the whole network.
/// Nothing is written until all of it is done.
public struct Quantizer {
  /// In float32.
  public let model: VisionTransformer
  public let options: QuantizationOptions
  private let checkpoint: Checkpoint
  private let architecture: String?
  private let transform: TransformOverrides
  private let pool: ThreadPool
  private let cancellation: Cancellation

  /// What is being done.
  public enum Stage: String, Sendable {
    case observing, quantizing, weighing, comparing
  }

  public typealias Progress = @Sendable (Stage, Double) -> Void

  /// A quantised model that was not written yet.
  public struct Result {
    public let layers: [QuantizedLayer]
    /// Layers that stay floats, with the reason.
    public let kept: [(name: String, reason: KeepReason)]
    /// 1 - cosine of the pooled features where one layer alone is quantised.
    public let errors: [String: Double]
    public let comparison: ModelComparison
    /// On labelled images, where there were any.
    public let accuracy: QuantizationReport.Change<QuantizationReport.Accuracy>?
    let quantized: QuantizedLayers
    /// The model as it will be read; in the file, weights that are not quantised are rounded to half precision.
    public let model: VisionTransformer
  }

  public enum KeepReason: String, Sendable {
    /// The user asked for it.
    case keep
    /// Its error was too large for the bound.
    case error
  }

  /// - Parameters:
  ///   - checkpoint: of floats.
  ///   - architecture: timm's name, where the user gives one.
  ///   - transform: changes to the preprocessing, for the calibration.
  ///   - labels: of the model's classes, for the labelled images.
  /// - Throws: what opening a model throws, and `QuantizationError`.
  public init(
    _ checkpoint: Checkpoint, architecture: String? = nil,
    transform: TransformOverrides = TransformOverrides(),
    labels: VisionTransformer.Options.LabelSource = .checkpoint,
    options: QuantizationOptions, threads: Int = CPU.usableCores, cancellation: Cancellation = Cancellation()
  ) throws {
    if let scheme = checkpoint.quantization {
      throw QuantizationError.alreadyQuantized(path: checkpoint.path.string, scheme: scheme.rawValue)
    }
    (self.checkpoint, self.architecture, self.transform) = (checkpoint, architecture, transform)
    (self.options, self.cancellation) = (options, cancellation)
    model = try VisionTransformer(
      checkpoint,
      options: .init(
        architecture: architecture, transform: transform, precision: .fp32, threads: threads, labels: labels))
    pool = ThreadPool(threadCount: max(1, threads))
    let layers = model.quantizableLayers.map(\.name)
    for pattern in options.keep
    where !layers.contains(where: { QuantizationOptions.matches($0, pattern) }) {
      throw QuantizationError.unknownLayer(
        pattern: pattern,
        known: layers.count > 6 ? layers.prefix(5) + ["...", layers[layers.count - 1]] : layers)
    }
    if layers.allSatisfy(options.keeps) {
      throw QuantizationError.nothingToQuantize(path: checkpoint.path.string, keep: options.keep)
    }
    // What cannot be written is said before the work.
    _ = try conversion(
      QuantizedLayers(scheme: options.scheme, substitutes: LayerSubstitutes(), groupSize: nil, kept: []))
  }

  private func conversion(_ quantized: QuantizedLayers) throws -> Conversion {
    // Written with the checkpoint's own preprocessing, whatever the calibration changed.
    let described = try VisionTransformer(
      checkpoint, options: .init(architecture: architecture, describesOnly: true))
    return try Conversion(described, checkpoint: checkpoint, architecture: architecture, quantized: quantized)
  }

  /// What the user should know before it begins, one sentence each.
  public var warnings: [String] {
    var warnings = model.warnings
    if let part = model.unquantizablePart {
      warnings.append("\(model.path): \(part) stay floats: only layers of the transformer are quantised")
    }
    let joint = model.quantizableLayers.filter { $0.isInBlock && !$0.readsAlone }
    if let first = joint.first, options.scheme != .w8 {
      warnings.append(
        "\(model.path): \(first.name) and \(joint.count - 1) others are several layers in one: their inputs are not calibrated, but rounded token by token"
      )
    }
    return warnings
  }

  /// Rows of each layer's input that are kept to judge by. Those of 4 bits lean on what they were compensated with: they get more, in
  /// small models more than in large ones.
  private var sampleCount: Int {
    guard options.scheme == .w4 else { return 1024 }
    let rowBytes = model.quantizableLayers.filter(\.readsAlone).reduce(0) { sum, layer in
      sum + 2 * layer.shape.dropFirst().reduce(1, *)
    }
    let budget = (192 << 20) + model.parameterCount
    return min(4096, max(1024, budget / max(1, rowBytes)))
  }
  /// Images on which each layer alone is tried: more where it depends on that which layers stay floats.
  private var weighedImages: Int { options.minCosine != nil || options.maxDrop != nil ? 8 : 4 }

  /// Quantises the model.
  /// - Parameters:
  ///   - calibration: at least one image.
  ///   - accuracy: of a model on labelled images; asked for the model as it was and for the result, and for `maxDrop` in between.
  /// - Throws: `QuantizationError.unreachable`, `CheckpointError` for damaged weights, `CancellationError`.
  public func run(
    _ calibration: CalibrationImages,
    accuracy: ((VisionTransformer) throws -> QuantizationReport.Accuracy)? = nil,
    progress: @escaping Progress = { _, _ in }
  ) throws -> Result {
    let layers = try quantize(try observe(calibration.images, progress), progress)
    Heap.trim()
    let errors = try weigh(layers, Array(calibration.comparison.prefix(weighedImages)), progress)
    var kept = model.quantizableLayers.map(\.name).filter(options.keeps).map { ($0, KeepReason.keep) }
    let worst = layers.map(\.name).filter { errors[$0] != nil }.sorted { errors[$0] ?? 0 > errors[$1] ?? 0 }
    let before = try accuracy?(model)
    if let before, before.images == 0 { throw QuantizationError.noLabelledImages }
    let labelled = accuracy.flatMap { measure in before.map { (before: $0, measure: measure) } }
    let (count, bounded) = try numberToKeep(worst, layers, calibration, labelled, progress)
    kept += worst.prefix(count).map { ($0, .error) }
    let left = layers.filter { layer in !worst.prefix(count).contains(layer.name) }
    let substitutes = Self.substitutes(left)
    let quantized = try open(substitutes)
    let comparison = try bounded.comparison ?? compare(quantized, calibration, progress)
    let after = try bounded.accuracy ?? accuracy?(quantized)
    return Result(
      layers: left, kept: kept.map { (name: $0.0, reason: $0.1) }, errors: errors, comparison: comparison,
      accuracy: before.flatMap { before in after.map { .init(before: before, after: $0) } },
      quantized: QuantizedLayers(
        scheme: options.scheme, substitutes: substitutes,
        groupSize: options.scheme == .w4 ? options.groupSize : nil, kept: kept.map(\.0)),
      model: quantized)
  }

  /// Writes a result as a model that every command reads.
  /// - Parameter extras: files that are written with it, by their names, nil for one that it does not have; told how many bytes the
  ///   weights have.
  /// - Returns: what the written model does otherwise, one sentence each.
  /// - Throws: `ConversionError`, `CheckpointError`, `CancellationError`; the folder then stays as it was.
  public func write(
    _ result: Result, to folder: FilePath, overwriting: Bool = false,
    extras: (_ weightBytes: Int) throws -> [(name: String, bytes: [UInt8]?)] = { _ in [] }
  ) throws -> [String] {
    try conversion(result.quantized).write(
      to: folder, overwriting: overwriting, isCancelled: { cancellation.isCancelled }, extras: extras)
  }

  /// The files that `write` makes or replaces.
  public static func files(in folder: FilePath) -> [FilePath] { Conversion.files(in: folder) }

  // MARK: Steps

  /// Runs the images through the model, and keeps some of what goes into each layer.
  private func observe(_ images: [Image], _ progress: @escaping Progress) throws -> SampleCollection {
    let plan = SamplePlan(keeping: sampleCount, ofImages: images.count)
    let (model, tokens) = (model, model.numTokens)
    // Every other image, from the first on, makes the larger half.
    let largerHalf = stride(from: 0, to: images.count, by: 2).reduce(0) {
      $0 + plan.rows(ofImage: $1, tokens: tokens).count
    }
    let collection = SampleCollection(capacity: 2 * largerHalf)
    _ = try ImageRuns(pool: pool, cancellation: cancellation).map(
      Array(images.enumerated()), sessions: { InferenceSession(model) },
      progress: { progress(.observing, $0) },
      body: { session, image in
        let recorder = ImageRecorder(image: image.offset, tokens: tokens, plan: plan)
        session.run(
          .images([image.element]), layerInputs: { recorder.observe($0, $1) }, body: { _ in })
        collection.add(recorder.samples, ofImage: image.offset)
      })
    return collection
  }

  private func quantize(
    _ samples: SampleCollection, _ progress: @escaping Progress
  ) throws -> [QuantizedLayer] {
    let layers = model.quantizableLayers.filter { !self.options.keeps($0.name) }
    let results = Mutex<[Int: Swift.Result<QuantizedLayer, any Error>]>([:])
    let (model, options, cancellation) = (model, options, cancellation)
    forEachLayer(layers.map(\.shape)) { index in
      guard !cancellation.isCancelled, results.withLock({ $0.values.allSatisfy { (try? $0.get()) != nil } })
      else { return }
      let layer = layers[index]
      let result = Swift.Result<QuantizedLayer, any Error> {
        let weight = try model.floats("\(layer.name).weight") ?? []
        let outputs = layer.shape[0]
        return try LayerQuantizer(options: options).quantize(
          .init(
            name: layer.name, weight: weight, bias: try model.floats("\(layer.name).bias"), outputs: outputs,
            inner: weight.count / max(1, outputs), samples: samples.take(layer.name),
            isInBlock: layer.isInBlock))
      }
      let done = results.withLock { results in
        results[index] = result
        return results.count
      }
      progress(.quantizing, Double(done) / Double(layers.count))
    }
    if cancellation.isCancelled { throw CancellationError() }
    let found = results.withLock { $0 }
    // The first that failed says why; the rest were not begun.
    for index in layers.indices { if case .failure(let error)? = found[index] { throw error } }
    return try layers.indices.compactMap { try found[$0]?.get() }
  }

  /// Calls `body` for each layer, on as many threads as there is memory for what a layer needs while it is quantised: about as much as
  /// the model has, and some.
  private func forEachLayer(_ shapes: [[Int]], _ body: @escaping @Sendable (_ index: Int) -> Void) {
    func workingBytes(_ shape: [Int]) -> Int {
      let (outputs, inner) = (shape[0], shape.dropFirst().reduce(1, *))
      // Its weights as they are, rounded and packed; its inputs twice, its outputs and their errors; products of the inputs.
      return 4 * (3 * outputs * inner + 2 * sampleCount * (inner + outputs) + 2 * inner * inner)
    }
    let budget = 4 * model.parameterCount + (256 << 20)
    let count = min(pool.threadCount, max(1, budget / max(1, shapes.map(workingBytes).max() ?? 1)))
    let pool = count == pool.threadCount ? pool : ThreadPool(threadCount: count)
    pool.forEach(shapes.count, body)
  }

  /// The error of the features where one layer alone is quantised.
  private func weigh(
    _ layers: [QuantizedLayer], _ images: [Image], _ progress: @escaping Progress
  ) throws -> [String: Double] {
    try LayerErrors(
      reference: model, plain: try open(LayerSubstitutes()), images: images, pool: pool,
      cancellation: cancellation
    ).measure(layers, progress: { progress(.weighing, $0) })
  }

  /// What was measured of a model while bounds were looked after.
  private struct Measured {
    var comparison: ModelComparison?
    var accuracy: QuantizationReport.Accuracy?
  }

  /// Accuracy of the model as it was, and how to measure that of another.
  private typealias Labelled = (
    before: QuantizationReport.Accuracy, measure: (VisionTransformer) throws -> QuantizationReport.Accuracy
  )

  /// The least number of layers, those with the largest errors, that must stay floats for the bounds to hold, and what was measured with
  /// so many.
  private func numberToKeep(
    _ worst: [String], _ layers: [QuantizedLayer], _ calibration: CalibrationImages, _ labelled: Labelled?,
    _ progress: @escaping Progress
  ) throws -> (count: Int, Measured) {
    guard options.minCosine != nil || options.maxDrop != nil && labelled != nil else {
      return (0, Measured())
    }
    var best = ""
    // Of the model for which all bounds held last.
    var measured = Measured()
    func holds(_ count: Int) throws -> Bool {
      var found = Measured()
      let kept = Set(worst.prefix(count))
      let quantized = try open(Self.substitutes(layers.filter { !kept.contains($0.name) }))
      if let bound = options.minCosine {
        let comparison = try compare(quantized, calibration, progress)
        let cosine = comparison.featureCosine
        found.comparison = comparison
        best = QuantizationReport.fixed(cosine, 6)
        if cosine < bound { return false }
      }
      if let bound = options.maxDrop, let labelled {
        let after = try labelled.measure(quantized)
        found.accuracy = after
        // Images for which it gives no numbers are not counted there; they are wrong.
        let counted = Double(after.images) / Double(max(1, labelled.before.images))
        let drop = 100 * (labelled.before.top1 - counted * after.top1)
        best = QuantizationReport.fixed(drop, 2)
        // Shares are counts: what is less than a hundredth of an image is a rounding.
        if drop > bound + 1e-9 { return false }
      }
      measured = found
      return true
    }
    if try holds(0) { return (0, measured) }
    // One that is left, or nothing would be quantised.
    var (low, high) = (0, worst.count - 1)
    guard try high > 0 && holds(high) else {
      throw QuantizationError.unreachable(goal: goal, best: best)
    }
    while high - low > 1 {
      let middle = (low + high) / 2
      if try holds(middle) { high = middle } else { low = middle }
    }
    return (high, measured)
  }

  private var goal: String {
    [
      options.minCosine.map { "a mean cosine of \($0)" },
      options.maxDrop.map { "a loss of at most \($0) points of top-1" },
    ].compactMap(\.self).joined(separator: " with ")
  }

  // MARK: Models

  static func substitutes(_ layers: [QuantizedLayer]) -> LayerSubstitutes {
    var result = LayerSubstitutes()
    for layer in layers {
      result.weights["\(layer.name).weight"] = layer.weight
      if let bias = layer.bias { result.biases["\(layer.name).bias"] = bias }
    }
    return result
  }

  /// The model with some of its layers quantised.
  private func open(_ substitutes: LayerSubstitutes) throws -> VisionTransformer {
    var open = VisionTransformer.Options(
      architecture: architecture, transform: transform, precision: options.scheme.standardPrecision,
      threads: pool.threadCount)
    open.substitutes = substitutes
    return try VisionTransformer(checkpoint, options: open)
  }

  private func compare(
    _ quantized: VisionTransformer, _ calibration: CalibrationImages, _ progress: @escaping Progress
  ) throws -> ModelComparison {
    try ModelComparison.of(
      quantized, model, on: calibration.comparison, heldOut: calibration.isHeldOut, pool: pool,
      cancellation: cancellation,
      progress: { progress(.comparing, $0) })
  }
}

extension Quantizer {
  /// What is said about a result.
  /// - Parameters:
  ///   - bytes: of the written weights.
  ///   - seconds: that it all took.
  public func report(
    _ result: Result, calibrationImages: Int, bytes: Int,
    imagesPerSecond: QuantizationReport.Change<Double>?, seconds: Double
  ) -> QuantizationReport {
    let byName = Dictionary(uniqueKeysWithValues: result.layers.map { ($0.name, $0) })
    let reasons = Dictionary(uniqueKeysWithValues: result.kept.map { ($0.name, $0.reason) })
    let layers = model.quantizableLayers.map { layer in
      let parameters = layer.shape.reduce(1, *)
      let quantized = byName[layer.name]
      return QuantizationReport.Layer(
        name: layer.name, type: quantized.map(\.weight.typeName) ?? "float",
        kept: quantized == nil ? reasons[layer.name]?.rawValue : nil, parameters: parameters,
        bytes: quantized?.weight.byteCount ?? 2 * parameters, smoothing: quantized?.smoothing,
        signalToNoise: quantized?.signalToNoise, error: result.errors[layer.name])
    }
    return QuantizationReport(
      model: model.path.string, architecture: model.architectureName ?? "", scheme: options.scheme.rawValue,
      observer: options.scheme == .w8a8Static ? options.observer.rawValue : nil,
      groupSize: options.scheme == .w4 ? options.groupSize : nil, calibrationImages: calibrationImages,
      layers: layers, floatBytes: 4 * model.parameterCount, bytes: bytes, comparison: result.comparison,
      accuracy: result.accuracy, imagesPerSecond: imagesPerSecond, seconds: seconds)
  }
}

extension QuantizedWeight {
  /// What the report calls it.
  var typeName: String {
    switch storage {
    case .int8: "int8"
    case .int4: "int4"
    }
  }
}
