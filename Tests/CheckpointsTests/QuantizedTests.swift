import Checkpoints
import TestSupport
import Testing

@Suite struct QuantizedTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func floats(_ values: [Float]) -> [UInt8] { values.flatMap { withUnsafeBytes(of: $0, Array.init) } }

  private func open(_ tensors: [SafetensorsBuilder.Tensor]) throws -> QuantizedTensors {
    let file = try SafetensorsFile(folder.write(SafetensorsBuilder.file(tensors), to: "model.safetensors"))
    return try #require(try QuantizedTensors(file))
  }

  private func elements(_ tensors: QuantizedTensors, _ name: String) throws -> [Float] {
    let tensor = try #require(tensors.tensors[name])
    return try tensors.elements(of: tensor).withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
  }

  /// Eight bits with smoothing and calibrated levels, and two weights in a byte.
  private static func sound(groups: [UInt8] = [1, 16]) -> [SafetensorsBuilder.Tensor] {
    func bytes(_ values: [Float]) -> [UInt8] { values.flatMap { withUnsafeBytes(of: $0, Array.init) } }
    return [
      .init("a.weight", type: "I8", shape: [2, 3], bytes: [1, 2, 3, 0xFF, 0x80, 127]),
      .init("a.weight_scale", shape: [2], bytes: bytes([0.5, 2])),
      .init("a.input_smoothing", type: "F16", shape: [3], bytes: [0, 0x3C, 0, 0x40, 0, 0x38]),
      .init("a.input_scale", shape: [1], bytes: bytes([0.25])),
      .init("a.input_zero_point", type: "U8", shape: [1], bytes: [7]),
      .init(
        "b.weight", type: "U8", shape: [1, 17], bytes: [0x0F] + [UInt8](repeating: 0x88, count: 15) + [0x98]),
      .init("b.weight_scale", shape: [1], bytes: bytes([2])),
      .init("b.weight_group_scale", type: "U8", shape: [1, 2], bytes: groups),
      .init("c.bias", shape: [1], bytes: bytes([3])),
    ]
  }

  @Test func readsWeights() throws {
    let tensors = try open(Self.sound())
    #expect(Set(tensors.tensors.keys) == ["a.weight", "b.weight", "c.bias"])
    #expect(tensors.storedTensors.count == 9)
    #expect(tensors.tensors["a.weight"]?.type == .float32 && tensors.tensors["b.weight"]?.shape == [1, 34])
    // Smoothing 1, 2, 0.5.
    #expect(try elements(tensors, "a.weight") == [0.5, 0.5, 3, -2, -128, 508])
    var b = [Float](repeating: 0, count: 34)
    (b[0], b[1], b[33]) = (14, -16, 32)
    #expect(try elements(tensors, "b.weight") == b)
    #expect(try elements(tensors, "c.bias") == [3])
    let info = try #require(tensors.tensors["a.weight"])
    let a = try #require(try tensors.quantized(info))
    #expect(a.levels == [1, 2, 3, -1, -128, 127] && a.scales == [0.5, 2] && a.smoothing == [1, 2, 0.5])
    #expect(a.input == .init(scale: 0.25, zeroPoint: 7))
    let bias = try #require(tensors.tensors["c.bias"])
    #expect(try tensors.quantized(bias) == nil)
    #expect(try tensors.scheme() == .w8a8)
  }

  /// What is written is what is read, and rows and stacks are those of the whole.
  @Test func comesBackFromAFile() throws {
    var random = SplitMix64(state: 5)
    for (outputs, inner, groupSize) in [(6, 64, 32), (3, 70, 64), (4, 7, 32)] {
      let numbers = (0..<outputs * inner).map { _ in Int8.random(in: -8...7, using: &random) }
      let groups = (0..<outputs * QuantizationGroups.count(inner, size: groupSize)).map { _ in
        UInt8.random(in: 1...16, using: &random)
      }
      let scales = (0..<outputs).map { _ in Float.random(in: 0.001...1, using: &random) }
      let smoothing = (0..<inner).map { _ in Float(Float16(Float.random(in: 0.1...9, using: &random))) }
      let four = QuantizedWeight(
        outputs: outputs, inner: inner, numbers: numbers, groupScales: groups, groupSize: groupSize,
        scales: scales, smoothing: smoothing)
      let eight = QuantizedWeight(
        outputs: outputs, inner: inner, levels: four.levels, scales: scales,
        input: .init(scale: 0.1, zeroPoint: 200))
      for weight in inner % 2 == 0 ? [four, eight] : [eight] {
        let parts = weight.fileTensors(name: "x.weight", shape: [outputs, inner])
        let written = parts.map { part in
          SafetensorsBuilder.Tensor(
            part.info.name, type: part.info.type.rawValue, shape: part.info.shape, bytes: part.bytes)
        }
        let tensors = try open(written)
        let info = try #require(tensors.tensors["x.weight"])
        #expect(try tensors.quantized(info) == weight)
        #expect(weight.byteCount == parts.reduce(0) { $0 + $1.bytes.count })
        let halves = [weight.rows(0..<1), weight.rows(1..<outputs)]
        #expect(QuantizedWeight(stacking: halves)?.levels == weight.levels)
      }
    }
  }

  private func failure(_ change: (inout [SafetensorsBuilder.Tensor]) -> Void) throws -> String {
    var tensors = Self.sound()
    change(&tensors)
    let error = try #require(throws: CheckpointError.self) {
      let tensors = try open(tensors)
      for tensor in tensors.tensors.values { _ = try tensors.elements(of: tensor) }
    }
    return "\(error)"
  }

  private func index(_ name: String) throws -> Int {
    try #require(Self.sound().firstIndex { $0.name == name })
  }

  @Test func refusesWhatDoesNotFit() throws {
    let (scale, smoothing) = (try index("a.weight_scale"), try index("a.input_smoothing"))
    let (group, four) = (try index("b.weight_group_scale"), try index("b.weight"))
    let inputScale = try index("a.input_scale")
    #expect(
      try failure { $0[scale] = .init("a.weight_scale", shape: [3], bytes: floats([1, 1, 1])) }.hasSuffix(
        "tensor \"a.weight_scale\" has shape [3], expected [2]"))
    #expect(
      try failure { $0[scale] = .init("a.weight_scale", shape: [2], bytes: floats([1, .nan])) }.contains(
        "NaN"))
    #expect(
      try failure { $0[smoothing] = .init("a.input_smoothing", shape: [3], bytes: floats([1, 0, 1])) }
        .contains(
          "not above 0"))
    #expect(
      try failure { $0[inputScale] = .init("a.input_scale", shape: [1], bytes: floats([-1])) }.contains(
        "not above 0"))
    #expect(
      try failure { $0[scale] = .init("a.weight_scale", type: "I8", shape: [2], bytes: [1, 1]) }.contains(
        "of type I8, expected BF16 or F16 or F32"))
    #expect(
      try failure {
        $0[group] = .init("b.weight_group_scale", type: "U8", shape: [1, 3], bytes: [1, 1, 1])
      }.contains("no scale for groups of 32 or 64"))
    #expect(try failure { $0.remove(at: group) }.contains("\"b.weight_group_scale\" is missing"))
    #expect(try failure { $0[group].bytes = [1, 17] }.contains("a scale that is not 1 to 16"))
    #expect(try failure { $0[group].bytes = [0, 1] }.contains("a scale that is not 1 to 16"))
    #expect(try failure { $0.remove(at: scale) }.contains("\"a.weight_scale\" is missing"))
    #expect(
      try failure { $0.removeAll { $0.name == "a.input_zero_point" } }.contains(
        "\"a.input_zero_point\" is missing"))
    #expect(try failure { $0.remove(at: inputScale) }.contains("\"a.input_scale\" is missing"))
    #expect(try failure { $0[four].shape = [17] }.contains("b.weight_group_scale"))
  }
}
