import Images
import Synchronization

/// A data set in which some images may turn out to be unreadable. Whichever thread meets them first, a run with the same data is the same run.
public final class TolerantDataset: Sendable {
  /// What takes the place that was asked for.
  public struct Sample: Sendable {
    /// Its own index.
    public let index: Int
    public let label: Int
    public let image: Image
  }

  public let base: any ImageDataset
  let badImages: BadImages
  private let bad = Mutex<Set<Int>>([])

  /// - Parameter badImages: where unreadable images are counted.
  public init(_ base: any ImageDataset, _ badImages: BadImages) {
    self.base = base
    self.badImages = badImages
  }

  /// The image at `index`; nil where it cannot be read.
  /// - Throws: `DatasetError.badImages` where too many have turned out to be unreadable.
  public func sample(_ index: Int) throws(DatasetError) -> Sample? {
    if bad.withLock({ $0.contains(index) }) { return nil }
    let reason: String
    do {
      return Sample(index: index, label: base.label(index), image: try base.image(index))
    } catch {
      reason = "\(error)"
    }
    let isNew = bad.withLock { $0.insert(index).inserted }
    if isNew { try badImages.add(base.name(index), reason) }
    return nil
  }

  /// The image at `index`, or the next one behind it that can be read.
  /// - Throws: `DatasetError.badImages` where too many have turned out to be unreadable.
  public func sampleOrNext(_ index: Int) throws(DatasetError) -> Sample {
    for step in 0..<base.count {
      if let sample = try sample((index + step) % base.count) { return sample }
    }
    throw badImages.tooMany
  }
}
