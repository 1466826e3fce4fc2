/// A layer's weight [O, K] as integers, and what they are worth (docs/int8-format.md).
///
/// w[o, k] · smoothing[k] is about scales[o] · levels[o, k]. The layer's input is divided by `smoothing` in turn, which moves what
/// is hard to round from the one to the other (SmoothQuant, arXiv 2211.10438, equation 3).
public struct QuantizedWeight: Sendable, Equatable {
  /// O
  public let outputs: Int
  /// K
  public let inner: Int
  public let storage: Storage
  /// What a level of each output is worth: [O].
  public let scales: [Float]
  /// Above 0, numbers that float16 has; [K]. nil for 1.
  public var smoothing: [Float]?
  /// Calibrated levels of the layer's input; nil where they are found for each row.
  public var input: Input?

  public enum Storage: Sendable, Equatable {
    /// [O, K]
    case int8([Int8])
    /// Two of -8...7 in a byte, the lower half first, each 8 too large: [O, ceil(K / 2)]. A level is a number times the scale of its
    /// group, 1...16: [O, ceil(K / groupSize)].
    case int4(nibbles: [UInt8], groupScales: [UInt8], groupSize: Int)
  }

  /// An input x has the level x / smoothing / scale + zeroPoint, of 0...255.
  public struct Input: Sendable, Equatable {
    public let scale: Float
    public let zeroPoint: UInt8

    public init(scale: Float, zeroPoint: UInt8) {
      (self.scale, self.zeroPoint) = (scale, zeroPoint)
    }
  }

  /// 8-bit weights.
  /// - Parameter levels: [O, K].
  public init(
    outputs: Int, inner: Int, levels: [Int8], scales: [Float], smoothing: [Float]? = nil, input: Input? = nil
  ) {
    precondition(levels.count == outputs * inner && scales.count == outputs, "levels do not fit their shape")
    (self.outputs, self.inner, storage, self.scales) = (outputs, inner, .int8(levels), scales)
    (self.smoothing, self.input) = (smoothing, input)
  }

  /// 4-bit weights.
  /// - Parameters:
  ///   - numbers: [O, K], of -8...7.
  ///   - groupScales: [O, ceil(K / groupSize)], at most `QuantizationGroups.largestScale`.
  public init(
    outputs: Int, inner: Int, numbers: [Int8], groupScales: [UInt8], groupSize: Int, scales: [Float],
    smoothing: [Float]? = nil, input: Input? = nil
  ) {
    precondition(
      numbers.count == outputs * inner && scales.count == outputs, "numbers do not fit their shape")
    let rowBytes = (inner + 1) / 2
    var nibbles = [UInt8](repeating: 0x88, count: outputs * rowBytes)
    for output in 0..<outputs {
      for k in 0..<inner {
        let nibble = UInt8(truncatingIfNeeded: numbers[output * inner + k] &+ 8) & 0xF
        let place = output * rowBytes + k / 2
        nibbles[place] = k % 2 == 0 ? nibbles[place] & 0xF0 | nibble : nibbles[place] & 0x0F | nibble << 4
      }
    }
    self.init(
      outputs: outputs, inner: inner,
      storage: .int4(nibbles: nibbles, groupScales: groupScales, groupSize: groupSize), scales: scales,
      smoothing: smoothing, input: input)
  }

  init(
    outputs: Int, inner: Int, storage: Storage, scales: [Float], smoothing: [Float]?, input: Input?
  ) {
    (self.outputs, self.inner, self.storage, self.scales) = (outputs, inner, storage, scales)
    (self.smoothing, self.input) = (smoothing, input)
  }

  /// The weights as 8-bit levels, exactly: [O, K].
  public var levels: [Int8] {
    switch storage {
    case .int8(let levels): return levels
    case .int4(let nibbles, let groupScales, let groupSize):
      let (rowBytes, groups) = ((inner + 1) / 2, QuantizationGroups.count(inner, size: groupSize))
      return [Int8](unsafeUninitializedCapacity: outputs * inner) { levels, count in
        for output in 0..<outputs {
          let row = nibbles[output * rowBytes..<(output + 1) * rowBytes]
          for group in 0..<groups {
            let scale = Int8(truncatingIfNeeded: groupScales[output * groups + group])
            for k in group * groupSize..<min(inner, (group + 1) * groupSize) {
              let byte = row[row.startIndex &+ k &>> 1]
              let number = Int8(truncatingIfNeeded: k & 1 == 0 ? byte & 0xF : byte >> 4) &- 8
              levels[output &* inner &+ k] = number &* scale
            }
          }
        }
        count = outputs * inner
      }
    }
  }

  /// The weights as floats, the smoothing taken out again: [O, K].
  public func dequantize(into floats: UnsafeMutableBufferPointer<Float>) {
    precondition(floats.count == outputs * inner, "\(floats.count) floats for [\(outputs), \(inner)]")
    let levels = levels
    let inverse = smoothing.map { $0.map { 1 / $0 } }
    for output in 0..<outputs {
      let (scale, row) = (scales[output], output * inner)
      if let inverse {
        for k in 0..<inner { floats[row + k] = scale * Float(levels[row + k]) * inverse[k] }
      } else {
        for k in 0..<inner { floats[row + k] = scale * Float(levels[row + k]) }
      }
    }
  }

  /// Some of the outputs.
  public func rows(_ rows: Range<Int>) -> QuantizedWeight {
    func part<T>(_ elements: [T]) -> [T] {
      let width = elements.count / max(1, outputs)
      return Array(elements[rows.lowerBound * width..<rows.upperBound * width])
    }
    let storage: Storage =
      switch self.storage {
      case .int8(let levels): .int8(part(levels))
      case .int4(let nibbles, let groupScales, let groupSize):
        .int4(nibbles: part(nibbles), groupScales: part(groupScales), groupSize: groupSize)
      }
    return QuantizedWeight(
      outputs: rows.count, inner: inner, storage: storage, scales: part(scales), smoothing: smoothing,
      input: input)
  }

  /// Weights of layers with one input as one, 8-bit; nil where they differ in how they read it.
  public init?(stacking parts: [QuantizedWeight]) {
    guard let first = parts.first,
      parts.allSatisfy({
        $0.inner == first.inner && $0.smoothing == first.smoothing && $0.input == first.input
      })
    else { return nil }
    guard parts.count > 1 else {
      self = first
      return
    }
    self.init(
      outputs: parts.reduce(0) { $0 + $1.outputs }, inner: first.inner, levels: parts.flatMap(\.levels),
      scales: parts.flatMap(\.scales), smoothing: first.smoothing, input: first.input)
  }

  /// Bytes in a file.
  public var byteCount: Int {
    let weights =
      switch storage {
      case .int8(let levels): levels.count
      case .int4(let nibbles, let groupScales, _): nibbles.count + groupScales.count
      }
    return weights + 4 * outputs + (smoothing == nil ? 0 : 2 * inner) + (input == nil ? 0 : 5)
  }
}

extension QuantizedWeight {
  /// A tensor as it is written.
  public struct FileTensor: Sendable {
    public let info: TensorInfo
    /// Little-endian and row-major.
    public let bytes: [UInt8]
  }

  /// What stands in a file for the weight of a layer.
  /// - Parameters:
  ///   - name: of the weight, such as `blocks.0.attn.qkv.weight`.
  ///   - shape: of the weight, [O, ...].
  public func fileTensors(name: String, shape: [Int]) -> [FileTensor] {
    let names = QuantizedNames(weight: name)
    var result: [FileTensor] = []
    func add<T>(_ name: String, _ type: ScalarType, _ shape: [Int], _ values: [T]) {
      result.append(
        FileTensor(
          info: TensorInfo(name: name, type: type, shape: shape),
          bytes: values.withUnsafeBytes { Array($0) }))
    }
    switch storage {
    case .int8(let levels): add(name, .int8, shape, levels)
    case .int4(let nibbles, let groupScales, let groupSize):
      add(name, .uint8, [outputs, (inner + 1) / 2], nibbles)
      add(names.groupScale, .uint8, [outputs, QuantizationGroups.count(inner, size: groupSize)], groupScales)
    }
    add(names.scale, .float32, [outputs], scales)
    if let smoothing { add(names.smoothing, .float16, [inner], smoothing.map { Float16($0) }) }
    if let input {
      add(names.inputScale, .float32, [1], [input.scale])
      add(names.inputZeroPoint, .uint8, [1], [input.zeroPoint])
    }
    return result
  }
}

/// What the tensors beside a quantised weight are called.
struct QuantizedNames {
  static let ending = "weight"
  let weight: String

  private func sibling(_ ending: String) -> String { weight.dropLast(Self.ending.count) + ending }
  var scale: String { sibling("weight_scale") }
  var groupScale: String { sibling("weight_group_scale") }
  var smoothing: String { sibling("input_smoothing") }
  var inputScale: String { sibling("input_scale") }
  var inputZeroPoint: String { sibling("input_zero_point") }
  /// All but the weight itself.
  var siblings: [String] { [scale, groupScale, smoothing, inputScale, inputZeroPoint] }
}
