extension Compute {
  /// Floats of unfolded input computed at a time and thread, see `convolution`.
  static let unfoldedBlock = 128 * 1024

  /// Two-dimensional convolution (cross-correlation, as in PyTorch's `conv2d`), channels last.
  ///
  /// The input is unfolded (im2col), a block of output pixels at a time so that it stays in cache, and multiplied by the weight.
  /// - Parameters:
  ///   - input: pixels [h·w, Cin], row by row.
  ///   - size: h and w.
  ///   - weight: [Cout, kh·kw·Cin] in fp32, its columns in the order kernel row, kernel column, channel.
  ///   - bias: [Cout]; nil for none.
  ///   - kernel: kh and kw.
  ///   - stride: pixels between the starts of two windows.
  ///   - padding: zeros around the input, in pixels.
  ///   - out: [h'·w', Cout], with h' and w' from `Extent.afterWindow`.
  ///   - arena: scratch for the unfolded input of a block for each thread.
  public func convolution(
    _ input: MatrixView, size: Extent, weight: PackedMatrix, bias: UnsafePointer<Float>?, kernel: Extent,
    stride: Extent, padding: Padding, into out: MutableMatrixView, arena: Arena
  ) {
    let windows = Windows(input, size, kernel, stride, padding, out.rows, "convolution")
    let inner = kernel.count * input.columns
    precondition(
      weight.inner == inner && weight.outputs == out.columns,
      """
      convolution: \(kernel.height)x\(kernel.width) windows of \(input.columns) channels and weight \
      [\(weight.outputs), \(weight.inner)] do not fit \(out.columns) channels
      """)
    if windows.isIdentity {
      linear(input, weight: weight, bias: bias, into: .store(out), arena: arena)
      return
    }
    guard out.rows > 0 && out.columns > 0 else { return }
    let bias = SharedVector(bias)
    let pool = 2 * out.rows * out.columns * inner >= Cost.ofSplitting ? pool : nil
    let threads = pool?.threadCount ?? 1
    // As many pixels as fit a block, but enough to pay for reading the weight again, and two pieces of work for each thread at
    // least.
    let blocks = max(
      ceilingOfQuotient(out.rows, max(128, Compute.unfoldedBlock / max(1, inner))),
      threads > 1 ? min(out.rows, 2 * threads) : 1)
    let blockRows = ceilingOfQuotient(out.rows, blocks)

    arena.scope {
      let scratch = arena.spacedMatrix(rows: threads * blockRows, columns: inner)
      let run = { @Sendable (block: Int, lane: Int) in
        let start = min(out.rows, block * blockRows)
        let pixels = start..<min(out.rows, start + blockRows)
        let unfolded = scratch[lane * blockRows..<lane * blockRows + pixels.count, 0..<inner]
        windows.unfold(input, pixels, into: unfolded)
        Compute().linear(
          ProductRows(unfolded.view), weight: weight, bias: bias.base,
          into: .store(out[pixels, 0..<out.columns]))
      }
      if let pool {
        pool.forEachLane(blocks, run)
      } else {
        for block in 0..<blocks { run(block, 0) }
      }
    }
  }

  /// The largest value of each window, channel by channel; padding counts as -inf, and NaN spreads over its windows.
  /// - Parameters:
  ///   - x: pixels [h·w, C], row by row.
  ///   - size: h and w.
  ///   - kernel: height and width of a window.
  ///   - stride: pixels between the starts of two windows.
  ///   - padding: pixels around the input.
  ///   - out: [h'·w', C], with h' and w' from `Extent.afterWindow`.
  public func maxPool(
    _ x: MatrixView, size: Extent, kernel: Extent, stride: Extent, padding: Padding,
    into out: MutableMatrixView
  ) {
    let windows = Windows(x, size, kernel, stride, padding, out.rows, "maxPool")
    precondition(
      x.columns == out.columns, "maxPool: \(x.columns) channels do not fit \(out.columns)")
    split(windows.out.height, work: out.rows * out.columns * kernel.count) { rows in
      for row in rows { windows.maximum(of: x, row: row, into: out) }
    }
  }
}

/// Where the windows of a convolution or a pooling lie.
private struct Windows: Sendable {
  let size, kernel, stride: Extent
  let padding: Padding
  /// h' and w'
  let out: Extent

  init(
    _ input: MatrixView, _ size: Extent, _ kernel: Extent, _ stride: Extent, _ padding: Padding,
    _ outputPixels: Int, _ operation: StaticString
  ) {
    precondition(
      input.rows == size.count,
      "\(operation): \(input.rows) pixels are not \(size.height) rows of \(size.width)")
    (self.size, self.kernel, self.stride, self.padding) = (size, kernel, stride, padding)
    out = size.afterWindow(kernel: kernel, stride: stride, padding: padding)
    precondition(
      outputPixels == out.count,
      "\(operation): \(out.height) rows of \(out.width) pixels do not fit \(outputPixels)")
  }

  /// Whether each window is the pixel itself.
  var isIdentity: Bool {
    let single = Extent(height: 1, width: 1)
    return kernel == single && stride == single && padding == Padding(0)
  }

  /// The windows of the output `pixels` as rows [pixels, kh·kw·Cin].
  func unfold(_ input: MatrixView, _ pixels: Range<Int>, into unfolded: MutableMatrixView) {
    let channels = input.columns
    for (index, pixel) in pixels.enumerated() {
      let (row, column) = pixel.quotientAndRemainder(dividingBy: out.width)
      let (top, left) = (row * stride.height - padding.top, column * stride.width - padding.left)
      // Columns of the window: first those left of the image, then those inside.
      let before = min(kernel.width, max(0, -left))
      let inside = max(0, min(kernel.width, size.width - left) - before)
      var target = unfolded.base + index * unfolded.rowStride
      for y in top..<top + kernel.height {
        if y < 0 || y >= size.height {
          target.update(repeating: 0, count: kernel.width * channels)
        } else {
          target.update(repeating: 0, count: before * channels)
          input.copyRows(y * size.width + left + before, count: inside, into: target + before * channels)
          let end = before + inside
          (target + end * channels).update(repeating: 0, count: (kernel.width - end) * channels)
        }
        target += kernel.width * channels
      }
    }
  }

  /// One row of a pooling's output: the kernel's places one after the other, each with all windows whose place lies inside.
  func maximum(of x: MatrixView, row: Int, into target: MutableMatrixView) {
    for pixel in row * out.width..<(row + 1) * out.width {
      target.row(pixel).update(repeating: -.infinity)
    }
    for kernelRow in 0..<kernel.height {
      let y = row * stride.height - padding.top + kernelRow
      guard y >= 0 && y < size.height else { continue }
      for kernelColumn in 0..<kernel.width {
        // Windows w with 0 <= w * stride + offset < width.
        let offset = kernelColumn - padding.left
        let first = offset >= 0 ? 0 : ceilingOfQuotient(-offset, stride.width)
        let end = min(
          out.width, offset >= size.width ? 0 : ceilingOfQuotient(size.width - offset, stride.width))
        guard first < end else { continue }
        let source = y * size.width + first * stride.width + offset
        Operations.active.maximum(
          target.base + (row * out.width + first) * target.rowStride, target.rowStride,
          x.base + source * x.rowStride, stride.width * x.rowStride, end - first, x.columns)
      }
    }
  }
}

extension MatrixView {
  /// Copies `count` whole rows, without gaps between them.
  fileprivate func copyRows(_ first: Int, count: Int, into target: UnsafeMutablePointer<Float>) {
    guard count > 0 else { return }
    if rowStride == columns {
      target.update(from: base + first * columns, count: count * columns)
    } else {
      for index in 0..<count {
        (target + index * columns).update(from: base + (first + index) * rowStride, count: columns)
      }
    }
  }
}
