import Images
import Synchronization

/// Images with labels, in a fixed order. Images are read when they are asked for, by any thread.
public protocol ImageDataset: Sendable {
  var count: Int { get }
  /// The classes' names, by index.
  var classNames: [String] { get }
  /// The class of an image: an index into `classNames`.
  func label(_ index: Int) -> Int
  /// Reads and decodes an image.
  /// - Throws: what is wrong with it, without its name.
  func image(_ index: Int) throws -> Image
  /// The same for a transform, which may need fewer pixels than there are; by default with all of them.
  func image(_ index: Int, for transform: EvaluationTransform) throws -> DecodedImage
  /// What an image is called in messages: its path, or its place in a file of many.
  func name(_ index: Int) -> String
}

extension ImageDataset {
  public func image(_ index: Int, for transform: EvaluationTransform) throws -> DecodedImage {
    DecodedImage(try image(index))
  }

  /// The number of images of each class.
  public var classCounts: [Int] {
    var counts = [Int](repeating: 0, count: classNames.count)
    for index in 0..<count { counts[label(index)] += 1 }
    return counts
  }
}

/// Some images of another data set.
public struct SubsetDataset: ImageDataset {
  public let base: any ImageDataset
  /// The images' places in `base`.
  public let indices: [Int]

  public init(_ base: any ImageDataset, indices: [Int]) {
    self.base = base
    self.indices = indices
  }

  public var count: Int { indices.count }
  public var classNames: [String] { base.classNames }
  public func label(_ index: Int) -> Int { base.label(indices[index]) }
  public func image(_ index: Int) throws -> Image { try base.image(indices[index]) }
  public func image(_ index: Int, for transform: EvaluationTransform) throws -> DecodedImage {
    try base.image(indices[index], for: transform)
  }
  public func name(_ index: Int) -> String { base.name(indices[index]) }
}

extension ImageDataset {
  /// Two parts, each with the same share of every class, which depend on nothing but the seed and the order of the images.
  /// - Parameter share: of the images to hold out, above 0 and below 1. Of a class of several images at least one is held out and one is
  ///   left; of a single one none.
  /// - Throws: `DatasetError.share`, also where nothing would be held out.
  public func holdingOut(
    _ share: Double, seed: UInt64
  ) throws(DatasetError) -> (rest: SubsetDataset, heldOut: SubsetDataset) {
    guard share > 0, share < 1 else { throw .share(share, reason: "it must be above 0 and below 1") }
    var members = [[Int]](repeating: [], count: classNames.count)
    for index in 0..<count { members[label(index)].append(index) }
    var isHeldOut = [Bool](repeating: false, count: count)
    for (label, indices) in members.enumerated() where indices.count > 1 {
      let wanted = Int((share * Double(indices.count)).rounded())
      var random = CounterRandom(seed: seed, stream: DataStream.holdOut, position: UInt64(label))
      for index in random.shuffled(indices).prefix(min(max(wanted, 1), indices.count - 1)) {
        isHeldOut[index] = true
      }
    }
    guard isHeldOut.contains(true) else { throw .share(share, reason: "no class has an image to spare") }
    return (
      SubsetDataset(self, indices: (0..<count).filter { !isHeldOut[$0] }),
      SubsetDataset(self, indices: (0..<count).filter { isHeldOut[$0] })
    )
  }
}

/// Keeps decoded images in memory as far as they fit. What does not fit is read again each time: in an epoch every image is asked for
/// once, so that throwing one out for another would gain nothing.
public final class CachedDataset: ImageDataset {
  private struct State {
    var images: [Image?]
    var free: Int
  }

  private let base: any ImageDataset
  private let state: Mutex<State>

  /// - Parameter limit: bytes of pixels that are kept.
  public init(_ base: any ImageDataset, limit: Int) {
    self.base = base
    state = Mutex(State(images: Array(repeating: nil, count: base.count), free: limit))
  }

  public var count: Int { base.count }
  public var classNames: [String] { base.classNames }
  public func label(_ index: Int) -> Int { base.label(index) }
  public func name(_ index: Int) -> String { base.name(index) }

  public func image(_ index: Int) throws -> Image {
    if let image = state.withLock({ $0.images[index] }) { return image }
    let image = try base.image(index)
    state.withLock { state in
      guard image.pixels.count <= state.free, state.images[index] == nil else { return }
      state.free -= image.pixels.count
      state.images[index] = image
    }
    return image
  }
}
