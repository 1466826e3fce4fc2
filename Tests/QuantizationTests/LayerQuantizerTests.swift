import Checkpoints
import Kernels
import Quantization
import TestSupport
import Testing

/// Layers by themselves: what becomes of their weights, and of what goes in.
@Suite struct LayerQuantizerTests {
  private static let (outputs, inner, rows) = (24, 96, 300)

  /// Inputs that depend on one another, with some columns far larger than the others, as real networks have them.
  private static func inputs(seed: UInt64) -> [[Float]] {
    var random = SplitMix64(state: seed)
    let factors = (0..<8).map { _ in (0..<inner).map { _ in Float.random(in: -1...1, using: &random) } }
    return (0..<rows).map { _ in
      let shares = factors.map { _ in Float.random(in: -1...1, using: &random) }
      return (0..<inner).map { k in
        let common = zip(shares, factors).reduce(0) { $0 + $1.0 * $1.1[k] }
        return (common + Float.random(in: -0.3...0.3, using: &random)) * (k % 31 == 5 ? 40 : 1)
      }
    }
  }

  /// - Parameter images: from which the rows are, in turns.
  private static func samples(_ inputs: [[Float]], images: Int = 10) -> LayerSamples {
    var samples = LayerSamples(inner: inner)
    for (index, row) in inputs.enumerated() {
      row.withUnsafeBufferPointer {
        samples.see($0, ofImage: index % images)
        samples.keep($0, ofImage: index % images)
      }
    }
    return samples
  }

  private static func weight(seed: UInt64) -> [Float] {
    var random = SplitMix64(state: seed)
    return (0..<outputs * inner).map { _ in Float.random(in: -0.1...0.1, using: &random) }
  }

  private func quantized(
    _ weight: [Float], _ samples: LayerSamples?, _ change: (inout QuantizationOptions) -> Void
  ) throws -> QuantizedLayer {
    var options = QuantizationOptions()
    change(&options)
    return try LayerQuantizer(options: options).quantize(
      .init(
        name: "layer", weight: weight, bias: [Float](repeating: 0, count: Self.outputs),
        outputs: Self.outputs,
        inner: Self.inner, samples: samples, isInBlock: true))
  }

  private static func dequantized(_ weight: QuantizedWeight) -> [Float] {
    [Float](unsafeUninitializedCapacity: weight.outputs * weight.inner) { floats, count in
      count = weight.outputs * weight.inner
      weight.dequantize(into: UnsafeMutableBufferPointer(rebasing: floats[..<count]))
    }
  }

  /// Without anything that looks at inputs, a weight is off by half a level at most.
  @Test func eightBitsAreTheNearest() throws {
    let weight = Self.weight(seed: 1)
    let layer = try quantized(weight, nil) { _ in }
    let found = Self.dequantized(layer.weight)
    for output in 0..<Self.outputs {
      let row = output * Self.inner..<(output + 1) * Self.inner
      let largest = weight[row].reduce(0) { max($0, abs($1)) }
      for index in row { #expect(abs(found[index] - weight[index]) <= largest / 127 * 0.5001) }
    }
  }

  /// Each means does what it is for: less error than without it.
  @Test func smoothingAndCompensationHelp() throws {
    let (weight, samples) = (Self.weight(seed: 2), Self.samples(Self.inputs(seed: 3)))
    func noise(_ change: (inout QuantizationOptions) -> Void) throws -> Double {
      try #require(try quantized(weight, samples, change).noise)
    }
    func plainly(_ options: inout QuantizationOptions) {
      (options.smooths, options.compensates, options.correctsBiases) = (false, false, false)
    }
    let plain = try noise(plainly)
    let smoothed = try noise {
      plainly(&$0)
      $0.smooths = true
    }
    #expect(smoothed < 0.5 * plain, "\(smoothed), \(plain)")
    let four = try noise {
      plainly(&$0)
      $0.scheme = .w4
    }
    let compensated = try noise {
      plainly(&$0)
      ($0.scheme, $0.compensates) = (.w4, true)
    }
    #expect(compensated < 0.8 * four && plain < four, "\(compensated), \(four), \(plain)")
  }

  /// Levels that were calibrated lose more than those of each row, but not much where no input is far from the others.
  @Test(arguments: RangeObserver.allCases) func calibratedLevels(_ observer: RangeObserver) throws {
    let layer = try quantized(Self.weight(seed: 4), Self.samples(Self.inputs(seed: 5))) {
      ($0.scheme, $0.observer) = (.w8a8Static, observer)
    }
    #expect(layer.weight.input != nil)
    let ratio = try #require(layer.signalToNoise)
    #expect(ratio > 30)
  }

  /// A range counts by what it is worth to images that it was not taken from: where some have rows far beyond those of the others, more of
  /// the range is kept than the error on the very same images would have it.
  @Test func rangesHoldForOtherImages() throws {
    var inputs = Self.inputs(seed: 10)
    for index in stride(from: 1, to: 40, by: 20) { inputs[index] = inputs[index].map { 30 * $0 } }
    func scale(images: Int) throws -> Float {
      let layer = try quantized(Self.weight(seed: 11), Self.samples(inputs, images: images)) {
        ($0.scheme, $0.observer, $0.smooths) = (.w8a8Static, .mse, false)
      }
      return try #require(layer.weight.input).scale
    }
    // With one image there is nothing to try a range on but itself.
    let (crosswise, alone) = (try scale(images: 10), try scale(images: 1))
    #expect(crosswise > alone, "\(crosswise), \(alone)")
  }

  @Test(arguments: QuantizationGroups.sizes) func fourBits(_ groupSize: Int) throws {
    let layer = try quantized(Self.weight(seed: 6), Self.samples(Self.inputs(seed: 7))) {
      ($0.scheme, $0.groupSize) = (.w4, groupSize)
    }
    guard case .int4(_, let groupScales, let size) = layer.weight.storage else {
      Issue.record("not 4-bit")
      return
    }
    #expect(
      size == groupSize
        && groupScales.count == Self.outputs * QuantizationGroups.count(Self.inner, size: size))
    #expect(groupScales.allSatisfy { (1...QuantizationGroups.largestScale).contains($0) })
    let ratio = try #require(layer.signalToNoise)
    #expect(ratio > 18)
  }

  /// A bias takes up what inputs of one sign lose.
  @Test func biasesTakeUpTheMean() throws {
    let inputs = Self.inputs(seed: 8).map { $0.map { abs($0) + 1 } }
    let weight = Self.weight(seed: 9)
    let layer = try quantized(weight, Self.samples(inputs)) {
      ($0.scheme, $0.smooths, $0.compensates) = (.w4, false, false)
    }
    let without = try quantized(weight, Self.samples(inputs)) {
      ($0.scheme, $0.smooths, $0.compensates, $0.correctsBiases) = (.w4, false, false, false)
    }
    #expect(layer.bias != nil && without.bias == nil)
    let (left, all) = (try #require(layer.noise), try #require(without.noise))
    #expect(left < 0.9 * all)
  }

  /// Channels of zeros, of one value, and of the smallest and the largest numbers; columns that are never used, and inputs that never
  /// change.
  @Test(arguments: QuantizationScheme.allCases) func extremeChannelsSurvive(_ scheme: QuantizationScheme)
    throws
  {
    var weight = Self.weight(seed: 10)
    let extremes: [Float] = [0, 1, -1, 1e-38, -0x1p-140, 1e30, 0.5, 3e38]
    for (output, value) in extremes.enumerated() {
      for k in 0..<Self.inner { weight[output * Self.inner + k] = value }
    }
    for output in 0..<Self.outputs { weight[output * Self.inner + 3] = 0 }
    for inputs in [
      Self.inputs(seed: 11), Self.inputs(seed: 11).map { row in row.indices.map { $0 == 9 ? 0 : row[$0] } },
      [[Float]](repeating: [Float](repeating: 0, count: Self.inner), count: 20),
      [[Float]](repeating: [Float](repeating: 2, count: Self.inner), count: 20),
    ] {
      let layer = try quantized(weight, Self.samples(inputs)) { $0.scheme = scheme }
      let found = Self.dequantized(layer.weight)
      #expect(found.allSatisfy { $0.isFinite } && layer.bias?.allSatisfy { $0.isFinite } ?? true)
      #expect(layer.signalToNoise?.isFinite ?? true)
      for k in 0..<Self.inner {
        #expect(found[k] == 0)
        #expect(k == 3 || abs(found[Self.inner + k] - 1) < (scheme == .w4 ? 0.3 : 0.1))
      }
    }
  }
}

@Suite struct ErrorCompensationTests {
  /// L · Lᵀ is the matrix, and L times its inverse is 1: over the edges of blocks.
  @Test(arguments: [1, 5, 64, 65, 150, 330]) func factorizes(n: Int) throws {
    var random = SplitMix64(state: 12)
    let arena = Arena()
    let x = FloatMatrix(
      (0..<2 * n * n).map { _ in Float.random(in: -1...1, using: &random) }, rows: 2 * n, columns: n)
    let a = FloatMatrix(rows: n, columns: n)
    Compute.multiply(.transposed(x.view), .asIs(x.view), into: a.mutable, arena: arena)
    for k in 0..<n { a[k, k] += 0.1 }
    let l = FloatMatrix(rows: n, columns: n)
    l.mutable.copy(from: a.view)
    #expect(Triangular.factorize(l, arena: arena))
    let inverse = Triangular.inverse(of: l, arena: arena)
    for row in 0..<n {
      for column in 0...row {
        let product = (0...column).reduce(0.0) { $0 + Double(l[row, $1]) * Double(l[column, $1]) }
        #expect(abs(product - Double(a[row, column])) < 1e-3 * Double(n))
        let identity = (column...row).reduce(0.0) { $0 + Double(l[row, $1]) * Double(inverse[$1, column]) }
        #expect(abs(identity - (row == column ? 1 : 0)) < 1e-3)
      }
    }
    withExtendedLifetime((x, a, l, inverse)) {}
  }

  @Test func refusesWhatHasNoRoot() {
    let indefinite = FloatMatrix([1, 2, 2, 1], rows: 2, columns: 2)
    #expect(!Triangular.factorize(indefinite, arena: Arena()))
    let products = FloatMatrix([.nan, 1, 1, 1], rows: 2, columns: 2)
    #expect(ErrorCompensation(products: products, arena: Arena()) == nil)
  }
}
