import Checkpoints
import Kernels
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Writes a model in the form in which timm or transformers loads it: `model.safetensors` and `config.json`, for transformers also
/// `preprocessor_config.json`.
///
/// Where the libraries do the same thing in different ways (positions of registers, CLIP's projection, a head over class token and
/// mean), the weights are rearranged so that the target computes what the source does; where the target cannot, the conversion is
/// refused. Position embeddings keep the grid for which they were trained.
public struct Conversion {
  public enum Naming: String, Sendable, CaseIterable {
    case timm
    case huggingFace = "huggingface"
  }

  /// The type of the written weights.
  public enum Precision: String, Sendable, CaseIterable {
    case float32 = "f32"
    case float16 = "f16"
    case bfloat16 = "bf16"

    var scalarType: ScalarType {
      switch self {
      case .float32: .float32
      case .float16: .float16
      case .bfloat16: .bfloat16
      }
    }
  }

  /// What the architecture is called in the target.
  public let architecture: String
  /// Number of tensors that are written.
  public var tensorCount: Int { plan.tensors.count }
  /// Layers whose weights are written as integers; nil for a model of floats.
  private let quantized: QuantizedLayers?
  private let source: ConversionSource
  private let naming: Naming
  private let precision: Precision
  private let plan: ConversionPlan

  private static let weightsName = "model.safetensors"
  private static let fileNames = [
    "config.json", "processor_config.json", "preprocessor_config.json", weightsName,
  ]

  /// Decides what is written, and reads tokens and positions.
  /// - Parameters:
  ///   - model: the model, opened without changes to its preprocessing; `describesOnly` will do.
  ///   - checkpoint: the checkpoint that it was opened from.
  ///   - architecture: timm's name of the architecture, as it was given by the user.
  ///   - naming: the library that is to load the result.
  ///   - precision: the type of the weights.
  /// - Throws: `ConversionError` where the library has no such model, `CheckpointError` for damaged weights.
  public init(
    _ model: VisionTransformer, checkpoint: Checkpoint, architecture: String? = nil, naming: Naming = .timm,
    precision: Precision = .float32
  ) throws {
    source = try ConversionSource(model, checkpoint: checkpoint, architecture: architecture)
    self.naming = naming
    self.precision = precision
    quantized = nil
    plan = try source.plan(naming)
    self.architecture = plan.architecture
  }

  /// A model with integers for the weights of some layers, other tensors in 16 bits where these can hold them; in the names of timm
  /// or transformers, whichever changes less.
  package init(
    _ model: VisionTransformer, checkpoint: Checkpoint, architecture: String? = nil,
    quantized: QuantizedLayers
  ) throws {
    source = try ConversionSource(model, checkpoint: checkpoint, architecture: architecture)
    precision = .float16
    self.quantized = quantized
    (plan, naming) = try source.planInAnyNaming()
    self.architecture = plan.architecture
  }

  /// The files of a model, of which `write` makes some and replaces all.
  public static func files(in folder: FilePath) -> [FilePath] {
    fileNames.map { folder.appending($0) }
  }

  /// Writes the files into a folder, which is made where it is not there. They are written into a folder within it first and read
  /// again; only then, all of them, they take the place of others.
  /// - Parameters:
  ///   - overwriting: whether a model that is there may be replaced.
  ///   - isCancelled: asked before each tensor is written.
  ///   - extras: files that belong to the model and are written with it, by their names, nil for one that it does not have; told how
  ///     many bytes the weights have.
  /// - Returns: what the target does otherwise, one sentence each.
  /// - Throws: `ConversionError`, `CheckpointError` (`nonFinite` for weights that are NaN or infinite), and `CancellationError` where it
  ///   was cancelled; the folder stays as it was.
  public func write(
    to folder: FilePath, overwriting: Bool = false, isCancelled: () -> Bool = { false },
    extras: (_ weightBytes: Int) throws -> [(name: String, bytes: [UInt8]?)] = { _ in [] }
  ) throws -> [String] {
    if !overwriting, let file = Self.files(in: folder).first(where: FileSystem.exists) {
      throw ConversionError.exists(folder: folder, file: file.lastComponent?.string ?? "")
    }
    let isNew = !FileSystem.exists(folder)
    try FileSystem.makeFolder(folder)
    let staging = folder.appending(".convert.\(getpid())")
    var (isDone, extraNames) = (false, [String]())
    defer {
      for file in Self.files(in: staging) + extraNames.map(staging.appending) {
        _ = file.withPlatformString { unlink($0) }
      }
      _ = staging.withPlatformString { rmdir($0) }
      if isNew, !isDone { _ = folder.withPlatformString { rmdir($0) } }
    }
    try FileSystem.makeFolder(staging)
    for file in plan.files {
      var contents = file.contents
      if file.name == "config.json", let quantized, var members = contents.object {
        members["quantization_config"] = quantized.configuration(of: plan.tensors)
        contents = .object(members)
      }
      try contents.write(to: staging.appending(file.name))
    }
    let weightBytes = try writeWeights(to: staging.appending(Self.weightsName), isCancelled: isCancelled)
    let differences = try check(staging)
    for (name, bytes) in try extras(weightBytes) {
      extraNames.append(name)
      if let bytes { try AtomicFile.write(bytes, to: staging.appending(name)) }
    }
    // The weights last: a folder with weights is a whole model.
    let names = extraNames + Self.fileNames
    for (from, to) in zip(names.map(staging.appending), names.map(folder.appending)) {
      if FileSystem.exists(from) {
        guard from.withPlatformString({ from in to.withPlatformString { rename(from, $0) } }) == 0 else {
          throw unwritable(to)
        }
      } else if FileSystem.exists(to) {
        // It belongs to the model that is replaced, and would be taken for this one's.
        guard to.withPlatformString({ unlink($0) }) == 0 else { throw unwritable(to) }
      }
    }
    isDone = true
    return plan.notes + differences
  }

  /// - Returns: bytes of the file.
  private func writeWeights(to path: FilePath, isCancelled: () -> Bool) throws -> Int {
    var pieces: [String: () throws -> [UInt8]] = [:]
    var infos: [TensorInfo] = []
    for tensor in plan.tensors {
      if let weight = quantized?.weight(of: tensor) {
        for part in weight.fileTensors(name: tensor.name, shape: tensor.shape) {
          infos.append(part.info)
          pieces[part.info.name] = { part.bytes }
        }
        continue
      }
      let type = try type(of: tensor)
      infos.append(TensorInfo(name: tensor.name, type: type, shape: tensor.shape))
      pieces[tensor.name] = { try bytes(of: tensor, type) }
    }
    let writer = try SafetensorsWriter(path, tensors: infos, metadata: metadata)
    for tensor in writer.tensors {
      if isCancelled() { throw CancellationError() }
      guard let bytes = try pieces[tensor.name]?() else { continue }
      try bytes.withUnsafeBytes { try writer.append($0) }
    }
    try source.tensors.container.checkUnchanged()
    try writer.finish()
    return writer.fileSize
  }

  private var metadata: [String: String] {
    var metadata = ["format": "pt"]
    if let quantized { metadata[QuantizedTensors.schemeKey] = quantized.scheme.rawValue }
    return metadata
  }

  /// The type in which a tensor is written: of a quantised model float32 where 16 bits cannot hold it. Float16 loses digits below
  /// 2^-14: among larger values that does not matter, but it does where all are as small, and for the factors of norms and layer
  /// scales, each of which multiplies a channel.
  private func type(of tensor: ConvertedTensor) throws -> ScalarType {
    guard quantized != nil else { return precision.scalarType }
    let isFactor = tensor.shape.count == 1 && !tensor.name.hasSuffix("bias")
    var (largest, hasSmallFactor) = (Float(0), false)
    try tensor.read(from: source.tensors, substitutes: quantized?.substitutes) { floats in
      for value in floats {
        let magnitude = abs(value)
        largest = max(largest, magnitude)
        if isFactor && magnitude > 0 && magnitude < 0x1p-14 { hasSmallFactor = true }
      }
    }
    let fits = largest == 0 || largest >= 0x1p-14 && Float16(largest).isFinite
    return fits && !hasSmallFactor ? .float16 : .float32
  }

  /// The elements of a tensor as they are written. No more than this one tensor is in memory for it.
  private func bytes(of tensor: ConvertedTensor, _ type: ScalarType) throws -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(tensor.shape.reduce(type.byteCount, *))
    try tensor.read(from: source.tensors, substitutes: quantized?.substitutes) { floats in
      guard type != .float32 else { return result.append(contentsOf: UnsafeRawBufferPointer(floats)) }
      var isExact = true
      result += [UInt8](unsafeUninitializedCapacity: 2 * floats.count) { buffer, count in
        let raw = UnsafeMutableRawBufferPointer(buffer)
        let target = UnsafeMutableRawBufferPointer(rebasing: raw[..<(2 * floats.count)])
        isExact =
          type == .float16
          ? Elements.convertFloat32ToFloat16(floats, into: target)
          : Elements.convertFloat32ToBFloat16(floats, into: target)
        count = 2 * floats.count
      }
      guard isExact else {
        throw ConversionError.overflow(path: source.model.path, tensor: tensor.name, type: type)
      }
    }
    return result
  }

  /// Reads what was written as a model of the target, and compares.
  /// - Returns: the differences that a configuration of the target cannot avoid.
  private func check(_ folder: FilePath) throws -> [String] {
    let checkpoint = try Checkpoint(folder)
    let tensors = try NamedTensors(checkpoint.container, path: folder)
    var reader = ConfigurationReader(checkpoint: checkpoint, tensors: tensors, architecture: nil)
    let found = try reader.read()
    var expected = plan.configuration
    (expected.normEpsilon, expected.positionResampling) = (found.normEpsilon, found.positionResampling)
    guard found == expected else {
      throw ConversionError.unfaithful(
        path: source.model.path, library: naming.rawValue, fields: try Self.differences(found, expected))
    }
    let transform = try Preprocessing(
      checkpoint, library: tensors.scheme.library, configuration: found, architecture: nil, likeness: nil
    ).transform
    var notes = source.model.transform.differences(from: transform).map {
      "preprocessing of the result: \($0)"
    }
    let resampling = source.configuration.positionResampling
    if source.configuration.positions == .learned, found.positionResampling != resampling {
      notes.append(
        "at sizes other than \(found.imageSize) positions are resampled \(found.positionResampling.rawValue), "
          + "not \(resampling.rawValue)")
    }
    return notes
  }

  /// The fields in which two architectures differ.
  private static func differences(_ a: ViTConfiguration, _ b: ViTConfiguration) throws -> [String] {
    let (a, b) = (try JSONValue(encoding: a).object ?? [:], try JSONValue(encoding: b).object ?? [:])
    return Set(a.keys).union(b.keys).filter { a[$0] != b[$0] }.sorted()
  }

  private func unwritable(_ path: FilePath) -> CheckpointError {
    .unwritable(path: path, reason: Errno(rawValue: errno).description.lowercased())
  }
}
