import Synchronization

/// The unreadable images of a training, of all its data sets together: each is reported once, and more than a number of them end the run.
public final class BadImages: Sendable {
  /// Unreadable images that are put up with.
  public let limit: Int
  private let found = Mutex<[(name: String, reason: String)]>([])
  private let report: @Sendable (_ name: String, _ reason: String) -> Void

  /// - Parameter report: told of each unreadable image when it is met first.
  public init(limit: Int, report: @escaping @Sendable (_ name: String, _ reason: String) -> Void) {
    self.limit = limit
    self.report = report
  }

  /// How many there are so far.
  public var count: Int { found.withLock { $0.count } }

  /// Counts an image that was not met before.
  /// - Throws: `DatasetError.badImages` where there are too many now.
  func add(_ name: String, _ reason: String) throws(DatasetError) {
    let count = found.withLock { found in
      found.append((name, reason))
      return found.count
    }
    report(name, reason)
    if count > limit { throw tooMany }
  }

  var tooMany: DatasetError {
    let examples = found.withLock { found in
      found.sorted { $0.name < $1.name }.prefix(3).map { "\($0.name): \($0.reason)" }
    }
    return .badImages(limit: limit, examples: examples)
  }
}
