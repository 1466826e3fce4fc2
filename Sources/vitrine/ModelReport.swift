import Checkpoints
import Images
import Kernels
import Pipeline
import VisionTransformer

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What `inspect` says about a model.
struct ModelReport: Encodable {
  let path: String
  let container: String
  let naming: String
  let prefix: String
  /// The part of a training checkpoint that the weights are from; nil where there is but one.
  let stateDictionary: String?
  let family: String?
  let architecture: ViTConfiguration
  let tokens: Int
  let parameters: Int
  let gflops: Double
  let precision: [String]
  /// How the weights were quantised; nil where they are floats.
  let quantization: String?
  let preprocessing: PreprocessingReport
  let labels: Int?
  let kernels: String
  let tensors: [TensorReport]
  let unusedTensors: [String]

  struct PreprocessingReport: Encodable {
    let size: ImageSize
    let interpolation: Interpolation
    let resize: String
    let mean: [Double]
    let std: [Double]
  }

  struct TensorReport: Encodable {
    let name: String
    let type: String
    let shape: [Int]
  }

  init(_ model: VisionTransformer) {
    let source = model.tensors
    path = model.path.string
    container = source.container.format
    naming = source.scheme.library.rawValue
    prefix = source.prefix
    stateDictionary = source.container.metadata["state dictionary"]
    family = model.family
    architecture = model.configuration
    tokens = model.numTokens
    parameters = model.parameterCount
    gflops = (model.gflops * 1000).rounded() / 1000
    tensors = source.container.storedTensors.sorted { $0.name < $1.name }.map {
      TensorReport(name: $0.name, type: $0.type.rawValue, shape: $0.shape)
    }
    precision = Set(tensors.map(\.type)).sorted()
    quantization = (try? (source.container as? QuantizedTensors)?.scheme())?.rawValue
    preprocessing = PreprocessingReport(
      size: model.transform.size, interpolation: model.transform.interpolation,
      resize: model.transform.resizing.summary,
      mean: model.transform.normalization.mean, std: model.transform.normalization.std)
    labels = model.labels?.count
    kernels = KernelVariant.active.rawValue
    unusedTensors = model.unusedTensors
  }

  var json: String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    guard let data = try? encoder.encode(self) else { return "{}" }
    return String(decoding: data, as: UTF8.self)
  }

  func text(listsTensors: Bool) -> String {
    var rows = [
      ("path", path),
      ("file", "\(container), \(precision.joined(separator: " and ")), \(tensors.count) tensors"),
    ]
    if let quantization { rows.append(("quantised", "\(quantization) (docs/int8-format.md)")) }
    if let stateDictionary { rows.append(("weights", "under \"\(stateDictionary)\"")) }
    rows.append(("names", prefix.isEmpty ? naming : "\(naming), prefix \"\(prefix)\""))
    if let family { rows.append(("family", family)) }
    rows += [
      ("network", network), ("patches", patches), ("tokens", tokenSummary), ("head", head),
      ("parameters", "\(Rounded.text(Double(parameters) / 1e6)) million"),
      ("arithmetic", "\(Rounded.text(gflops)) GFLOP an image"),
      (
        "input",
        "\(preprocessing.size) pixels\(architecture.inChannels == 1 ? ", grey" : ""): \(preprocessing.resize), "
          + preprocessing.interpolation.rawValue
      ),
      ("mean, std", "\(preprocessing.mean), \(preprocessing.std)"),
      ("kernels", kernels),
    ]
    if !unusedTensors.isEmpty { rows.append(("not used", unusedTensors.joined(separator: ", "))) }
    let width = rows.map { $0.0.count }.max() ?? 0
    var lines = rows.map { name, value in
      name + String(repeating: " ", count: width + 2 - name.count) + value.visible
    }
    if listsTensors {
      lines += [""] + tensors.map { "\($0.name.visible)  \($0.type)  \($0.shape)" }
    }
    return lines.joined(separator: "\n")
  }

  private var network: String {
    let a = architecture
    var parts = [
      "\(a.embedDim) wide", "\(a.depth) deep",
      "\(a.numHeads) \(a.numHeads == 1 ? "head" : "heads") of \(a.headDim)",
    ]
    parts.append("\(a.gatedMLP ? "gated MLP" : "MLP") \(a.mlpDim) with \(a.activation.rawValue)")
    parts.append("\(a.norm == .layerNorm ? "LayerNorm" : "RMSNorm") epsilon \(a.normEpsilon)")
    if let stem = a.stem {
      let depths = stem.depths.map(String.init).joined(separator: ", ")
      parts.append("ResNet-V2 in front\(depths.isEmpty ? " (stem alone)" : ", \(depths) units")")
    }
    if a.block != .preNorm { parts.append("\(a.block.rawValue) blocks") }
    if let branches = a.numBranches { parts.append("\(branches) branches a block") }
    if a.differentialAttention { parts.append("differential attention") }
    if a.queryKeyNorm { parts.append("query and key norms") }
    if a.hasPreNorm { parts.append("norm before the blocks") }
    if a.layerScale { parts.append("layer scale") }
    if !a.qkvBias { parts.append("no qkv bias") }
    return parts.joined(separator: ", ")
  }

  private var patches: String {
    let a = architecture
    guard a.positions == .learned else {
      return
        "\(a.patchSize) pixels, \(a.positions == .none ? "no position embeddings" : "positions of sines and cosines")"
    }
    return
      "\(a.patchSize) pixels, positions for a grid of \(a.gridSize), resampled \(a.positionResampling.rawValue)"
  }

  private var tokenSummary: String {
    let a = architecture
    let grid =
      "\(preprocessing.size.height / a.patchSize.height)x\(preprocessing.size.width / a.patchSize.width)"
    var parts = ["\(tokens): \(grid) patches"]
    if a.hasClassToken { parts.append("class token") }
    if a.hasDistillationToken { parts.append("distillation token") }
    if a.numRegisterTokens > 0 { parts.append("\(a.numRegisterTokens) registers") }
    return parts.joined(separator: ", ")
  }

  private var head: String {
    let a = architecture
    let pool = "pool \"\(a.globalPool.rawValue)\""
    if let width = a.projectionDim { return "an image embedding of \(width) from \(pool)" }
    guard a.numClasses > 0 else { return "none (features only), \(pool)" }
    let labels = labels == nil ? "without" : "with"
    let layer = a.representationDim.map { ", representation layer of \($0)" } ?? ""
    return "\(a.numClasses) classes from \(pool)\(layer), \(labels) labels"
  }
}

extension ResizeRule {
  /// The rule in a few words; what is larger than the input is cropped, what is smaller is padded.
  fileprivate var summary: String {
    switch self {
    case .none: "not resized"
    case .exactly(let size): "resized to \(size)"
    case .shortestEdge(let edge): "shortest edge to \(edge)"
    case .shortestEdgeWithin(let shortest, let longest):
      "shortest edge to \(shortest), longest to at most \(longest)"
    case .covering(let size): "resized to cover \(size)"
    case .fitting(let size): "resized to fit into \(size)"
    }
  }
}
