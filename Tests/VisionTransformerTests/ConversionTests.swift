import Checkpoints
import Foundation
import Images
import Kernels
import SystemPackage
import TestSupport
import Testing
import VisionTransformer

/// Every model of the fixtures in both forms: written, read again, and compared with what the source's own library computes.
/// `scripts/parity --converted` has timm and transformers load the same files.
@Suite struct ConversionTests {
  struct Case: CustomTestStringConvertible, Sendable {
    let model: String
    let naming: Conversion.Naming
    var testDescription: String { "\(model) for \(naming.rawValue)" }
  }

  static let cases: [Case] = {
    let models = (try? FileManager.default.contentsOfDirectory(atPath: Fixtures.models.string)) ?? []
    return models.sorted().filter { !$0.hasPrefix(".") }.flatMap { model in
      Conversion.Naming.allCases.map { Case(model: model, naming: $0) }
    }
  }()

  /// What timm has no place for, with a part of the reason.
  static let refusedByTimm: [String: String] = [
    "google-hybrid": "a ResNet of 64, 128, 128 channels",
    "google-npz-pre-logits": "a representation layer",
    "hf-deit": "a distillation token without a head of its own",
    "hf-dinov2": "a head on the class token beside the mean of the patches",
    "hf-dinov2-registers": "a head on the class token beside the mean of the patches",
    "hf-vit-pooler": "an epsilon of 0.05",
    "pytorch-pretrained-vit-representation": "a representation layer",
    "timm-hybrid": "a ResNet of 64, 128, 128, 128 channels",
    "timm-parallel-scaling-fused": "share their output projection",
    "torchvision-representation": "a representation layer",
  ]

  /// Likewise transformers.
  static let refusedByTransformers: [String: String] = [
    "dinov2-chunked": "an MLP 32 wide in a DINOv2 of width 64",
    "dinov2-original": "an MLP 32 wide in a DINOv2 of width 64",
    "dinov2-original-giant": "a gated MLP 40 wide",
    "dinov2-original-registers": "an MLP 32 wide in a DINOv2 of width 64",
    "google-hybrid": "a ResNet in front",
    "google-hybrid-stem": "a ResNet in front",
    "google-npz-pre-logits": "a representation layer",
    "openclip-clipa": "fc_norm",
    "pytorch-pretrained-vit-representation": "a representation layer",
    "timm-aimv2": "RMS norms",
    "timm-avg": "fc_norm",
    "timm-avgmax": "fc_norm",
    "timm-beit3": "fc_norm",
    "timm-clip": "a classifier with a bias in a model of type clip_vision_model",
    "timm-clip-quickgelu": "a classifier with a bias in a model of type clip_vision_model",
    "timm-diff": "differential attention",
    "timm-diff-norms": "differential attention",
    "timm-diff-parallel": "blocks of the kind parallel",
    "timm-dinov2-giant-gelu": "a gate other than silu",
    "timm-gap-layer-scale": "layer scale in a model of type ijepa",
    "timm-hybrid": "a ResNet in front",
    "timm-hybrid-stem": "a ResNet in front",
    "timm-internvit": "without a norm after its last block",
    "timm-map": "a classifier behind attention pooling",
    "timm-map-class-token": "a class token",
    "timm-map-registers": "registers",
    "timm-map-tanh": "a classifier behind attention pooling",
    "timm-max": "fc_norm",
    "timm-no-final-norm": "without a norm after its last block",
    "timm-parallel-scaling": "RMS norms",
    "timm-parallel-scaling-bias": "blocks of the kind parallel",
    "timm-parallel-scaling-fused": "blocks of the kind parallel",
    "timm-parallel-things": "parallel branches",
    "timm-pool-include-prefix": "a pool that takes in class and register tokens",
    "timm-prr": "a pool \"prr\"",
    "timm-prr-avg": "a pool \"prr\"",
    "timm-qk-norm": "norms of queries and keys",
    "timm-qk-norm-rms": "RMS norms",
    "timm-registers-gap": "registers",
    "timm-registers-gap-fc-norm": "fc_norm",
    "timm-registers-gap-no-bias": "fc_norm",
    "timm-res-post": "blocks of the kind post-norm",
    "timm-rms-norm": "RMS norms",
    "torchvision-representation": "a representation layer",
  ]

  @Test(arguments: cases) func computesTheSame(_ example: Case) throws {
    let expected = try Fixtures.tensors(
      Fixtures.models.appending(example.model).appending("expected.safetensors"))
    let source = try open(Fixtures.checkpoint(example.model))
    let refusals = example.naming == .timm ? Self.refusedByTimm : Self.refusedByTransformers
    if let reason = refusals[example.model] {
      #expect {
        _ = try Conversion(source.model, checkpoint: source.checkpoint, naming: example.naming)
      } throws: { error in
        let library = example.naming == .timm ? "timm" : "transformers"
        return error is ConversionError && "\(error)".contains("\(library) cannot express ")
          && "\(error)".contains(reason)
      }
      return
    }
    let folder = try TemporaryFolder()
    let result = try convert(source, to: folder.path, naming: example.naming)
    // In timm a norm's epsilon of 1e-12 is 1e-6: of values with a variance of 0.1 five parts in a million.
    let tolerance =
      result.configuration.normEpsilon == source.model.configuration.normEpsilon
      ? ParityTests.tolerance : 3e-5
    try expectClose(result, expected, tolerance: tolerance, "\(example)")
    #expect(result.labels == source.model.labels)
    #expect(result.configuration.gridSize == source.model.configuration.gridSize)
  }

  @Test func refusalsAreOfModelsThatAreThere() {
    let models = Set(Self.cases.map(\.model))
    #expect(
      models.isSuperset(of: Self.refusedByTimm.keys) && models.isSuperset(of: Self.refusedByTransformers.keys)
    )
    #expect(models.count > 80)
  }

  /// From form to form and back: what is rearranged on the way stays the same model.
  @Test(arguments: [
    "openclip-vit", "timm-dinov2-registers", "timm-deit-distilled", "siglip-npz", "timm-dinov2-giant",
  ])
  func thereAndBack(_ model: String) throws {
    let expected = try Fixtures.tensors(Fixtures.models.appending(model).appending("expected.safetensors"))
    let folder = try TemporaryFolder()
    var source = try open(Fixtures.checkpoint(model))
    let namings: [Conversion.Naming] =
      source.model.configuration.numClasses > 0 && source.model.configuration.layerScale
      ? [.timm, .huggingFace] : [.timm, .huggingFace, .timm]
    for (step, naming) in namings.enumerated() {
      let path = folder.path.appending("\(step)")
      let result = try convert(source, to: path, naming: naming)
      try expectClose(result, expected, tolerance: 4 * ParityTests.tolerance, "\(model), step \(step)")
      source = Source(model: result, checkpoint: try Checkpoint(path))
    }
  }

  /// Weights that were 16 bits wide stay as they are in their own type, and lose as much as the type does in another.
  @Test(arguments: [
    ("timm-token-f16", Conversion.Precision.float16, ScalarType.float16, Float(0)),
    ("timm-token-bf16", .bfloat16, .bfloat16, 0), ("timm-token", .float16, .float16, 0x1p-9),
    ("timm-token", .bfloat16, .bfloat16, 0x1p-6),
  ])
  func types(_ model: String, _ precision: Conversion.Precision, _ type: ScalarType, _ loss: Float) throws {
    let expected = try Fixtures.tensors(Fixtures.models.appending(model).appending("expected.safetensors"))
    let folder = try TemporaryFolder()
    let source = try open(Fixtures.checkpoint(model))
    let result = try convert(source, to: folder.path, naming: .timm, precision: precision)
    #expect(result.tensors.container.tensors.values.allSatisfy { $0.type == type })
    try expectClose(result, expected, tolerance: loss + ParityTests.tolerance, model)
    if loss > 0 {
      let (input, reference) = (try #require(expected["input"]), try #require(expected["logits"]))
      let logits = run(result, input)
      #expect(Deviation(logits, from: reference).largest > ParityTests.tolerance)
    }
  }

  @Test func epsilonThatTimmCannotState() throws {
    let folder = try TemporaryFolder()
    let source = try open(Fixtures.checkpoint("hf-vit"))
    let notes = try Conversion(source.model, checkpoint: source.checkpoint).write(
      to: folder.path.appending("x"))
    #expect(notes.contains("timm cannot state a norm epsilon of 1e-12; its models use 1e-06"))
    #expect(
      notes.contains { $0.hasPrefix("at sizes other than 32x32 positions are resampled bicubic-antialiased") }
    )
    #expect(notes.count == 2)
  }

  @Test func valuesThatDoNotFit() throws {
    let folder = try TemporaryFolder()
    let copy = try folder.copy(Fixtures.models.appending("timm-token"), to: "model")
    try overwriteFirst(of: "norm.bias", in: copy, with: 70_000)
    let source = try open(Checkpoint(copy))
    let target = folder.path.appending("x")
    let conversion = try Conversion(source.model, checkpoint: source.checkpoint, precision: .float16)
    #expect {
      _ = try conversion.write(to: target)
    } throws: {
      "\($0)" == "\(copy): tensor \"norm.bias\" holds values that F16 cannot; use --dtype f32 or bf16"
    }
    #expect(!FileManager.default.fileExists(atPath: target.string))
    try overwriteFirst(of: "norm.bias", in: copy, with: .nan)
    let broken = try open(Checkpoint(copy))
    #expect {
      _ = try Conversion(broken.model, checkpoint: broken.checkpoint).write(to: target)
    } throws: {
      $0 as? CheckpointError == .nonFinite(path: copy.appending("model.safetensors"), tensor: "norm.bias")
    }
  }

  /// A model of transformers that is replaced by one of timm leaves no preprocessing behind.
  @Test func replacing() throws {
    let folder = try TemporaryFolder()
    let target = folder.path.appending("x")
    let source = try open(Fixtures.checkpoint("hf-vit"))
    func files() throws -> [String] {
      try FileManager.default.contentsOfDirectory(atPath: target.string).sorted()
    }
    _ = try Conversion(source.model, checkpoint: source.checkpoint, naming: .huggingFace).write(to: target)
    #expect(try files() == ["config.json", "model.safetensors", "preprocessor_config.json"])
    let conversion = try Conversion(source.model, checkpoint: source.checkpoint)
    #expect {
      _ = try conversion.write(to: target)
    } throws: {
      "\($0)" == "\(target): holds a config.json already; give another folder, or --overwrite"
    }
    #expect(try Checkpoint(target).configuration?["model_type"] == .string("vit"))
    // This one would be read before the other two.
    try folder.write("{}", to: "x/processor_config.json")
    _ = try conversion.write(to: target, overwriting: true)
    #expect(try files() == ["config.json", "model.safetensors"])
  }

  /// The architecture that is chosen: the source's own, else the one that needs fewest arguments and is prepared for alike.
  @Test(arguments: [
    ("timm-deit3", "deit3_small_patch16_224"), ("google-hybrid-stem", "vit_tiny_r_s16_p8_224"),
    ("openai-jit", "vit_base_patch16_clip_quickgelu_224"),
    ("hf-siglip-vision", "vit_base_patch32_siglip_256"),
  ])
  func architecture(_ model: String, _ name: String) throws {
    let source = try open(Fixtures.checkpoint(model))
    #expect(try Conversion(source.model, checkpoint: source.checkpoint).architecture == name)
  }

  // MARK: Support

  private struct Source {
    let model: VisionTransformer
    let checkpoint: Checkpoint
  }

  private func open(_ checkpoint: Checkpoint) throws -> Source {
    Source(
      model: try VisionTransformer(checkpoint, options: .init(describesOnly: true)), checkpoint: checkpoint)
  }

  /// Writes a model and opens it at the size of its positions.
  private func convert(
    _ source: Source, to folder: FilePath, naming: Conversion.Naming,
    precision: Conversion.Precision = .float32
  ) throws -> VisionTransformer {
    let conversion = try Conversion(
      source.model, checkpoint: source.checkpoint, naming: naming, precision: precision)
    _ = try conversion.write(to: folder, overwriting: true)
    let size = source.model.configuration.imageSize
    let options = VisionTransformer.Options(transform: TransformOverrides(size: size))
    let result = try VisionTransformer(Checkpoint(folder), options: options)
    #expect(result.tensors.container.tensors.count == conversion.tensorCount)
    #expect(
      Set(result.unusedTensors.map { String($0.split(separator: ".").last ?? "") }).subtracting(["mask_token"]
      ).isEmpty)
    return result
  }

  /// Logits, or the image embedding, or the pooled features.
  private func run(_ model: VisionTransformer, _ input: [Float]) -> [Float] {
    InferenceSession(model).run(.tensors([input])) { output in
      Array((output.logits ?? output.embeddings ?? output.features).row(0))
    }
  }

  private func expectClose(
    _ model: VisionTransformer, _ expected: [String: [Float]], tolerance: Float, _ name: String
  ) throws {
    let reference = try #require(expected["logits"] ?? expected["pooled"])
    let input = try #require(expected["input"])
    let deviation = Deviation(run(model, input), from: reference)
    let scale = max(1, reference.lazy.map(abs).max() ?? 1)
    #expect(deviation.largest <= tolerance * scale, "\(name): \(deviation)")
  }

  private func overwriteFirst(of name: String, in folder: FilePath, with value: Float) throws {
    let path = folder.appending("model.safetensors")
    var bytes = Array(try Data(contentsOf: URL(filePath: path.string)))
    let length = Int(bytes[..<8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
    let header = try JSONDecoder().decode(JSONValue.self, from: Data(bytes[8..<8 + length]))
    let offset = try #require(header[name]?["data_offsets"]?.array?.first?.int)
    withUnsafeBytes(of: value.bitPattern.littleEndian) { value in
      for index in 0..<4 { bytes[8 + length + offset + index] = value[index] }
    }
    try FileManager.default.removeItem(atPath: path.string)
    try Data(bytes).write(to: URL(filePath: path.string))
  }
}
