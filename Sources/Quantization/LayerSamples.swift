import Checkpoints
import Kernels

/// Some of the rows that went into a layer, and the range of all.
package struct LayerSamples: Sendable {
  /// K
  let inner: Int
  /// bfloat16, [R, K].
  private(set) var rows: [UInt16] = []
  /// Of each column; 0 is always within.
  private(set) var least: [Float]
  private(set) var largest: [Float]

  package init(inner: Int) {
    self.inner = inner
    least = [Float](repeating: 0, count: inner)
    largest = least
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

  /// Adds those of later images.
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
