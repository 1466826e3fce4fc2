import Foundation
import Kernels
import Testing

/// A shape of windows over an image.
struct WindowCase: Sendable, CustomTestStringConvertible {
  let size, kernel, stride: Extent
  let padding: Padding

  init(_ size: (Int, Int), _ kernel: (Int, Int), _ stride: (Int, Int), _ padding: Padding? = nil) {
    self.size = Extent(height: size.0, width: size.1)
    self.kernel = Extent(height: kernel.0, width: kernel.1)
    self.stride = Extent(height: stride.0, width: stride.1)
    self.padding = padding ?? .same(size: self.size, kernel: self.kernel, stride: self.stride)
  }

  var out: Extent { size.afterWindow(kernel: kernel, stride: stride, padding: padding) }

  var testDescription: String {
    "\(size.height)x\(size.width) in \(kernel.height)x\(kernel.width) by \(stride.height)x\(stride.width)"
  }

  /// The pixels under a window with their places in it, those in the padding left out.
  func places(_ row: Int, _ column: Int) -> [(pixel: Int, place: Int)] {
    (0..<kernel.count).compactMap { place in
      let y = row * stride.height - padding.top + place / kernel.width
      let x = column * stride.width - padding.left + place % kernel.width
      guard (0..<size.height).contains(y) && (0..<size.width).contains(x) else { return nil }
      return (y * size.width + x, place)
    }
  }

  static let all = [
    WindowCase((1, 1), (1, 1), (1, 1)),
    WindowCase((9, 7), (1, 1), (1, 1)),
    WindowCase((9, 7), (1, 1), (2, 2)),
    WindowCase((14, 14), (3, 3), (1, 1)),
    WindowCase((13, 16), (3, 3), (2, 2)),  // "SAME" pads only at the bottom and right where that is enough
    WindowCase((23, 31), (7, 7), (2, 2)),
    WindowCase((5, 4), (3, 2), (2, 3), Padding(top: 0, left: 3, bottom: 2, right: 1)),
    WindowCase((2, 2), (5, 5), (1, 1), Padding(3)),
    WindowCase((11, 3), (4, 1), (3, 1), Padding(0)),
    WindowCase((2, 9), (3, 3), (1, 1), Padding(0)),  // no window fits
    WindowCase((3, 3), (2, 2), (4, 4), Padding(4)),  // windows that lie in the padding altogether
  ]
}

@Suite struct ConvolutionTests {
  private func check(_ shape: WindowCase, _ channels: Int, _ outputs: Int, gap: Int, _ compute: Compute)
    throws
  {
    var random = TestRandom()
    let input = random.matrix(shape.size.count, channels, gap: gap)
    let weight = random.matrix(outputs, shape.kernel.count * channels, gap: 1)
    let bias = random.matrix(1, outputs)
    let out = GuardedMatrix(rows: shape.out.count, columns: outputs, gap: 2) { _, _ in .nan }
    let panels = try packed(weight)
    for bias in [bias, nil] {
      compute.convolution(
        input.view, size: shape.size, weight: panels, bias: bias?.base, kernel: shape.kernel,
        stride: shape.stride, padding: shape.padding, into: out.mutableView, arena: Arena())
      var (expected, magnitudes): ([Double], [Double]) = ([], [])
      for pixel in 0..<shape.out.count {
        let places = shape.places(pixel / shape.out.width, pixel % shape.out.width)
        for output in 0..<outputs {
          var sum = bias.map { Double($0[0, output]) } ?? 0
          var magnitude = abs(sum)
          for (source, place) in places {
            for channel in 0..<channels {
              let term = Double(input[source, channel]) * Double(weight[output, place * channels + channel])
              sum += term
              magnitude += abs(term)
            }
          }
          expected.append(sum)
          magnitudes.append(magnitude)
        }
      }
      expectClose(out.values, expected) {
        LinearTests.productLimit(weight.columns, magnitude: magnitudes[$0])
      }
    }
    #expect(out.isIntact && input.isIntact && weight.isIntact)
  }

  @Test(arguments: WindowCase.all)
  func agreesWithDoublePrecision(shape: WindowCase) throws {
    try check(shape, 3, 5, gap: 0, Compute())
    try check(shape, 17, 8, gap: 3, Compute())
  }

  @Test(arguments: [2, 3, 5])
  func agreesWithDoublePrecisionOnPools(threads: Int) throws {
    let compute = Compute(pool: ThreadPool(threadCount: threads))
    for shape in WindowCase.all { try check(shape, 19, 33, gap: 1, compute) }
    try check(WindowCase((30, 29), (3, 3), (1, 1)), 40, 24, gap: 0, compute)
  }

  /// More than one block of rows on one thread.
  @Test func takesBlocksInTurn() throws {
    try check(WindowCase((27, 26), (3, 3), (1, 1)), 64, 9, gap: 0, Compute())
  }

  @Test func scratchIsABlockNotTheImage() throws {
    let size = Extent(height: 112, width: 112)
    let (input, weight) = (
      GuardedMatrix(rows: size.count, columns: 64), GuardedMatrix(rows: 8, columns: 9 * 64)
    )
    let out = GuardedMatrix(rows: size.count, columns: 8)
    let arena = Arena()
    Compute().convolution(
      input.view, size: size, weight: try packed(weight), bias: nil, kernel: Extent(height: 3, width: 3),
      stride: Extent(height: 1, width: 1), padding: Padding(1), into: out.mutableView, arena: arena)
    #expect(arena.capacity < out.rows * weight.columns / 20)
  }

  @Test(arguments: [1, 2], [1, 2, 3, 7])
  func samePaddingKeepsTheQuotient(stride: Int, kernel: Int) {
    for length in 1...20 {
      let size = Extent(height: length, width: 2 * length + 1)
      let (kernel, stride) = (Extent(height: kernel, width: kernel), Extent(height: stride, width: stride))
      let padding = Padding.same(size: size, kernel: kernel, stride: stride)
      let out = size.afterWindow(kernel: kernel, stride: stride, padding: padding)
      #expect(out.height == (size.height + stride.height - 1) / stride.height)
      #expect(out.width == (size.width + stride.width - 1) / stride.width)
      #expect(
        (0...1).contains(padding.bottom - padding.top) && (0...1).contains(padding.right - padding.left))
    }
    // timm's stem at 224: pad_same(224, 7, 2) is (2, 3).
    let stem = Padding.same(
      size: Extent(height: 224, width: 224), kernel: Extent(height: 7, width: 7),
      stride: Extent(height: 2, width: 2))
    #expect(stem == Padding(top: 2, left: 2, bottom: 3, right: 3))
  }

  @Test(arguments: WindowCase.all, [1, 3])
  func poolsMaxima(shape: WindowCase, threads: Int) {
    var random = TestRandom()
    let compute = Compute(pool: ThreadPool(threadCount: threads))
    let channels = 19
    // All below zero, so that padding that counts as zero would win; one NaN and one infinity.
    let x = random.matrix(shape.size.count, channels, gap: 1, in: -2 ... -1)
    x.base[(shape.size.count - 1) * x.stride] = .nan
    x.base[channels - 1] = -.infinity
    let out = GuardedMatrix(rows: shape.out.count, columns: channels, gap: 2) { _, _ in 7 }
    compute.maxPool(
      x.view, size: shape.size, kernel: shape.kernel, stride: shape.stride, padding: shape.padding,
      into: out.mutableView)
    for pixel in 0..<shape.out.count {
      let places = shape.places(pixel / shape.out.width, pixel % shape.out.width)
      for channel in 0..<channels {
        let values = places.map { x[$0.pixel, channel] }
        let actual = out[pixel, channel]
        if values.contains(where: { $0.isNaN }) {
          #expect(actual.isNaN)
        } else {
          #expect(actual == values.max() ?? -.infinity)
        }
      }
    }
    #expect(out.isIntact && x.isIntact)
  }
}
