import CCodecs

/// For each pixel of a resized row or column: which source pixels it is made of, and in what proportion.
///
/// Source: Pillow, `precompute_coeffs` and `normalize_coeffs_8bpc` in `Resample.c`.
struct ResamplingWeights {
  /// First source pixel of each target pixel of the window. Never decreases.
  private(set) var starts: [Int32]
  /// Number of source pixels of each target pixel of the window.
  private(set) var counts: [Int32]
  /// [window, stride] in fixed point; a row's weights beyond its count are zero.
  private(set) var weights: [Int32]
  /// Multiple of 4, which lets the inner loop take four pixels at once.
  let stride: Int

  /// The most weights that one table may have: 256 MiB of them.
  private static let maxWeights = 1 << 26

  /// The greatest count.
  var maxCount: Int { counts.reduce(0) { max($0, Int($1)) } }

  /// Nil if the table would be too large, which takes edges of millions of pixels.
  ///
  /// - Parameters:
  ///   - source: pixels along the source's edge.
  ///   - span: the part of that edge that the target shows; nil for all of it.
  ///   - target: pixels along the whole resized edge.
  ///   - window: the part of the resized edge that is wanted.
  ///   - filter: any but `nearest`.
  init?(
    source: Int, span: SourceBox.Span? = nil, target: Int, window: Range<Int>, filter: Interpolation
  ) {
    // Pillow passes the source's edges in single precision.
    let (first, last) = span.map { ($0.start, $0.end) } ?? (0, Double(Float(source)))
    let scale = (last - first) / Double(target)
    let filterScale = max(scale, 1)
    let support = filter.support * filterScale
    guard support < Double(Self.maxWeights) else { return nil }
    let stride = (Int(support.rounded(.up)) * 2 + 1 + 3) / 4 * 4
    let (total, overflow) = stride.multipliedReportingOverflow(by: window.count)
    guard !overflow, total <= Self.maxWeights else { return nil }
    self.stride = stride
    starts = []
    counts = []
    starts.reserveCapacity(window.count)
    counts.reserveCapacity(window.count)
    weights = [Int32](repeating: 0, count: total)

    var exact = [Double](repeating: 0, count: stride)
    for (row, pixel) in window.enumerated() {
      let center = first + (Double(pixel) + 0.5) * scale
      let start = max(Int(center - support + 0.5), 0)
      let count = min(Int(center + support + 0.5), source) - start
      var sum = 0.0
      for i in 0..<count {
        let weight = filter.weight(at: (Double(i + start) - center + 0.5) * (1 / filterScale))
        exact[i] = weight
        sum += weight
      }
      for i in 0..<count {
        let normalized = sum != 0 ? exact[i] / sum : exact[i]
        let scaled = normalized * Double(1 << CCODECS_RESAMPLE_BITS)
        weights[row * stride + i] = Int32(normalized < 0 ? scaled - 0.5 : scaled + 0.5)
      }
      starts.append(Int32(start))
      counts.append(Int32(count))
    }
  }
}
