import CCodecs

/// Resizes as `Image.resize` of Pillow 13 does, byte for byte: one pass along the rows and one along the
/// columns, each rounded to 8 bits, a pass that changes nothing left out.
///
/// Only a window of the resized image is computed, so that what a crop throws away costs neither time nor
/// memory. All unsafe memory of resampling lives here.
package struct Resampler {
  /// Size of the whole resized image.
  let target: ImageSize
  /// The part that is wanted, in pixels of the resized image.
  package let rows: Range<Int>
  package let columns: Range<Int>
  let interpolation: Interpolation
  /// The part of the image that is resized; nil for all of it.
  let box: SourceBox?
  /// The inner loops; tests hold one set against the other.
  package var kernels = ccodecs_resample_kernels_best()

  /// A window of `image.resize(target, interpolation)`.
  package init(target: ImageSize, rows: Range<Int>, columns: Range<Int>, interpolation: Interpolation) {
    self.init(target: target, rows: rows, columns: columns, interpolation: interpolation, box: nil)
  }

  init(
    target: ImageSize, rows: Range<Int>, columns: Range<Int>, interpolation: Interpolation, box: SourceBox?
  ) {
    self.box = box
    self.target = target
    self.rows = rows
    self.columns = columns
    self.interpolation = interpolation
  }

  /// Working memory beyond this is refused; a photograph takes some kilobytes.
  private static let maxScratchBytes = 1 << 30

  /// Bytes behind a row that the inner loop may read.
  private static let readAhead = 16

  /// Writes the window.
  ///
  /// - Parameters:
  ///   - image: what is resized.
  ///   - output: uint8 [rows.count, \*, 3] with `stride` bytes from row to row.
  ///   - stride: at least `columns.count * 3`.
  /// - Throws: ``ImageError/resizeTooExtreme(from:to:)``.
  package func write(
    _ image: Image, to output: UnsafeMutableBufferPointer<UInt8>, stride: Int
  ) throws(ImageError) {
    guard !rows.isEmpty, !columns.isEmpty, let base = output.baseAddress else { return }
    precondition(rows.upperBound <= target.height && columns.upperBound <= target.width)
    precondition(stride >= columns.count * 3 && output.count >= (rows.count - 1) * stride + columns.count * 3)
    let isDone = image.pixels.withUnsafeBufferPointer { pixels in
      let source = Source(pixels: pixels, width: image.width, height: image.height)
      let output = Output(base: base, stride: stride)
      let hasBox = box != nil
      return switch (hasBox || target.width != image.width, hasBox || target.height != image.height) {
      case (false, false): copy(source, to: output)
      case _ where interpolation == .nearest: pick(source, to: output)
      case (true, false): resizeHorizontally(source, to: output)
      case (false, true): resizeVertically(source, to: output)
      case (true, true) where isVerticalFirst(image): resizeVerticallyFirst(source, to: output)
      case (true, true): resizeHorizontallyFirst(source, to: output)
      }
    }
    guard isDone else { throw .resizeTooExtreme(from: image.size, to: target) }
  }

  private struct Source {
    let pixels: UnsafeBufferPointer<UInt8>
    let width: Int
    let height: Int

    func row(_ y: Int) -> UnsafePointer<UInt8>? { pixels.baseAddress.map { $0 + y * width * 3 } }
  }

  private struct Output {
    let base: UnsafeMutablePointer<UInt8>
    let stride: Int

    func row(_ y: Int) -> UnsafeMutablePointer<UInt8> { base + y * stride }
  }

  /// Pillow 13 takes the columns first where that removes more than twice as many rows as columns. The order
  /// shows in the last bit. Up to Pillow 12 the rows always came first.
  private func isVerticalFirst(_ image: Image) -> Bool {
    let fewerRows = image.height - target.height
    let fewerColumns = image.width - target.width
    return fewerRows > 0 && fewerRows > 2 * fewerColumns
  }

  // MARK: Passes

  private func copy(_ source: Source, to output: Output) -> Bool {
    for (index, y) in rows.enumerated() {
      guard let row = source.row(y) else { return false }
      output.row(index).update(from: row + columns.lowerBound * 3, count: columns.count * 3)
    }
    return true
  }

  private func pick(_ source: Source, to output: Output) -> Bool {
    let sourceColumns = Self.nearest(source: source.width, target: target.width, window: columns)
    let sourceRows = Self.nearest(source: source.height, target: target.height, window: rows)
    for (index, y) in sourceRows.enumerated() {
      guard let row = source.row(y) else { return false }
      var pixel = output.row(index)
      for x in sourceColumns {
        pixel.update(from: row + x * 3, count: 3)
        pixel += 3
      }
    }
    return true
  }

  /// Pillow's affine transform: positions are summed up step by step, with the errors that this brings.
  private static func nearest(source: Int, target: Int, window: Range<Int>) -> [Int] {
    let step = Double(Float(source)) / Double(target)
    var position = step * 0.5
    var result: [Int] = []
    result.reserveCapacity(window.count)
    for index in 0..<window.upperBound {
      if index >= window.lowerBound { result.append(min(Int(position), source - 1)) }
      position += step
    }
    return result
  }

  private func resizeHorizontally(_ source: Source, to output: Output) -> Bool {
    guard let weights = weights(columns, of: box?.columns, from: source.width, to: target.width) else {
      return false
    }
    var pass = HorizontalPass(source: source, weights: weights, kernel: kernels.horizontal)
    for (index, y) in rows.enumerated() {
      pass.resize(row: y, to: output.row(index))
    }
    return true
  }

  private func resizeVertically(_ source: Source, to output: Output) -> Bool {
    guard let weights = weights(rows, of: box?.rows, from: source.height, to: target.height) else {
      return false
    }
    var taps = [UnsafePointer<UInt8>?](repeating: nil, count: weights.maxCount)
    for index in 0..<rows.count {
      let (start, count) = (Int(weights.starts[index]), Int(weights.counts[index]))
      for tap in 0..<count {
        taps[tap] = source.row(start + tap).map { $0 + columns.lowerBound * 3 }
      }
      sum(
        taps, count: count, weights: weights, index: index, to: output.row(index), length: columns.count * 3)
    }
    return true
  }

  private func resizeHorizontallyFirst(_ source: Source, to output: Output) -> Bool {
    guard let horizontal = weights(columns, of: box?.columns, from: source.width, to: target.width),
      let vertical = weights(rows, of: box?.rows, from: source.height, to: target.height)
    else { return false }
    // A row that has been resized horizontally is kept until the last row that needs it is written.
    let kept = vertical.maxCount
    let rowLength = columns.count * 3
    guard kept <= Self.maxScratchBytes / rowLength else { return false }
    var pass = HorizontalPass(source: source, weights: horizontal, kernel: kernels.horizontal)
    var taps = [UnsafePointer<UInt8>?](repeating: nil, count: kept)
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: kept * rowLength) { ring in
      guard let ring = ring.baseAddress else { return }
      var next = 0
      for index in 0..<rows.count {
        let (start, count) = (Int(vertical.starts[index]), Int(vertical.counts[index]))
        next = max(next, start)
        while next < start + count {
          pass.resize(row: next, to: ring + next % kept * rowLength)
          next += 1
        }
        for tap in 0..<count {
          taps[tap] = UnsafePointer(ring + (start + tap) % kept * rowLength)
        }
        sum(taps, count: count, weights: vertical, index: index, to: output.row(index), length: rowLength)
      }
    }
    return true
  }

  private func resizeVerticallyFirst(_ source: Source, to output: Output) -> Bool {
    guard let horizontal = weights(columns, of: box?.columns, from: source.width, to: target.width),
      let vertical = weights(rows, of: box?.rows, from: source.height, to: target.height),
      let firstColumn = horizontal.starts.first, let lastStart = horizontal.starts.last,
      let lastCount = horizontal.counts.last, source.width <= Self.maxScratchBytes / 3
    else { return false }
    // Of each row only the columns are summed that the window needs.
    let offset = Int(firstColumn) * 3
    let length = Int(lastStart + lastCount) * 3 - offset
    let pass = HorizontalPass(source: source, weights: horizontal, kernel: kernels.horizontal)
    var taps = [UnsafePointer<UInt8>?](repeating: nil, count: vertical.maxCount)
    var summed = [UInt8](repeating: 0, count: source.width * 3 + Self.readAhead)
    summed.withUnsafeMutableBufferPointer { summed in
      guard let summed = summed.baseAddress else { return }
      for index in 0..<rows.count {
        let (start, count) = (Int(vertical.starts[index]), Int(vertical.counts[index]))
        for tap in 0..<count {
          taps[tap] = source.row(start + tap).map { $0 + offset }
        }
        sum(taps, count: count, weights: vertical, index: index, to: summed + offset, length: length)
        pass.run(summed, to: output.row(index))
      }
    }
    return true
  }

  // MARK: Parts of passes

  private func weights(
    _ window: Range<Int>, of span: SourceBox.Span?, from source: Int, to target: Int
  ) -> ResamplingWeights? {
    ResamplingWeights(source: source, span: span, target: target, window: window, filter: interpolation)
  }

  private func sum(
    _ taps: [UnsafePointer<UInt8>?], count: Int, weights: ResamplingWeights, index: Int,
    to output: UnsafeMutablePointer<UInt8>, length: Int
  ) {
    weights.weights.withUnsafeBufferPointer { table in
      guard let table = table.baseAddress else { return }
      kernels.vertical(taps, table + index * weights.stride, count, output, length)
    }
  }

  private struct HorizontalPass {
    let source: Source
    let weights: ResamplingWeights
    let kernel: ccodecs_resample_horizontal
    /// A copy of one of the last rows, behind which there is nothing to read.
    var guarded: [UInt8] = []

    mutating func resize(row y: Int, to output: UnsafeMutablePointer<UInt8>) {
      let (start, length) = (y * source.width * 3, source.width * 3)
      if start + length + Resampler.readAhead <= source.pixels.count {
        run(source.row(y), to: output)
      } else {
        guarded.removeAll(keepingCapacity: true)
        guarded.append(contentsOf: source.pixels[start..<start + length])
        guarded.append(contentsOf: repeatElement(0, count: Resampler.readAhead))
        guarded.withUnsafeBufferPointer { run($0.baseAddress, to: output) }
      }
    }

    /// Resizes a row behind which ``Resampler/readAhead`` bytes may be read.
    func run(_ row: UnsafePointer<UInt8>?, to output: UnsafeMutablePointer<UInt8>) {
      kernel(
        row, output, weights.starts.count, weights.starts, weights.counts, weights.weights, weights.stride)
    }
  }
}
