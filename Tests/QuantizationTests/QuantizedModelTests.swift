import Checkpoints
import Foundation
import Images
import Kernels
import Pipeline
import Quantization
import SystemPackage
import TestSupport
import Testing
import VisionTransformer

/// Whole models: quantised, written, read again.
@Suite struct QuantizedModelTests {
  private static let sample = Fixtures.project.appending("samples/models/cifar10")
  private static let images = Fixtures.project.appending("samples/cifar10")

  private func calibration(_ quantizer: Quantizer, _ paths: [FilePath] = [Self.images]) throws
    -> CalibrationImages
  {
    try CalibrationImages(
      paths, count: 16, model: quantizer.model, options: .init(threads: 2), cancellation: Cancellation()
    ) { _ in }
  }

  private func logits(_ model: VisionTransformer, _ images: [Image]) -> [[Float]] {
    let session = InferenceSession(model)
    return images.map { image in
      session.run(.images([image])) { output in (output.logits ?? output.features).row(0).map { $0 } }
    }
  }

  private func bytes(_ folder: FilePath) throws -> Int {
    try Data(contentsOf: URL(fileURLWithPath: folder.appending("model.safetensors").string)).count
  }

  /// Each scheme end to end on the sample model: size, features, and that the file gives the same bits as what was measured.
  @Test(arguments: [
    (QuantizationScheme.w8a8, 0.26, 0.999), (.w8a8Static, 0.26, 0.995), (.w8, 0.26, 0.999), (.w4, 0.15, 0.97),
  ]) func schemes(_ scheme: QuantizationScheme, size: Double, cosine: Double) throws {
    var options = QuantizationOptions()
    options.scheme = scheme
    let quantizer = try Quantizer(Checkpoint(Self.sample), options: options, threads: 2)
    let calibration = try calibration(quantizer)
    let result = try quantizer.run(calibration)
    // Every fifth is held out.
    #expect(calibration.images.count == 13 && calibration.comparison.count == 3)
    #expect(result.comparison.images == 3 && result.comparison.heldOut)
    let images = calibration.images + calibration.comparison
    #expect(result.comparison.featureCosine > cosine)
    let agreement = try #require(result.comparison.top1Agreement)
    #expect(agreement >= 0.85)
    #expect(result.kept.isEmpty && result.errors.count == 4 * quantizer.model.configuration.depth + 2)

    let folder = try TemporaryFolder()
    let target = folder.path.appending("model")
    #expect(try quantizer.write(result, to: target) == [])
    let share = Double(try bytes(target)) / Double(4 * quantizer.model.parameterCount)
    #expect(share <= size, "\(share)")
    let checkpoint = try Checkpoint(target)
    #expect(checkpoint.quantization == scheme)
    let model = try VisionTransformer(checkpoint)
    #expect(model.precision == (scheme != .w8 ? .int8 : Precision.bf16.isNative ? .bf16 : .fp32))
    #expect(model.labels == quantizer.model.labels && model.parameterCount == quantizer.model.parameterCount)
    #expect(model.unusedTensors.isEmpty)
    // Vectors are in 16 bits in the file, and in 32 before.
    for (a, b) in zip(logits(model, images), logits(result.model, images)) {
      #expect(Deviation(a, from: b).largest < 0.1)
    }
    // In float32 it is the dequantised model.
    let floats = try VisionTransformer(checkpoint, options: .init(precision: .fp32))
    for (a, b) in zip(logits(floats, images), logits(quantizer.model, images)) {
      #expect(Deviation(a, from: b).largest < (scheme == .w4 ? 4 : 0.5))
    }
    #expect(throws: QuantizationError.self) { try Quantizer(checkpoint, options: options) }
  }

  /// Networks of every kind: what cannot be quantised stays floats, and all of them are read again.
  @Test(
    arguments: [
      "timm-dinov2-giant", "timm-parallel-scaling", "timm-parallel-scaling-fused", "timm-parallel-things",
      "timm-res-post", "timm-diff", "timm-map", "timm-hybrid", "timm-qk-norm", "timm-deit-distilled",
      "hf-dinov2-swiglu", "hf-vit", "openclip-vit", "google-npz", "torchvision-representation",
    ], [QuantizationScheme.w8a8Static, .w4]) func kinds(_ name: String, _ scheme: QuantizationScheme) throws
  {
    var options = QuantizationOptions()
    options.scheme = scheme
    let checkpoint = try Fixtures.checkpoint(name)
    guard !["timm-parallel-scaling-fused", "timm-hybrid", "torchvision-representation"].contains(name) else {
      // Neither timm nor transformers has such a network: said before the work.
      #expect(throws: ConversionError.self) { try Quantizer(checkpoint, options: options, threads: 2) }
      return
    }
    let quantizer = try Quantizer(checkpoint, options: options, threads: 2)
    let images = Array(try calibration(quantizer).images.prefix(4))
    let result = try quantizer.run(CalibrationImages(images))
    #expect(result.comparison.images == 4 && !result.comparison.heldOut)
    #expect(result.comparison.featureCosine > (scheme == .w4 ? 0.9 : 0.98), "\(result.comparison)")
    let folder = try TemporaryFolder()
    _ = try quantizer.write(result, to: folder.path)
    let model = try VisionTransformer(Checkpoint(folder.path))
    #expect(model.precision == .int8 && model.configuration.depth == quantizer.model.configuration.depth)
    for row in logits(model, images) { #expect(row.allSatisfy { $0.isFinite }) }
  }

  /// Of two cosines of the same features, summed in double precision: their rounding.
  static let cosineRounding = 1e-12
  /// What an 8-bit layer changes at the very least, well above that rounding.
  static let leastError = 1e-9

  /// A layer's error is that of a model in which it alone is quantised, wherever it is in the network.
  @Test(arguments: ["sample", "timm-dinov2-giant", "timm-map", "timm-parallel-things", "timm-deit-distilled"])
  func errorsOfLayersAlone(_ name: String) throws {
    let checkpoint = try name == "sample" ? Checkpoint(Self.sample) : Fixtures.checkpoint(name)
    var options = QuantizationOptions()
    options.scheme = .w8a8Static
    let quantizer = try Quantizer(checkpoint, options: options, threads: 2)
    let images = Array(try calibration(quantizer).images.prefix(3))
    let result = try quantizer.run(CalibrationImages(images))
    #expect(result.errors.count == result.layers.count)

    func features(_ layers: [QuantizedLayer]?) throws -> [[Float]] {
      var open = VisionTransformer.Options(precision: layers == nil ? .fp32 : .int8)
      open.substitutes = layers.map { layers in
        LayerSubstitutes(
          weights: Dictionary(uniqueKeysWithValues: layers.map { ("\($0.name).weight", $0.weight) }),
          biases: Dictionary(
            uniqueKeysWithValues: layers.compactMap { layer in layer.bias.map { ("\(layer.name).bias", $0) } }
          ))
      }
      let session = InferenceSession(try VisionTransformer(checkpoint, options: open))
      return images.map { image in
        session.run(.images([image]), allTokens: false) { $0.features.row(0).map { $0 } }
      }
    }
    func cosine(_ a: [Float], _ b: [Float]) -> Double {
      func product(_ a: [Float], _ b: [Float]) -> Double {
        zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
      }
      return product(a, b) / (product(a, a).squareRoot() * product(b, b).squareRoot())
    }
    let wanted = try features(nil)
    func error(_ layers: [QuantizedLayer]) throws -> Double {
      let cosines = zip(wanted, try features(layers)).map(cosine)
      return cosines.reduce(0) { $0 + 1 - $1 } / Double(cosines.count)
    }
    let base = try error([])
    for layer in result.layers {
      let found = try #require(result.errors[layer.name])
      let alone = max(0, try error([layer]) - base)
      #expect(abs(found - alone) < Self.cosineRounding, "\(layer.name): \(found), \(alone)")
    }
    #expect(result.errors.values.contains { $0 > Self.leastError })
  }

  /// The worst layers stay floats until the bound holds, and no more of them than that.
  @Test func keepsLayersForABound() throws {
    var options = QuantizationOptions()
    options.scheme = .w4
    options.compensates = false
    let checkpoint = try Checkpoint(Self.sample)
    let free = try Quantizer(checkpoint, options: options, threads: 2)
    let images = try calibration(free)
    let unbounded = try free.run(images).comparison.featureCosine
    options.minCosine = 1 - (1 - unbounded) / 2
    let bounded = try Quantizer(checkpoint, options: options, threads: 2).run(images)
    #expect(bounded.comparison.featureCosine >= options.minCosine ?? 1)
    #expect(!bounded.kept.isEmpty && bounded.kept.allSatisfy { $0.reason == .error })
    #expect(bounded.kept.count < bounded.errors.count)
    // Those with the largest errors.
    let worst = bounded.errors.sorted { $0.value > $1.value }.prefix(bounded.kept.count).map(\.key)
    #expect(Set(worst) == Set(bounded.kept.map(\.name)))

    // More than any model has.
    options.minCosine = 1.0.nextUp
    let impossible = try Quantizer(checkpoint, options: options, threads: 2)
    #expect(throws: QuantizationError.self) { try impossible.run(images) }
  }

  @Test func keepsWhatTheUserNames() throws {
    var options = QuantizationOptions()
    options.keep = ["head", "blocks.0", "blocks.*.mlp.fc2"]
    let quantizer = try Quantizer(Checkpoint(Self.sample), options: options, threads: 2)
    let result = try quantizer.run(CalibrationImages(Array(try calibration(quantizer).images.prefix(2))))
    let kept = Set(result.kept.map(\.name))
    #expect(kept.isSuperset(of: ["head", "blocks.0.attn.qkv", "blocks.1.mlp.fc2"]))
    #expect(!kept.contains("blocks.1.attn.qkv") && !kept.contains("patch_embed.proj"))
    let folder = try TemporaryFolder()
    _ = try quantizer.write(result, to: folder.path)
    let tensors = try Checkpoint(folder.path).container.storedTensors
    let types = Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.type) })
    #expect(types["head.weight"] == .float16 && types["blocks.1.attn.qkv.weight"] == .int8)

    options.keep = ["blocks.99"]
    #expect(throws: QuantizationError.self) { try Quantizer(Checkpoint(Self.sample), options: options) }
    options.keep = ["*"]
    #expect(throws: QuantizationError.self) { try Quantizer(Checkpoint(Self.sample), options: options) }
  }

  /// The same images give the same file, whatever the number of threads.
  @Test func isReproducible() throws {
    let files = try [1, 2].map { threads in
      let quantizer = try Quantizer(Checkpoint(Self.sample), options: QuantizationOptions(), threads: threads)
      let folder = try TemporaryFolder()
      _ = try quantizer.write(
        try quantizer.run(CalibrationImages(Array(try calibration(quantizer).images.prefix(3)))),
        to: folder.path)
      return try Data(contentsOf: URL(fileURLWithPath: folder.path.appending("model.safetensors").string))
    }
    #expect(files[0] == files[1])
  }

  @Test func saysWhatIsNoImage() throws {
    let quantizer = try Quantizer(Checkpoint(Self.sample), options: QuantizationOptions(), threads: 2)
    let folder = try TemporaryFolder()
    try folder.write("no image", to: "a.jpg")
    #expect(throws: QuantizationError.self) { try calibration(quantizer, [folder.path]) }
    #expect(throws: QuantizationError.self) { try calibration(quantizer, []) }
  }

  @Test func isCancelled() throws {
    let cancellation = Cancellation()
    let quantizer = try Quantizer(
      Checkpoint(Self.sample), options: QuantizationOptions(), threads: 2, cancellation: cancellation)
    let images = try calibration(quantizer)
    cancellation.cancel()
    #expect(throws: CancellationError.self) { try quantizer.run(images) }
  }
}
