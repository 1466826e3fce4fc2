import SystemPackage

/// The tensors of a file in which some weights are integers: each of these as float32, dequantised where somebody reads it, and as the
/// integers for those who can use them.
///
/// A weight `NAME.weight` of type I8, or of U8 where two lie in a byte, with `NAME.weight_scale` beside it is one
/// (docs/int8-format.md).
public struct QuantizedTensors: TensorContainer {
  /// The container as it is.
  private let stored: any TensorContainer
  public let tensors: [String: TensorInfo]
  private let groupSizes: [String: Int]

  public var format: String { stored.format }
  public var unreadable: [String: String] { stored.unreadable }
  public var metadata: [String: String] { stored.metadata }
  public var storedTensors: [TensorInfo] { stored.storedTensors }

  /// The key of the scheme's name in the metadata.
  public static let schemeKey = "quantization"

  /// - Returns: nil where no weight is quantised.
  /// - Throws: `CheckpointError` where what stands beside a quantised weight does not fit it.
  public init?(_ stored: any TensorContainer) throws(CheckpointError) {
    var tensors = stored.tensors
    var groupSizes: [String: Int] = [:]
    var isQuantized = false
    for (name, tensor) in stored.tensors where name.hasSuffix(".\(QuantizedNames.ending)") {
      let names = QuantizedNames(weight: name)
      guard tensor.type == .int8 || tensor.type == .uint8 else { continue }
      guard stored.tensors[names.scale] != nil else {
        // Vectors of bytes may be anything.
        guard tensor.shape.count >= 2 else { continue }
        throw .missingTensor(path: stored.path(of: tensor), tensor: names.scale)
      }
      isQuantized = true
      var shape = tensor.shape
      if tensor.type == .uint8 {
        let (inner, groupSize) = try Self.groups(of: tensor, names, stored)
        shape[1] = inner
        groupSizes[name] = groupSize
      }
      tensors[name] = TensorInfo(name: name, type: .float32, shape: shape)
      try Self.check(tensor, shape: shape, names, stored)
      for sibling in names.siblings { tensors[sibling] = nil }
    }
    guard isQuantized else { return nil }
    (self.stored, self.tensors, self.groupSizes) = (stored, tensors, groupSizes)
  }

  /// The scheme that the file names; `w8a8` where it names none.
  /// - Throws: `CheckpointError.malformed` for a name that is not known.
  public func scheme() throws(CheckpointError) -> QuantizationScheme {
    guard let name = metadata[Self.schemeKey] else { return .w8a8 }
    guard let scheme = QuantizationScheme(rawValue: name) else {
      let known = QuantizationScheme.allCases.map(\.rawValue).joined(separator: ", ")
      let path = tensors.values.first.map { stored.path(of: $0) } ?? ""
      throw .malformed(path: path, reason: "quantised as \"\(name)\", which is none of \(known)")
    }
    return scheme
  }

  public var mappedFiles: [MappedFile] { stored.mappedFiles }
  public func path(of tensor: TensorInfo) -> FilePath { stored.path(of: storedTensor(tensor)) }

  public func elements(of tensor: TensorInfo) throws(CheckpointError) -> TensorElements {
    guard let weight = try quantized(tensor) else { return try stored.elements(of: storedTensor(tensor)) }
    let buffer = try ByteBuffer(count: 4 * tensor.count, path: path(of: tensor)) {
      bytes throws(CheckpointError) in
      weight.dequantize(into: bytes.bindMemory(to: Float.self))
    }
    return TensorElements(buffer.bytes, owner: buffer)
  }

  public func quantized(_ tensor: TensorInfo) throws(CheckpointError) -> QuantizedWeight? {
    let stored = storedTensor(tensor)
    guard stored != tensor, let outputs = tensor.shape.first else { return nil }
    let names = QuantizedNames(weight: tensor.name)
    let inner = tensor.shape.dropFirst().reduce(1, *)
    let scales = try floats(names.scale) ?? []
    let smoothing = try floats(names.smoothing)
    var input: QuantizedWeight.Input?
    if let scale = try floats(names.inputScale)?.first {
      input = .init(scale: scale, zeroPoint: try bytes(names.inputZeroPoint, as: UInt8.self)?.first ?? 0)
    }
    for (name, values) in [
      (names.smoothing, smoothing ?? []), (names.inputScale, (input?.scale).map { [$0] } ?? []),
    ] where !values.allSatisfy({ $0 > 0 && $0.isFinite && (1 / $0).isFinite }) {
      throw malformed(name, "values that are not above 0 and finite")
    }
    guard scales.allSatisfy({ $0.isFinite }) else {
      throw .nonFinite(path: path(of: tensor), tensor: names.scale)
    }
    let storage: QuantizedWeight.Storage
    if let groupSize = groupSizes[tensor.name] {
      let groupScales = try bytes(names.groupScale, as: UInt8.self) ?? []
      guard groupScales.allSatisfy({ (1...QuantizationGroups.largestScale).contains($0) }) else {
        throw malformed(
          names.groupScale,
          "a scale that is not 1 to \(QuantizationGroups.largestScale), which leaves the 8-bit numbers")
      }
      storage = .int4(
        nibbles: try bytes(tensor.name, as: UInt8.self) ?? [], groupScales: groupScales, groupSize: groupSize)
    } else {
      storage = .int8(try bytes(tensor.name, as: Int8.self) ?? [])
    }
    return QuantizedWeight(
      outputs: outputs, inner: inner, storage: storage, scales: scales, smoothing: smoothing, input: input)
  }

  // MARK: Reading

  private func storedTensor(_ tensor: TensorInfo) -> TensorInfo { stored.tensors[tensor.name] ?? tensor }

  private func malformed(_ name: String, _ reason: String) -> CheckpointError {
    .malformedTensor(
      path: stored.tensors[name].map { stored.path(of: $0) } ?? "", tensor: name, reason: reason)
  }

  private func bytes<T>(_ name: String, as type: T.Type) throws(CheckpointError) -> [T]? {
    guard let tensor = stored.tensors[name] else { return nil }
    return try stored.elements(of: tensor).withUnsafeBytes { Array($0.bindMemory(to: type)) }
  }

  /// Floats of any type that a scale may have.
  private func floats(_ name: String) throws(CheckpointError) -> [Float]? {
    guard let tensor = stored.tensors[name] else { return nil }
    return try stored.elements(of: tensor).withUnsafeBytes { bytes in
      (0..<tensor.count).map { index in
        switch tensor.type {
        case .float16:
          Float(Float16(bitPattern: bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)))
        case .bfloat16:
          Float(
            bitPattern: UInt32(bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)) << 16)
        default: bytes.loadUnaligned(fromByteOffset: 4 * index, as: Float.self)
        }
      }
    }
  }

  // MARK: Checking

  /// K and the size of the groups, from the shapes.
  private static func groups(
    of tensor: TensorInfo, _ names: QuantizedNames, _ stored: any TensorContainer
  ) throws(CheckpointError) -> (inner: Int, groupSize: Int) {
    let path = stored.path(of: tensor)
    guard let groups = stored.tensors[names.groupScale] else {
      throw .missingTensor(path: path, tensor: names.groupScale)
    }
    guard tensor.shape.count == 2, groups.shape.count == 2, groups.type == .uint8,
      case let inner = tensor.shape[1].multipliedReportingOverflow(by: 2), !inner.overflow,
      let size = QuantizationGroups.sizes.first(where: {
        groups.shape == [tensor.shape[0], QuantizationGroups.count(inner.partialValue, size: $0)]
      })
    else {
      throw .malformedTensor(
        path: path, tensor: names.groupScale,
        reason:
          "\(groups.type.rawValue) \(groups.shape) is no scale for groups of 32 or 64 of \(tensor.shape)")
    }
    return (inner.partialValue, size)
  }

  private static func check(
    _ tensor: TensorInfo, shape: [Int], _ names: QuantizedNames, _ stored: any TensorContainer
  ) throws(CheckpointError) {
    let path = stored.path(of: tensor)
    let (outputs, inner) = (shape.first ?? 0, shape.dropFirst().reduce(1, *))
    guard shape.count >= 2, outputs > 0, inner > 0 else {
      throw .malformedTensor(
        path: path, tensor: tensor.name, reason: "shape \(shape) is not that of a layer's weight")
    }
    let floats: Set<ScalarType> = [.float32, .float16, .bfloat16]
    let expected: [(name: String, count: Int, types: Set<ScalarType>)] = [
      (names.scale, outputs, floats), (names.smoothing, inner, floats),
      (names.inputScale, 1, [.float32]), (names.inputZeroPoint, 1, [.uint8]),
    ]
    for (name, count, types) in expected {
      guard let sibling = stored.tensors[name] else {
        let other = name == names.inputScale ? names.inputZeroPoint : names.inputScale
        if [names.inputScale, names.inputZeroPoint].contains(name), stored.tensors[other] != nil {
          throw .missingTensor(path: path, tensor: name)
        }
        continue
      }
      guard types.contains(sibling.type) else {
        let known = types.map(\.rawValue).sorted().joined(separator: " or ")
        throw .malformedTensor(
          path: path, tensor: name, reason: "of type \(sibling.type.rawValue), expected \(known)")
      }
      guard sibling.count == count else {
        throw .wrongShape(path: path, tensor: name, expected: [count], actual: sibling.shape)
      }
    }
  }
}

/// Groups of weights in 4 bits.
public enum QuantizationGroups {
  /// How many weights of a row may share a scale.
  public static let sizes = [32, 64]

  /// The largest scale of a group: -8 times it is an 8-bit number still.
  public static let largestScale: UInt8 = 16

  /// Groups of a row of `inner` weights.
  public static func count(_ inner: Int, size: Int) -> Int { inner / size + (inner % size == 0 ? 0 : 1) }
}
