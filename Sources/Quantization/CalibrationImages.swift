import Checkpoints
import Images
import Kernels
import Pipeline
import SystemPackage
import VisionTransformer

/// Prepared images, for every look at the network that follows.
public struct CalibrationImages: Sendable {
  /// What the layers are calibrated with.
  public let images: [Image]
  /// What the result is compared on: every fifth image, which nothing is calibrated with; of fewer than ten, the very same as `images`.
  public let comparison: [Image]
  public let isHeldOut: Bool
  /// Files that could not be read, with the reason.
  public let failures: [(path: FilePath, reason: String)]

  /// Reads images until there are as many as asked for.
  /// - Parameters:
  ///   - paths: files and folders; where they hold more images than asked for, those that are taken are spread over all of them.
  ///   - count: how many to read.
  /// - Throws: `QuantizationError.noImages` where not one could be read; `CancellationError`.
  public init(
    _ paths: [FilePath], count: Int, model: VisionTransformer, options: InferencePipeline.Options,
    cancellation: Cancellation, progress: @escaping (Double) -> Void
  ) throws {
    var walker = PathWalker(paths, cancellation: cancellation)
    // In an order that does not depend on names; the first so many of it are everywhere.
    var inputs: [(place: UInt64, input: Input)] = []
    var index: UInt64 = 0
    func sort() { inputs.sort { $0.place < $1.place } }
    while let input = walker.next() {
      inputs.append((CounterHash.value(at: index, of: 0), input))
      index += 1
      if inputs.count == 2 * Self.candidates {
        sort()
        inputs.removeLast(Self.candidates)
      }
    }
    sort()
    let enough = Cancellation()
    var images: [Image] = []
    var failures: [(path: FilePath, reason: String)] = []
    _ = try InferencePipeline(model: model, options: options).run(
      inputs.lazy.map(\.input).makeIterator(), cancellation: enough, infer: { _, images in images },
      deliver: { item in
        if cancellation.isCancelled { enough.cancel() }
        guard images.count < count else { return }
        switch item.outcome {
        case .success(let success): images.append(success.value)
        case .failure(let error): failures.append((item.path, "\(error)"))
        }
        progress(Double(images.count) / Double(count))
        if images.count == count { enough.cancel() }
      })
    if cancellation.isCancelled { throw CancellationError() }
    guard !images.isEmpty else {
      throw QuantizationError.noImages(
        path: paths.map(\.string).joined(separator: ", "),
        reasons: failures.map { "\($0.path): \($0.reason)" })
    }
    self.init(images, failures: failures)
  }

  /// Images that were read already.
  public init(_ images: [Image], failures: [(path: FilePath, reason: String)] = []) {
    self.failures = failures
    isHeldOut = images.count >= 10
    func isCompared(_ index: Int) -> Bool { index % 5 == 4 }
    self.images = isHeldOut ? images.indices.filter { !isCompared($0) }.map { images[$0] } : images
    comparison = isHeldOut ? images.indices.filter(isCompared).map { images[$0] } : images
  }

  /// How many were read.
  public var count: Int { isHeldOut ? images.count + comparison.count : images.count }

  /// Paths that are held in memory of a folder of millions, for all that cannot be read.
  private static let candidates = 100_000
}
