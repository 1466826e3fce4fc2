import Foundation
import Images
import Kernels
import SystemPackage
import TestSupport
import Testing
import VisionTransformer

/// The network in the precisions of its products. `VariantTests` runs these tests under every variant of the kernels.
@Suite struct PrecisionTests {
  /// The least cosine between features, patches and logits of a precision and those of fp32, for the tiny models of the fixtures.
  ///
  /// bfloat16 has 8 bits: each product rounds both sides by up to 2^-9, and errors of single elements average out over a vector's
  /// direction. 8-bit rows have steps of 1/255 of their range; sums of 16 to 48 elements, as here, average less than a
  /// real model's hundreds do.
  static func leastCosine(_ precision: Precision) -> Float {
    switch precision {
    case .fp32: 1 - 1e-6
    case .bf16: 0.9995
    case .int8: 0.99
    }
  }

  /// Every folder of a model.
  static let models: [String] = {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: Fixtures.models.string)) ?? []
    return names.sorted()
  }()

  /// One of each kind of block, attention, pool, embedding and head.
  static let kinds = [
    "timm-token", "timm-clip-quickgelu", "timm-aimv2", "timm-beit3", "timm-diff-norms",
    "timm-parallel-scaling",
    "timm-parallel-things", "timm-map-registers", "timm-prr", "timm-qk-norm-rms", "timm-res-post",
    "timm-hybrid",
    "timm-deit-distilled", "hf-dinov2-swiglu", "hf-clip-vision", "google-npz-pre-logits",
  ]

  /// An environment variable that is ignored would make the tests of a variant those of another.
  @Test func variantInUse() {
    let wanted = ProcessInfo.processInfo.environment["VITRINE_KERNELS"]
    #expect(wanted == nil || wanted == KernelVariant.active.rawValue)
  }

  @Test func fixturesAreThere() { #expect(Self.models.count > 90) }

  @Test(arguments: models, [Precision.bf16, .int8]) func agreementWithFloats(
    _ name: String, _ precision: Precision
  ) throws {
    func results(_ precision: Precision) throws -> [Results] {
      let model = try VisionTransformer(
        Fixtures.checkpoint(name), options: .init(precision: precision, labels: .none))
      return Results.of(model, RandomInputs.images(3, for: model, seed: 1))
    }
    let (reference, reduced) = (try results(.fp32), try results(precision))
    #expect(reduced != reference, "nothing was rounded")
    for (a, b) in zip(reference, reduced) {
      for (part, values) in a.parts {
        let cosine = cosine(values, try #require(b.parts[part]))
        ParityTests.note("\(KernelVariant.active)\t\(precision)\t\(name)\t\(part)\t\(cosine)")
        #expect(cosine >= Self.leastCosine(precision), "\(part)")
      }
    }
  }

  /// An image's results are the same to the last bit, whatever images are beside it, and however many threads there are.
  @Test(arguments: kinds, Precision.allCases) func batchesAndThreads(_ name: String, _ precision: Precision)
    throws
  {
    let model = try VisionTransformer(
      Fixtures.checkpoint(name), options: .init(precision: precision, labels: .none))
    try expectIndependence(of: model)
  }

  /// The same for more tokens than threads take at a time, and of no even number.
  @Test(arguments: Precision.allCases) func blocksOfRows(_ precision: Precision) throws {
    let model = try VisionTransformer(
      randomWeightsOf: "test_vit",
      options: .init(transform: .init(size: ImageSize(144)), precision: precision))
    #expect(5 * model.numTokens > 2 * 128)
    try expectIndependence(of: model)
  }

  private func expectIndependence(of model: VisionTransformer) throws {
    let size = model.transform.size
    let count = model.configuration.inChannels * size.height * size.width
    // Of the five, two without any contrast.
    let images =
      RandomInputs.images(3, for: model, seed: 2)
      + [[Float](repeating: 0, count: count), [Float](repeating: 1, count: count)]
    let alone = images.map { image in Results.of(model, [image])[0] }
    for results in alone { #expect(results.parts.values.allSatisfy { $0.allSatisfy(\.isFinite) }) }
    for threads in 1...3 {
      let compute = threads == 1 ? Compute() : Compute(pool: ThreadPool(threadCount: threads))
      // One session for all batches: what is left in its memory must not matter.
      let session = InferenceSession(model, compute: compute)
      for batchSize in [5, 1, 4, 2, 3] {
        let order = (0..<batchSize).map { ($0 + threads) % images.count }
        let results = Results.of(session, order.map { images[$0] })
        for (position, image) in order.enumerated() {
          #expect(results[position] == alone[image], "image \(position) of \(batchSize), \(threads) threads")
        }
      }
    }
  }

  /// How many threads pack the weights makes no difference.
  @Test(arguments: ["hf-vit", "timm-parallel-scaling", "timm-token"], Precision.allCases) func packing(
    _ name: String, _ precision: Precision
  ) throws {
    func results(_ threads: Int) throws -> [Results] {
      let model = try VisionTransformer(
        Fixtures.checkpoint(name), options: .init(precision: precision, threads: threads, labels: .none))
      return Results.of(model, RandomInputs.images(1, for: model, seed: 3))
    }
    let reference = try results(1)
    for threads in 2...3 { #expect(try results(threads) == reference) }
  }

  /// Tokens that neither pool nor heads read may be left out: the rest has the same bits, on one thread and on several.
  @Test(arguments: Precision.allCases) func unreadTokensAreLeftOut(_ precision: Precision) throws {
    for name in Fixtures.modelNames {
      let model = try VisionTransformer(Fixtures.checkpoint(name), options: .init(precision: precision))
      let images = RandomInputs.images(3, for: model, seed: 11)
      let whole = Results.of(InferenceSession(model), images).map { $0.without("tokens") }
      // Threads take rows that begin and end within an image, too.
      for compute in [Compute()] + (2...4).map({ Compute(pool: ThreadPool(threadCount: $0)) }) {
        let session = InferenceSession(model, compute: compute)
        #expect(Results.of(session, images, allTokens: false) == whole, "\(name)")
      }
      let leastTokens = InferenceSession(model).run(.tensors(images), allTokens: false) { $0.tokens.rows }
      let readsToken = model.configuration.globalPool == .token
      #expect(
        leastTokens == (readsToken ? (model.configuration.hasDistillationHead ? 2 : 1) : model.numTokens) * 3)
    }
  }

  /// How many images go through the blocks together makes no difference.
  @Test(arguments: Precision.allCases) func imagesTogether(_ precision: Precision) throws {
    for name in Fixtures.modelNames {
      let model = try VisionTransformer(Fixtures.checkpoint(name), options: .init(precision: precision))
      let images = RandomInputs.images(5, for: model, seed: 13)
      for compute in [Compute()] + (2...3).map({ Compute(pool: ThreadPool(threadCount: $0)) }) {
        let session = InferenceSession(model, compute: compute)
        #expect(session.imagesTogether >= compute.threadCount)
        for allTokens in [true, false] {
          session.imagesTogether = images.count
          let whole = Results.of(session, images, allTokens: allTokens)
          session.imagesTogether = 2
          #expect(Results.of(session, images, allTokens: allTokens) == whole, "\(name)")
        }
      }
    }
  }

  /// No block is left to run.
  @Test func imagesTogetherBehindTheBlocks() throws {
    let model = try VisionTransformer(Fixtures.checkpoint("timm-token"))
    let images = RandomInputs.images(3, for: model, seed: 17)
    let session = InferenceSession(model)
    var tokens: [Float] = []
    let depth = model.configuration.depth
    func logits(_ output: InferenceSession.Output) -> [[Float]] {
      (0..<3).map { row in output.logits.map { Array($0.row(row)) } ?? [] }
    }
    let whole = session.run(
      .tensors(images),
      observer: { stage, seen in
        if stage == .block(depth - 1) { tokens = (0..<seen.rows).flatMap { Array(seen.row($0)) } }
      }, body: logits)
    session.imagesTogether = 1
    let rest = tokens.withUnsafeBufferPointer { values in
      values.baseAddress.map { base in
        session.run(
          MatrixView(base: base, rows: 3 * model.numTokens, columns: model.configuration.embedDim), batch: 3,
          from: depth, allTokens: false, body: logits)
      }
    }
    #expect(rest == whole && whole.allSatisfy { !$0.isEmpty })
  }

  /// Outputs whose weights are all zero, as pruned models have them, are zero, and spoil no other.
  @Test(arguments: Precision.allCases) func weightsOfZeros(_ precision: Precision) throws {
    var parts = try ModelParts("timm-token")
    for (name, bytes) in [
      ("blocks.0.attn.qkv.weight", 0..<4 * 48 * 48), ("blocks.0.mlp.fc1.weight", 0..<4 * 48),
      ("blocks.1.mlp.fc2.weight", 4 * 96..<4 * 96 * 3), ("head.weight", 0..<4 * 48), ("head.bias", 0..<4),
    ] {
      parts[name]?.bytes.replaceSubrange(bytes, with: [UInt8](repeating: 0, count: bytes.count))
    }
    func results(_ precision: Precision) throws -> [Results] {
      let model = try parts.load(.init(precision: precision))
      return Results.of(model, RandomInputs.images(2, for: model, seed: 4))
    }
    for (reference, reduced) in zip(try results(.fp32), try results(precision)) {
      #expect(try #require(reduced.parts["logits"])[0] == 0)
      for (part, values) in reference.parts {
        #expect(cosine(values, try #require(reduced.parts[part])) >= Self.leastCosine(precision), "\(part)")
      }
    }
  }
}

/// What comes out for one image.
struct Results: Equatable {
  /// Each token, the pooled features, the logits and the embedding, as far as the model has them.
  private(set) var parts: [String: [Float]] = [:]

  func without(_ part: String) -> Results {
    var rest = self
    rest.parts[part] = nil
    return rest
  }

  static func of(_ model: VisionTransformer, _ images: [[Float]]) -> [Results] {
    of(InferenceSession(model), images)
  }

  /// - Parameter allTokens: whether the tokens are among the parts, and all of them are computed.
  static func of(_ session: InferenceSession, _ images: [[Float]], allTokens: Bool = true) -> [Results] {
    let numTokens = session.model.numTokens
    return session.run(.tensors(images), allTokens: allTokens) { output in
      images.indices.map { image in
        var results = Results()
        if allTokens {
          results.parts["tokens"] = (image * numTokens..<(image + 1) * numTokens).flatMap {
            output.tokens.row($0)
          }
        }
        results.parts["features"] = Array(output.features.row(image))
        results.parts["logits"] = output.logits.map { Array($0.row(image)) }
        results.parts["embeddings"] = output.embeddings.map { Array($0.row(image)) }
        return results
      }
    }
  }
}

enum RandomInputs {
  /// Normalised pixels, uniform in -2 ..< 2.
  static func images(_ count: Int, for model: VisionTransformer, seed: UInt64) -> [[Float]] {
    var random = SplitMix64(state: seed)
    let size = model.transform.size
    return (0..<count).map { _ in
      (0..<model.configuration.inChannels * size.height * size.width).map { _ in
        .random(in: -2..<2, using: &random)
      }
    }
  }
}

/// The cosine of the angle between two vectors; NaN where one is not finite.
func cosine(_ a: [Float], _ b: [Float]) -> Float {
  var (product, first, second) = (0.0, 0.0, 0.0)
  for (x, y) in zip(a, b) {
    product += Double(x) * Double(y)
    first += Double(x) * Double(x)
    second += Double(y) * Double(y)
  }
  return Float(product / (first * second).squareRoot())
}
