/// A tensor of the file as a part of one of timm's: which of its elements, and how they lie.
public struct TensorPart: Sendable, Equatable {
  public let tensor: TensorInfo
  public let layout: TensorLayout
  /// The index along a leading axis that stands for the depth; nil where there is none.
  public let layer: Int?
  /// The rows that are meant; nil for all.
  public let share: Share?

  /// `count` of `total` equal shares of the rows, from `first`.
  public struct Share: Sendable, Equatable {
    public let first: Int
    public let count: Int
    public let total: Int

    public init(first: Int, count: Int, of total: Int) {
      (self.first, self.count, self.total) = (first, count, total)
    }
  }

  /// Dimensions of the stored elements, without the leading axis.
  public var storedShape: [Int] { layer == nil ? tensor.shape : Array(tensor.shape.dropFirst()) }

  /// Dimensions in PyTorch's order; the stored ones where the layout does not fit them.
  public var shape: [Int] {
    var shape = storedShape
    switch (layout, shape.count) {
    case (.dense, 2): shape.swapAt(0, 1)
    case (.convolution, 4): shape = [shape[3], shape[2], shape[0], shape[1]]
    case (.intoHeads, 3): shape = [shape[1] &* shape[2], shape[0]]
    case (.outOfHeads, 3): shape = [shape[2], shape[0] &* shape[1]]
    case (.flat, _): shape = [shape.reduce(1, &*)]
    default: break
    }
    if let share, let rows = shape.first, rows.isMultiple(of: share.total) {
      shape[0] = rows / share.total * share.count
    }
    return shape
  }

  /// What `shape` looks like in the file, for messages.
  func stored(_ shape: [Int]) -> [Int] {
    switch (layout, shape.count) {
    case (.dense, 2): shape.reversed()
    case (.convolution, 4): [shape[2], shape[3], shape[1], shape[0]]
    default: shape
    }
  }
}
