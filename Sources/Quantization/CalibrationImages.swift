import Checkpoints
import Images
import Kernels
import Pipeline
import SystemPackage
import VisionTransformer

/// Prepared images, for every look at the network that follows.
public struct CalibrationImages: Sendable {
  public let images: [Image]
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
    var inputs: [Input] = []
    while inputs.count < Self.listed, let input = walker.next() { inputs.append(input) }
    // In an order that does not depend on names; the first so many of it are everywhere.
    let order = inputs.indices.sorted {
      CounterHash.value(at: UInt64($0), of: 0) < CounterHash.value(at: UInt64($1), of: 0)
    }
    let enough = Cancellation()
    var images: [Image] = []
    var failures: [(path: FilePath, reason: String)] = []
    let inputsInOrder = order.lazy.map { inputs[$0] }.makeIterator()
    _ = try InferencePipeline(model: model, options: options).run(
      inputsInOrder, cancellation: enough, infer: { _, images in images },
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
        path: paths.map(\.string).joined(separator: ", "), tried: inputs.count)
    }
    (self.images, self.failures) = (images, failures)
  }

  /// Paths that are looked at, so that a folder of millions is not read to its end.
  private static let listed = 100_000
}
