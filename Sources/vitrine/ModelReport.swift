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
  let architecture: ViTConfiguration
  let tokens: Int
  let parameters: Int
  let gflops: Double
  let precision: [String]
  let preprocessing: PreprocessingReport
  let labels: Int?
  let kernels: String
  let blas: String
  let tensors: [TensorReport]
  let ignoredTensors: [String]

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
    architecture = model.configuration
    tokens = model.numTokens
    parameters = model.parameterCount
    gflops = (model.configuration.gflops(grid: model.grid) * 1000).rounded() / 1000
    tensors = source.container.tensors.values.sorted { $0.name < $1.name }.map {
      TensorReport(name: $0.name, type: $0.type.rawValue, shape: $0.shape)
    }
    precision = Set(tensors.map(\.type)).sorted()
    preprocessing = PreprocessingReport(
      size: model.transform.size, interpolation: model.transform.interpolation,
      resize: model.transform.resizing.summary,
      mean: model.transform.normalization.mean, std: model.transform.normalization.std)
    labels = model.labels?.count
    kernels = KernelVariant.active.rawValue
    blas = BLAS.description
    ignoredTensors = source.ignored
  }

  var json: String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    guard let data = try? encoder.encode(self) else { return "{}" }
    return String(decoding: data, as: UTF8.self)
  }

  func text(listsTensors: Bool) -> String {
    let a = architecture
    var extras: [String] = []
    if a.hasClassToken { extras.append("class token") }
    if a.hasDistillationToken { extras.append("distillation token") }
    if a.numRegisterTokens > 0 { extras.append("\(a.numRegisterTokens) registers") }
    if a.layerScale { extras.append("layer scale") }
    if !a.qkvBias { extras.append("no qkv bias") }
    let grid =
      "\(preprocessing.size.height / a.patchSize.height)x\(preprocessing.size.width / a.patchSize.width)"
    let head =
      a.numClasses == 0
      ? "none (features only)"
      : "\(a.numClasses) classes from pool \"\(a.globalPool.rawValue)\", \(labels == nil ? "without" : "with") labels"
    var rows = [
      ("path", path),
      ("file", "\(container), \(precision.joined(separator: " and ")), \(tensors.count) tensors"),
      ("names", prefix.isEmpty ? naming : "\(naming), prefix \"\(prefix)\""),
      (
        "network",
        "\(a.embedDim) wide, \(a.depth) deep, \(a.numHeads) heads of \(a.headDim), MLP \(a.mlpDim), "
          + "LayerNorm epsilon \(a.layerNormEpsilon)"
      ),
      (
        "patches",
        "\(a.patchSize) pixels, positions for a grid of \(a.gridSize), resampled \(a.positionResampling == .bicubic ? "bicubic" : "bicubic, antialiased")"
      ),
      ("tokens", "\(tokens): \(grid) patches" + extras.map { ", \($0)" }.joined()),
      ("head", head),
      ("parameters", "\(Self.rounded(Double(parameters) / 1e6)) million"),
      ("arithmetic", "\(Self.rounded(gflops)) GFLOP an image"),
      (
        "input",
        "\(preprocessing.size) pixels: \(preprocessing.resize), \(preprocessing.interpolation.rawValue)"
      ),
      ("mean, std", "\(preprocessing.mean), \(preprocessing.std)"),
      ("kernels", "\(kernels); \(blas)"),
    ]
    if !ignoredTensors.isEmpty { rows.append(("not needed", ignoredTensors.joined(separator: ", "))) }
    let width = rows.map(\.0.count).max() ?? 0
    var lines = rows.map { name, value in
      name + String(repeating: " ", count: width + 2 - name.count) + value.visible
    }
    if listsTensors {
      lines += [""] + tensors.map { "\($0.name.visible)  \($0.type)  \($0.shape)" }
    }
    return lines.joined(separator: "\n")
  }

  /// Three significant places are enough to read.
  private static func rounded(_ value: Double) -> String {
    let scale: Double = value >= 100 ? 10 : value >= 10 ? 100 : 1000
    return "\((value * scale).rounded() / scale)"
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
