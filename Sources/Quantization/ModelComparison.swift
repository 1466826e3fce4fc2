import Images
import Kernels
import Pipeline
import Synchronization
import VisionTransformer

/// How near a model is to another on the same images.
public struct ModelComparison: Sendable, Encodable, Equatable {
  public let images: Int
  /// Whether they were kept out of the calibration.
  public let heldOut: Bool
  /// Cosine of the pooled features (the class token's, for most models): mean and least over the images.
  public let featureCosine: Double
  public let leastFeatureCosine: Double
  /// Cosine of the patches' features, mean over those of an image: mean and least over the images; nil without patches' features.
  public let patchCosine: Double?
  public let leastPatchCosine: Double?
  /// Mean cosine of the logits; nil without a head.
  public let logitCosine: Double?
  /// Share of images with the same most probable class; nil without a head.
  public let top1Agreement: Double?

  enum CodingKeys: String, CodingKey {
    case images
    case heldOut = "held_out"
    case featureCosine = "feature_cosine"
    case leastFeatureCosine = "least_feature_cosine"
    case patchCosine = "patch_cosine"
    case leastPatchCosine = "least_patch_cosine"
    case logitCosine = "logit_cosine"
    case top1Agreement = "top1_agreement"
  }

  /// One image in both.
  private struct Pair: Sendable {
    var feature = 0.0
    var patches: Double?
    var logits: Double?
    var agrees: Bool?
  }

  /// Runs both models.
  /// - Throws: `CancellationError`.
  static func of(
    _ model: VisionTransformer, _ reference: VisionTransformer, on images: [Image], heldOut: Bool,
    pool: ThreadPool, cancellation: Cancellation, progress: @escaping @Sendable (Double) -> Void
  ) throws -> ModelComparison {
    let pairs = try ImageRuns(pool: pool, cancellation: cancellation).map(
      images, sessions: { (InferenceSession(reference), InferenceSession(model)) }, progress: progress,
      body: { sessions, image -> Pair in
        sessions.0.run(.images([image])) { wanted in
          sessions.1.run(.images([image])) { found in
            var pair = Pair(feature: Vectors.cosine(wanted.features.row(0), found.features.row(0)))
            let first = model.configuration.numPrefixTokens
            let patches = (first..<wanted.tokens.rows).map {
              Vectors.cosine(wanted.tokens.row($0), found.tokens.row($0))
            }
            if !patches.isEmpty { pair.patches = patches.reduce(0, +) / Double(patches.count) }
            if let a = wanted.logits?.row(0), let b = found.logits?.row(0) {
              pair.logits = Vectors.cosine(a, b)
              pair.agrees = Vectors.indexOfLargest(a) == Vectors.indexOfLargest(b)
            }
            return pair
          }
        }
      })
    func mean(_ values: [Double]) -> Double? {
      values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
    }
    let (features, patches) = (pairs.map(\.feature), pairs.compactMap(\.patches))
    return ModelComparison(
      images: pairs.count, heldOut: heldOut, featureCosine: mean(features) ?? 1,
      leastFeatureCosine: features.min() ?? 1,
      patchCosine: mean(patches), leastPatchCosine: patches.min(),
      logitCosine: mean(pairs.compactMap(\.logits)),
      top1Agreement: mean(pairs.compactMap { $0.agrees.map { $0 ? 1 : 0 } }))
  }
}

/// Images through sessions, whole images on each thread.
struct ImageRuns {
  let pool: ThreadPool
  let cancellation: Cancellation

  /// A value for each image, in their order.
  /// - Parameters:
  ///   - sessions: what a thread works with.
  ///   - progress: told, by any thread, which share is done.
  /// - Throws: `CancellationError`.
  func map<Element: Sendable, Sessions, Value: Sendable>(
    _ images: [Element], sessions: @escaping @Sendable () -> Sessions,
    progress: @escaping @Sendable (Double) -> Void = { _ in },
    body: @escaping @Sendable (Sessions, Element) -> Value
  ) throws -> [Value] {
    let results = Results<Value>(count: images.count)
    let workers = min(pool.threadCount, max(1, images.count))
    pool.forEach(workers) { worker in
      let sessions = sessions()
      for index in stride(from: worker, to: images.count, by: workers) where !cancellation.isCancelled {
        progress(Double(results.set(index, to: body(sessions, images[index]))) / Double(images.count))
      }
    }
    if cancellation.isCancelled { throw CancellationError() }
    return results.values
  }
}

/// Values that come in any order.
private final class Results<Value: Sendable>: Sendable {
  private let state = Mutex<[Int: Value]>([:])
  private let count: Int

  init(count: Int) { self.count = count }

  /// - Returns: how many there are now.
  func set(_ index: Int, to value: Value) -> Int {
    state.withLock { values in
      values[index] = value
      return values.count
    }
  }

  var values: [Value] { state.withLock { values in (0..<count).compactMap { values[$0] } } }
}

enum Vectors {
  /// In double precision; 1 for two vectors of zeros, 0 for one, and where one is not finite.
  static func cosine(_ a: UnsafeBufferPointer<Float>, _ b: UnsafeBufferPointer<Float>) -> Double {
    var (product, squareA, squareB) = (0.0, 0.0, 0.0)
    for index in a.indices {
      let (x, y) = (Double(a[index]), Double(b[index]))
      product += x * y
      squareA += x * x
      squareB += y * y
    }
    guard squareA > 0, squareB > 0 else { return squareA == squareB ? 1 : 0 }
    let cosine = product / (squareA.squareRoot() * squareB.squareRoot())
    return cosine.isFinite ? cosine : 0
  }

  /// The first, among equals.
  static func indexOfLargest(_ values: UnsafeBufferPointer<Float>) -> Int {
    var best = 0
    for index in values.indices where values[index] > values[best] { best = index }
    return best
  }
}
