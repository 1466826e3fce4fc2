import Checkpoints
import Foundation
import Kernels
import SystemPackage
import TestSupport
import Testing
import VisionTransformer

/// A weight that is no finite number is refused as the model is opened, wherever it stands.
@Suite struct NonFiniteWeightTests {
  /// Every way that weights come into a model: one part, queries, keys and values apart, all layers in one tensor, rows of a fused
  /// layer that become two, differential attention's vectors, latents, a stem; as float32, float16 and bfloat16; mapped, transposed
  /// and inflated; in one file or several. Numpy's archives are not among them: their checksums notice first.
  static let models = [
    "timm-token", "timm-token-f16", "timm-token-bf16", "hf-vit", "hf-vit-sharded", "hf-vit-bin",
    "hf-dinov2-registers",
    "hf-dinov2-swiglu", "hf-clip-vision", "openclip-vit", "openai-jit", "dinov2-original",
    "timm-map-registers", "timm-parallel-scaling-bias",
    "timm-parallel-scaling-fused",
    "timm-parallel-things", "timm-diff-norms", "timm-diff-parallel", "timm-prr", "timm-deit-distilled",
    "timm-hybrid-stem",
  ]

  @Test(arguments: models) func everyTensor(_ name: String) throws {
    var file = try EditableCheckpoint(name)
    let model = try VisionTransformer(file.checkpoint(), options: .init(describesOnly: true))
    let container = model.tensors.container
    let unused = Set(model.unusedTensors)
    let used = container.tensors.values.filter { !unused.contains($0.name) }.sorted { $0.name < $1.name }
    #expect(used.count > 10)
    for (index, tensor) in used.enumerated() {
      // The last element, or one in the middle; each precision and several threads in turn.
      let element = index % 2 == 0 ? tensor.count - 1 : tensor.count / 2
      let options = VisionTransformer.Options(
        precision: Precision.allCases[index % 3], threads: 1 + index % 2, labels: .none)
      try file.replace(
        element, of: tensor, in: container, by: NonFinite.allCases[index % NonFinite.allCases.count])
      #expect(
        throws: CheckpointError.nonFinite(path: container.path(of: tensor), tensor: tensor.name),
        "\(tensor.name), element \(element), \(options.precision)"
      ) {
        try VisionTransformer(file.checkpoint(), options: options)
      }
      // Nobody looks at it who only looks at the model.
      let described = try VisionTransformer(file.checkpoint(), options: .init(describesOnly: true))
      #expect(described.parameterCount == model.parameterCount)
      try file.restore(tensor, in: container)
    }
    #expect(throws: Never.self) { try VisionTransformer(file.checkpoint()) }
  }

  /// Tensors without dimensions: differential attention's weights of its second part, in the form that is one number each.
  @Test(arguments: NonFinite.allCases) func scalars(_ value: NonFinite) throws {
    var parts = try ModelParts("timm-diff")
    let names = parts.tensors.map(\.name)
    for name in names where name.hasSuffix("lambda_q1") {
      let attention = name.dropLast("lambda_q1".count)
      for suffix in ["lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2"] {
        parts["\(attention)\(suffix)"] = nil
      }
      for suffix in ["lambda_a", "lambda_b"] {
        parts["\(attention)\(suffix)"] = .init("\(attention)\(suffix)", shape: [], [0.25])
      }
    }
    let model = try parts.load()
    let results = Results.of(model, RandomInputs.images(1, for: model, seed: 5))[0]
    #expect(results.parts["logits"]?.allSatisfy(\.isFinite) == true)
    for name in ["blocks.0.attn.lambda_a", "blocks.1.attn.lambda_b"] {
      let sound = try #require(parts[name])
      parts[name]?.bytes = try #require(value.bytes(.float32))
      #expect(try parts.message().contains("tensor \"\(name)\" holds NaN or infinite values"))
      parts[name] = sound
    }
  }

  /// What no result depends on may hold anything.
  @Test func unusedTensors() throws {
    var parts = try ModelParts("hf-vit-pooler")
    let model = try parts.load(.init(describesOnly: true))
    let name = try #require(model.unusedTensors.first { $0.hasSuffix("weight") })
    let count = try #require(parts[name]?.bytes.count)
    parts[name]?.bytes = [UInt8](repeating: 0xFF, count: count)
    #expect(throws: Never.self) { try parts.load() }
  }

  /// A model that is opened to be looked at is not read: all its weights may be damaged.
  @Test(arguments: [
    "timm-map-registers", "timm-diff", "hf-dinov2-swiglu", "timm-parallel-scaling-bias", "hf-vit",
  ])
  func describing(_ name: String) throws {
    var parts = try ModelParts(name)
    let sound = try parts.load()
    for index in parts.tensors.indices {
      parts.tensors[index].bytes = [UInt8](repeating: 0xFF, count: parts.tensors[index].bytes.count)
    }
    #expect(throws: CheckpointError.self) { try parts.load() }
    let described = try parts.load(.init(describesOnly: true))
    #expect(described.describesOnly && described.parameterCount == sound.parameterCount)
    #expect(described.unusedTensors == sound.unusedTensors && described.gflops == sound.gflops)
  }
}

/// What a weight must not be.
enum NonFinite: CaseIterable {
  case nan, infinity, negativeInfinity

  /// The bytes of one in the type; nil for types that have none.
  func bytes(_ type: ScalarType) -> [UInt8]? {
    let float: Float =
      switch self {
      case .nan: .nan
      case .infinity: .infinity
      case .negativeInfinity: -.infinity
      }
    // float16 has 5 bits of exponent and 10 of mantissa.
    let half: UInt16 =
      switch self {
      case .nan: 0x7E00
      case .infinity: 0x7C00
      case .negativeInfinity: 0xFC00
      }
    switch type {
    case .float64: return withUnsafeBytes(of: Double(float).bitPattern.littleEndian, Array.init)
    case .float32: return withUnsafeBytes(of: float.bitPattern.littleEndian, Array.init)
    case .bfloat16: return withUnsafeBytes(of: UInt16(float.bitPattern >> 16).littleEndian, Array.init)
    case .float16: return withUnsafeBytes(of: half.littleEndian, Array.init)
    default: return nil
    }
  }
}

/// A copy of a model of the fixtures in which single elements can be changed, whatever its container.
struct EditableCheckpoint {
  private let folder: TemporaryFolder
  private let path: FilePath
  /// The files as they were.
  private var originals: [FilePath: Data] = [:]

  init(_ name: String) throws {
    folder = try TemporaryFolder()
    let source = try Fixtures.checkpoint(name).path
    let copy = try folder.copy(Fixtures.models.appending(name), to: name)
    path = source.lastComponent?.string == name ? copy : copy.appending(source.lastComponent?.string ?? "")
  }

  func checkpoint() throws -> Checkpoint { try Checkpoint(path) }

  /// Replaces one element where it lies: found by the bytes of the whole tensor, which must be there once.
  mutating func replace(
    _ element: Int, of tensor: TensorInfo, in container: any TensorContainer, by value: NonFinite
  ) throws {
    let file = container.path(of: tensor)
    let original = try originals[file] ?? Data(contentsOf: URL(fileURLWithPath: file.string))
    originals[file] = original
    let elements = try container.elements(of: tensor).withUnsafeBytes { Data($0) }
    let range = try #require(original.range(of: elements), "\(tensor.name) does not lie in the file as it is")
    try #require(original[range.upperBound...].range(of: elements) == nil, "\(tensor.name) is there twice")
    let bytes = try #require(value.bytes(tensor.type))
    var edited = original
    let start = range.lowerBound + element * bytes.count
    edited.replaceSubrange(start..<start + bytes.count, with: bytes)
    try write(edited, to: file)
  }

  /// Puts the tensor's file back.
  func restore(_ tensor: TensorInfo, in container: any TensorContainer) throws {
    let file = container.path(of: tensor)
    if let original = originals[file] { try write(original, to: file) }
  }

  /// Writes a file beside the old one, which somebody may have mapped, and puts it in its place.
  private func write(_ data: Data, to file: FilePath) throws {
    try FileManager.default.removeItem(atPath: file.string)
    try data.write(to: URL(fileURLWithPath: file.string))
  }
}
