import Checkpoints
import Images
import SystemPackage

/// What is converted: an opened model, and what its checkpoint says about itself.
struct ConversionSource {
  let model: VisionTransformer
  let checkpoint: Checkpoint
  /// timm's name of the architecture, where the user or the checkpoint gives one.
  let architecture: String?
  let facts: TensorFacts
  /// timm's names of the tensors that the results depend on, sorted.
  let names: [String]

  init(_ model: VisionTransformer, checkpoint: Checkpoint, architecture: String?) throws {
    self.model = model
    self.checkpoint = checkpoint
    self.architecture = architecture ?? checkpoint.configuration?["architecture"]?.string
    let tensors = model.tensors
    facts = try TensorFacts(tensors)
    let unused = Set(model.unusedTensors)
    names = tensors.names.filter { name in
      tensors.parts(of: name)?.contains { !unused.contains($0.tensor.name) } ?? false
    }
  }

  /// What the model is in a library's form.
  /// - Throws: `ConversionError` where it has no such model.
  func plan(_ naming: Conversion.Naming) throws -> ConversionPlan {
    switch naming {
    case .timm: try TimmConversion(self).plan()
    case .huggingFace: try HuggingFaceConversion(self).plan()
    }
  }

  /// In the form in which the source is, where that is transformers', else in timm's; where one of them has no such model, in the
  /// other's.
  /// - Throws: `ConversionError`, of the first, where neither has such a model.
  func planInAnyNaming() throws -> (ConversionPlan, Conversion.Naming) {
    let first: Conversion.Naming = isOfHuggingFace ? .huggingFace : .timm
    let second: Conversion.Naming = first == .timm ? .huggingFace : .timm
    do {
      return (try plan(first), first)
    } catch let error as ConversionError {
      guard let plan = try? plan(second) else { throw error }
      return (plan, second)
    }
  }

  private var isOfHuggingFace: Bool {
    switch tensors.scheme.library {
    case .huggingFaceViT, .huggingFaceDINOv2, .huggingFaceCLIP, .huggingFaceSigLIP: true
    default: false
    }
  }

  var tensors: NamedTensors { model.tensors }
  var configuration: ViTConfiguration { model.configuration }

  func shape(_ name: String) -> [Int] { tensors.shape(of: name) ?? [] }

  /// The layers of attention and MLP that may have a bias.
  var branchLayers: [String] {
    names.filter { $0.hasPrefix("blocks.") && $0.hasSuffix(".weight") }.map {
      String($0.dropLast(".weight".count))
    }.filter {
      ["attn.proj", "mlp.fc1", "mlp.fc2", "out_proj"].contains(where: $0.hasSuffix)
    }
  }

  /// Whether a layer's bias is there and all of it is 0; true where there is none.
  func hasZeroBias(_ layer: String) throws(CheckpointError) -> Bool {
    let name = "\(layer).bias"
    guard tensors.contains(name) else { return true }
    var reader = WeightReader(tensors)
    defer { reader.letGo() }
    let count = shape(name).first ?? 0
    let matrices = try reader.matrices(name, shape: [count], columns: count)
    try reader.weights.checkFinite()
    return matrices.allSatisfy { $0.row(0).allSatisfy { $0 == 0 } }
  }

  /// The refusal of something that the target cannot express.
  func refusal(_ library: String, _ feature: String, _ remedy: String? = nil) -> ConversionError {
    .notExpressible(path: model.path, library: library, feature: feature, remedy: remedy)
  }
}

/// A model in another library's form.
struct ConversionPlan {
  /// What the architecture is called there.
  let architecture: String
  let tensors: [ConvertedTensor]
  /// The configuration files by name.
  let files: [(name: String, contents: JSONValue)]
  /// What the result must read as; what a configuration there cannot say, epsilon and resampling of positions, may differ.
  let configuration: ViTConfiguration
  /// What the user should know, one sentence each.
  let notes: [String]
}

extension JSONValue {
  init(_ value: Int) { self = .number(Double(value)) }
  /// The shortest decimal number that is this one in single precision.
  init(_ value: Float) { self = .number(Double("\(value)") ?? Double(value)) }
  /// One number for a square, else [height, width].
  init(_ size: ImageSize) {
    self =
      size.height == size.width
      ? JSONValue(size.height) : .array([JSONValue(size.height), JSONValue(size.width)])
  }
  init(_ values: [Double]) { self = .array(values.map(JSONValue.number)) }
}
