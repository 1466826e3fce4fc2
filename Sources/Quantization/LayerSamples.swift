import Checkpoints
import Kernels
import Synchronization

/// Some of the rows that went into a layer, and the range of all; images take turns between two halves, so that what is found on one
/// can be tried on the other.
package struct LayerSamples: Sendable {
  /// Of every other image.
  struct Half: Sendable {
    /// bfloat16, [R, K].
    var rows: [UInt16] = []
    var range: ColumnRanges
  }

  /// K
  let inner: Int
  private(set) var halves: [Half]

  /// - Parameter capacity: rows that will be kept, so that memory is taken once.
  package init(inner: Int, capacity: Int = 0) {
    self.inner = inner
    halves = [Half](repeating: Half(range: ColumnRanges(inner)), count: 2)
    for index in halves.indices { halves[index].rows.reserveCapacity((capacity + 1) / 2 * inner) }
  }

  /// R
  var count: Int { (0..<2).reduce(0) { $0 + count(ofHalf: $1) } }

  func count(ofHalf half: Int) -> Int { halves[half].rows.count / max(1, inner) }

  /// Of all images.
  var range: ColumnRanges { halves[0].range.union(halves[1].range) }

  /// Notes the range of a row of an image.
  package mutating func see(_ row: UnsafeBufferPointer<Float>, ofImage image: Int) {
    halves[image & 1].range.extend(row)
  }

  /// Keeps a row of an image.
  package mutating func keep(_ row: UnsafeBufferPointer<Float>, ofImage image: Int) {
    halves[image & 1].rows += [UInt16](unsafeUninitializedCapacity: inner) { bits, count in
      _ = Elements.convertFloat32ToBFloat16(row, into: UnsafeMutableRawBufferPointer(bits))
      count = inner
    }
  }

  /// Adds those of later images.
  mutating func append(_ other: LayerSamples) {
    for half in halves.indices {
      halves[half].rows += other.halves[half].rows
      halves[half].range = halves[half].range.union(other.halves[half].range)
    }
  }

  /// Writes the rows as floats, the first half's before the second's.
  func copy(into matrix: MutableMatrixView) {
    var next = 0
    for half in halves.indices {
      halves[half].rows.withUnsafeBytes { bytes in
        for row in 0..<count(ofHalf: half) {
          let source = UnsafeRawBufferPointer(rebasing: bytes[2 * row * inner..<2 * (row + 1) * inner])
          Elements.convertBFloat16(source, into: matrix.row(next))
          next += 1
        }
      }
    }
  }
}

/// The least and the largest value of each column; 0 is always between them.
struct ColumnRanges: Sendable {
  private(set) var least: [Float]
  private(set) var largest: [Float]

  init(_ columns: Int) {
    least = [Float](repeating: 0, count: columns)
    largest = least
  }

  mutating func extend(_ row: UnsafeBufferPointer<Float>) {
    precondition(row.count == least.count, "a row of \(row.count) values, not of \(least.count)")
    least.withUnsafeMutableBufferPointer { least in
      for k in least.indices { least[k] = row[k] < least[k] ? row[k] : least[k] }
    }
    largest.withUnsafeMutableBufferPointer { largest in
      for k in largest.indices { largest[k] = row[k] > largest[k] ? row[k] : largest[k] }
    }
  }

  func union(_ other: ColumnRanges) -> ColumnRanges {
    var result = self
    for k in least.indices {
      result.least[k] = min(least[k], other.least[k])
      result.largest[k] = max(largest[k], other.largest[k])
    }
    return result
  }

  /// The largest magnitude of each column.
  var magnitudes: [Float] { zip(least, largest).map { max(-$0, $1) } }

  /// The least and the largest of all columns, each divided by its own of `divisors` before.
  func whole(dividedBy divisors: [Float]?) -> (least: Float, largest: Float) {
    var (low, high) = (Float(0), Float(0))
    for k in least.indices {
      let divisor = divisors?[k] ?? 1
      low = min(low, least[k] / divisor)
      high = max(high, largest[k] / divisor)
    }
    return (low, high)
  }
}

/// Which rows of the images are kept.
package struct SamplePlan: Sendable {
  /// Rows of an image, in the mean.
  private let rate: Double
  /// Of the images, the share whose first row is kept: the class token of most models, which is like no other.
  private let firstShare: Double

  /// - Parameter count: rows of all images together; a few more, so that each has as many, or one of some images alone.
  package init(keeping count: Int, ofImages images: Int) {
    let each = Double(count) / Double(max(1, images))
    rate = each >= 1 ? each.rounded(.up) : each
    // No more than a tenth of all rows.
    firstShare = min(1, rate / 10)
  }

  /// The rows of an image that are kept, in ascending order: perhaps the first, and others spread over the rest.
  package func rows(ofImage image: Int, tokens: Int) -> [Int] {
    // Both images of a pair alike: one of them is of either half.
    let pair = image / 2
    func turns(_ share: Double) -> Int { Int(Double(pair + 1) * share) - Int(Double(pair) * share) }
    let count = min(turns(rate), tokens)
    var kept: Set<Int> = count > 0 && (turns(firstShare) > 0 || tokens == 1) ? [0] : []
    let others = count - kept.count
    for index in 0..<max(0, others) {
      let span = (tokens - 1) / others
      let random = Int(truncatingIfNeeded: CounterHash.value(at: UInt64(index), of: UInt64(image)) >> 1)
      kept.insert(1 + index * (tokens - 1) / others + (span > 0 ? random % span : 0))
    }
    return kept.sorted()
  }
}

/// Collects what goes into the layers while one image runs through the network on one thread.
final class ImageRecorder: @unchecked Sendable {
  private(set) var samples: [String: LayerSamples] = [:]
  private var seen: [String: Int] = [:]
  /// Rows of the image that are kept, in ascending order.
  private let kept: [Int]
  private let image: Int

  /// - Parameters:
  ///   - image: its number.
  ///   - tokens: rows that each layer will see.
  init(image: Int, tokens: Int, plan: SamplePlan) {
    self.image = image
    kept = plan.rows(ofImage: image, tokens: tokens)
  }

  func observe(_ layer: String, _ input: MatrixView) {
    var samples = self.samples.removeValue(forKey: layer) ?? LayerSamples(inner: input.columns)
    let first = seen[layer, default: 0]
    seen[layer] = first + input.rows
    for row in 0..<input.rows { samples.see(input.row(row), ofImage: image) }
    for row in kept where (first..<first + input.rows).contains(row) {
      samples.keep(input.row(row - first), ofImage: image)
    }
    self.samples[layer] = samples
  }
}

/// What went into the layers for all images: recordings come from any thread, and are put together in the order of the images.
final class SampleCollection: Sendable {
  private struct State {
    var samples: [String: LayerSamples] = [:]
    /// Recordings that wait for one before them.
    var waiting: [Int: [String: LayerSamples]] = [:]
    var next = 0
  }

  private let state = Mutex(State())
  /// Rows of each layer, at most.
  private let capacity: Int

  init(capacity: Int) { self.capacity = capacity }

  func add(_ recording: [String: LayerSamples], ofImage index: Int) {
    state.withLock { state in
      state.waiting[index] = recording
      while let recording = state.waiting.removeValue(forKey: state.next) {
        for (layer, rows) in recording {
          state.samples[layer, default: LayerSamples(inner: rows.inner, capacity: capacity)].append(rows)
        }
        state.next += 1
      }
    }
  }

  /// Hands out the samples of a layer, and lets go of them.
  func take(_ layer: String) -> LayerSamples? {
    state.withLock { $0.samples.removeValue(forKey: layer) }
  }
}
