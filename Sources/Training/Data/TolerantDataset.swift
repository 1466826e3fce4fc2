import Images
import Synchronization

/// A data set in which some images may turn out to be unreadable. Each is named and counted once; the next image that can be read takes
/// its place, whichever thread comes first, so that a run with the same data is the same run.
public final class TolerantDataset: Sendable {
  /// What takes the place that was asked for.
  public struct Sample: Sendable {
    /// Its own index.
    public let index: Int
    public let label: Int
    public let image: Image
  }

  public let base: any ImageDataset
  /// Unreadable images that are put up with.
  public let limit: Int
  private let bad = Mutex<[Int: String]>([:])
  private let report: @Sendable (_ name: String, _ reason: String) -> Void

  /// - Parameter report: told of each unreadable image when it is met first.
  public init(
    _ base: any ImageDataset, limit: Int,
    report: @escaping @Sendable (_ name: String, _ reason: String) -> Void
  ) {
    self.base = base
    self.limit = limit
    self.report = report
  }

  /// Unreadable images met so far.
  public var badCount: Int { bad.withLock { $0.count } }

  /// The image at `index`, or the next one behind it that can be read.
  /// - Throws: `DatasetError.badImages` as soon as more than `limit` have turned out to be unreadable.
  public func sample(_ index: Int) throws -> Sample {
    for step in 0..<base.count {
      let index = (index + step) % base.count
      if bad.withLock({ $0[index] }) != nil { continue }
      do {
        return Sample(index: index, label: base.label(index), image: try base.image(index))
      } catch {
        try note(index, "\(error)")
      }
    }
    throw DatasetError.badImages(limit: limit, examples: examples)
  }

  private func note(_ index: Int, _ reason: String) throws {
    let (isNew, count) = bad.withLock { bad in
      let isNew = bad.updateValue(reason, forKey: index) == nil
      return (isNew, bad.count)
    }
    if isNew { report(base.name(index), reason) }
    if count > limit { throw DatasetError.badImages(limit: limit, examples: examples) }
  }

  private var examples: [String] {
    bad.withLock { bad in
      bad.sorted { $0.key < $1.key }.prefix(3).map { "\(base.name($0.key)): \($0.value)" }
    }
  }
}
