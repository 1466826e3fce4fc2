import Checkpoints
import Kernels
import Synchronization

/// Some of the rows that went into a layer, and the range of all.
package struct LayerSamples: Sendable {
  /// K
  let inner: Int
  /// bfloat16, [R, K].
  private(set) var rows: [UInt16] = []
  /// Of each column; 0 is always within.
  private(set) var least: [Float]
  private(set) var largest: [Float]

  /// - Parameter capacity: rows that will be kept, so that memory is taken once.
  package init(inner: Int, capacity: Int = 0) {
    self.inner = inner
    least = [Float](repeating: 0, count: inner)
    largest = least
    rows.reserveCapacity(capacity * inner)
  }

  /// R
  var count: Int { rows.count / max(1, inner) }

  /// Notes the range of a row.
  package mutating func see(_ row: UnsafeBufferPointer<Float>) {
    for k in 0..<inner {
      least[k] = Swift.min(least[k], row[k])
      largest[k] = Swift.max(largest[k], row[k])
    }
  }

  /// Keeps a row.
  package mutating func keep(_ row: UnsafeBufferPointer<Float>) {
    rows += [UInt16](unsafeUninitializedCapacity: inner) { halves, count in
      _ = Elements.convertFloat32ToBFloat16(row, into: UnsafeMutableRawBufferPointer(halves))
      count = inner
    }
  }

  /// Adds those of a later image.
  mutating func append(_ other: LayerSamples) {
    rows += other.rows
    for k in 0..<inner {
      least[k] = Swift.min(least[k], other.least[k])
      largest[k] = Swift.max(largest[k], other.largest[k])
    }
  }

  /// Writes the rows as floats.
  func copy(into matrix: MutableMatrixView) {
    rows.withUnsafeBytes { bytes in
      for row in 0..<count {
        let source = UnsafeRawBufferPointer(rebasing: bytes[2 * row * inner..<2 * (row + 1) * inner])
        Elements.convertBFloat16(source, into: matrix.row(row))
      }
    }
  }

  /// The largest magnitude of each column.
  var magnitudes: [Float] { zip(least, largest).map { Swift.max(-$0, $1) } }
}

/// Collects what goes into the layers while one image runs through the network on one thread.
final class ImageRecorder: @unchecked Sendable {
  private(set) var samples: [String: LayerSamples] = [:]
  private var seen: [String: Int] = [:]
  /// Rows of the image that are kept, in ascending order.
  private let kept: [Int]

  /// - Parameters:
  ///   - tokens: rows that each layer will see.
  ///   - count: rows to keep: the first, the class token of most models, and others spread over the rest.
  ///   - seed: of the image.
  init(tokens: Int, keeping count: Int, seed: UInt64) {
    var kept: Set<Int> = [0]
    let others = min(count, tokens) - 1
    for index in 0..<Swift.max(0, others) {
      let span = (tokens - 1) / others
      let random = Int(truncatingIfNeeded: CounterHash.value(at: UInt64(index), of: seed) >> 1)
      kept.insert(1 + index * (tokens - 1) / others + (span > 0 ? random % span : 0))
    }
    self.kept = kept.sorted()
  }

  func observe(_ layer: String, _ input: MatrixView) {
    var samples = self.samples.removeValue(forKey: layer) ?? LayerSamples(inner: input.columns)
    let first = seen[layer, default: 0]
    seen[layer] = first + input.rows
    for row in 0..<input.rows { samples.see(input.row(row)) }
    for row in kept where (first..<first + input.rows).contains(row) { samples.keep(input.row(row - first)) }
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
