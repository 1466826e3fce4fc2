import Checkpoints
import Images
import SystemPackage

/// Typed access to the fields of a `config.json`, with errors that name the field.
struct ConfigurationFields {
  let path: FilePath
  let values: JSONValue?

  private func failure(_ field: String, _ value: JSONValue, _ remedy: String) -> ModelError {
    .configuration(path: path, field: field, value: value.summary, remedy: remedy)
  }

  /// A whole number in a range that no real model leaves.
  func int(_ field: String, in range: ClosedRange<Int> = 1...1_000_000) throws(ModelError) -> Int? {
    guard let value = values?[field] else { return nil }
    guard let number = value.int, range.contains(number) else {
      throw failure(field, value, "expected a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  func bool(_ field: String) throws(ModelError) -> Bool? {
    guard let value = values?[field] else { return nil }
    guard let flag = value.bool else { throw failure(field, value, "expected true or false") }
    return flag
  }

  /// A positive number, such as an epsilon.
  func positive(_ field: String) throws(ModelError) -> Double? {
    guard let value = values?[field] else { return nil }
    guard let number = value.double, number.isFinite, number > 0 else {
      throw failure(field, value, "expected a number above 0")
    }
    return number
  }

  /// A size given as one number or as [height, width].
  func size(_ field: String) throws(ModelError) -> ImageSize? {
    guard let value = values?[field] else { return nil }
    let sides = (value.array ?? [value, value]).map { $0.int ?? 0 }
    guard sides.count == 2, sides.allSatisfy({ (1...65_536).contains($0) }) else {
      throw failure(field, value, "expected a size in pixels, or [height, width]")
    }
    return ImageSize(height: sides[0], width: sides[1])
  }

  /// Refuses a field that is there, but holds no fields of its own.
  func requireObject(_ field: String) throws(ModelError) {
    guard let value = values?[field], value.object == nil else { return }
    throw failure(field, value, "expected a JSON object")
  }

  /// A LayerNorm epsilon.
  func epsilon(_ field: String) throws(ModelError) -> Float? {
    guard let number = try positive(field) else { return nil }
    guard Float(number) > 0, number < 1 else {
      throw failure(field, .number(number), "expected a small number above 0, such as 1e-6")
    }
    return Float(number)
  }

  /// Refuses a field that is there with another value than the only one that is supported.
  func requireUnset(_ field: String, or allowed: [JSONValue]) throws(ModelError) {
    guard let value = values?[field], !allowed.contains(value) else { return }
    throw failure(field, value, "this variant of the Vision Transformer is not supported")
  }
}

extension JSONValue {
  /// The value as it may be quoted in a message.
  fileprivate var summary: String {
    switch self {
    case .null: "null"
    case .bool(let value): "\(value)"
    case .number(let value): Int(exactly: value).map(String.init) ?? "\(value)"
    case .string(let value): "\"\(value.prefix(80))\""
    case .array(let values): "[" + values.prefix(4).map(\.summary).joined(separator: ", ") + "]"
    case .object: "an object"
    }
  }
}

/// timm's `config.json`: `architecture`, and `model_args` for what differs from it.
struct TimmDeclaration {
  let path: FilePath
  let configuration: JSONValue?
  let architecture: String

  /// Constructor arguments that have no effect on the result of inference, or whose effect the tensors show.
  private static let harmlessArguments: Set<String> = [
    "img_size", "patch_size", "in_chans", "num_classes", "global_pool", "embed_dim", "depth", "num_heads",
    "mlp_ratio",
    "qkv_bias", "init_values", "class_token", "no_embed_class", "reg_tokens", "final_norm", "fc_norm",
    "dynamic_img_size",
    "drop_rate", "pos_drop_rate", "patch_drop_rate", "proj_drop_rate", "attn_drop_rate", "drop_path_rate",
    "weight_init",
    "fix_init",
  ]

  func read() throws(ModelError) -> ConfigurationReader.Declared {
    let name = try ArchitectureName(parsing: architecture)
    let top = ConfigurationFields(path: path, values: configuration)
    try top.requireObject("model_args")
    try top.requireObject("pretrained_cfg")
    let arguments = ConfigurationFields(path: path, values: configuration?["model_args"])
    for (field, value) in arguments.values?.object ?? [:]
    where !Self.harmlessArguments.contains(field) && value != .null {
      try arguments.requireUnset(field, or: Self.defaults(of: field))
    }
    let preprocessing = ConfigurationFields(path: path, values: configuration?["pretrained_cfg"])
    let patchSize =
      try arguments.size("patch_size") ?? name.patchSize.map { ImageSize($0) }
    let embedDim = try arguments.int("embed_dim") ?? name.size.embedDim
    let classes = 0...1_000_000
    let topClasses = try top.int("num_classes", in: classes)
    let numClasses = try arguments.int("num_classes", in: classes) ?? topClasses
    let pool = configuration?["model_args"]?["global_pool"] ?? configuration?["global_pool"]
    return ConfigurationReader.Declared(
      embedDim: embedDim,
      depth: try arguments.int("depth") ?? name.size.depth,
      numHeads: try arguments.int("num_heads") ?? name.size.numHeads,
      mlpDim: try arguments.positive("mlp_ratio").map { Int(Double(embedDim) * min($0, 1000)) },
      patchSize: patchSize,
      imageSize: try arguments.size("img_size") ?? inputSize(preprocessing),
      requiresImageSize: try arguments.size("img_size") != nil,
      numClasses: numClasses,
      layerNormEpsilon: 1e-6,
      globalPool: try globalPool(pool, numClasses: numClasses),
      hasFinalNorm: try arguments.bool("final_norm") ?? true,
      positionResampling: .bicubicAntialiased)
  }

  /// The values of an argument under which the model stays the plain one.
  private static func defaults(of field: String) -> [JSONValue] {
    switch field {
    case "norm_layer": [.string("layernorm")]
    case "act_layer": [.string("gelu")]
    case "pos_embed": [.string("learn")]
    case "proj_bias": [.bool(true)]
    case "qk_norm", "scale_attn_norm", "scale_mlp_norm", "pre_norm", "pool_include_prefix", "dynamic_img_pad":
      [.bool(false)]
    default: []
    }
  }

  /// `input_size` of the preprocessing: [channels, height, width].
  private func inputSize(_ preprocessing: ConfigurationFields) -> ImageSize? {
    let sides = preprocessing.values?["input_size"]?.array?.map { $0.int ?? 0 } ?? []
    guard sides.count == 3, sides.allSatisfy({ (1...65_536).contains($0) }) else { return nil }
    return ImageSize(height: sides[1], width: sides[2])
  }

  private func globalPool(_ value: JSONValue?, numClasses: Int?) throws(ModelError) -> GlobalPool? {
    // Without a head, timm's models may come without pooling.
    guard let value, value != .string("") || numClasses != 0 else { return nil }
    guard let pool = value.string.flatMap(GlobalPool.init(rawValue:)), pool != .tokenAndAverage else {
      throw .configuration(
        path: path, field: "global_pool", value: value.string.map { "\"\($0)\"" } ?? "no text",
        remedy: "expected \"token\", \"avg\", \"max\" or \"avgmax\"")
    }
    return pool
  }
}

/// transformers' `config.json`: `model_type` and its fields, with the defaults of the configuration classes.
struct HuggingFaceDeclaration {
  let path: FilePath
  let configuration: JSONValue
  let modelType: String

  func read() throws(ModelError) -> ConfigurationReader.Declared {
    let isDINOv2 = modelType.hasPrefix("dinov2")
    guard ["vit", "deit", "dinov2", "dinov2_with_registers"].contains(modelType) else {
      throw .configuration(
        path: path, field: "model_type", value: "\"\(modelType)\"",
        remedy: "supported are vit, deit, dinov2 and dinov2_with_registers")
    }
    let fields = ConfigurationFields(path: path, values: configuration)
    try fields.requireUnset("hidden_act", or: [.string("gelu")])
    try fields.requireUnset("use_swiglu_ffn", or: [.bool(false)])
    let embedDim = try fields.int("hidden_size") ?? 768
    return ConfigurationReader.Declared(
      embedDim: embedDim,
      depth: try fields.int("num_hidden_layers") ?? 12,
      numHeads: try fields.int("num_attention_heads") ?? 12,
      mlpDim: isDINOv2
        ? Int(Double(embedDim) * min(try fields.positive("mlp_ratio") ?? 4, 1000))
        : try fields.int("intermediate_size") ?? 3072,
      patchSize: try fields.size("patch_size")
        ?? ImageSize(isDINOv2 ? 14 : 16),
      imageSize: try fields.size("image_size") ?? ImageSize(224),
      requiresImageSize: true,
      numClasses: nil,
      layerNormEpsilon: try fields.epsilon("layer_norm_eps") ?? (isDINOv2 ? 1e-6 : 1e-12),
      globalPool: nil,
      positionResampling: modelType == "dinov2_with_registers" ? .bicubicAntialiased : .bicubic)
  }
}
