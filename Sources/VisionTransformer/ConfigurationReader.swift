import Checkpoints
import Images
import SystemPackage

/// Finds out a checkpoint's architecture: shapes tell most, `config.json` and the architecture's name tell the rest, and where
/// both speak they must agree.
struct ConfigurationReader {
  let checkpoint: Checkpoint
  let tensors: NamedTensors
  /// The name given by the user; it overrules `config.json`.
  let architecture: String?
  /// What had to be assumed, for the user to know.
  private(set) var warnings: [String] = []

  init(checkpoint: Checkpoint, tensors: NamedTensors, architecture: String?) {
    self.checkpoint = checkpoint
    self.tensors = tensors
    self.architecture = architecture
  }

  /// What the configuration and the name say; nil where they are silent.
  struct Declared {
    var embedDim: Int?
    var depth: Int?
    var numHeads: Int?
    var mlpDim: Int?
    var patchSize: ImageSize?
    /// The size for which the positions were trained.
    var imageSize: ImageSize?
    /// Whether the positions must be of that size; otherwise it is where to look first.
    var requiresImageSize = false
    var numClasses: Int?
    var layerNormEpsilon: Float
    var globalPool: GlobalPool?
    /// Whether a norm follows the last block or the pool.
    var hasFinalNorm = true
    var positionResampling: PositionResampling
  }

  /// - Throws: `ModelError` and `CheckpointError`.
  mutating func read() throws -> ViTConfiguration {
    guard tensors.unexpected.isEmpty else {
      throw CheckpointError.unexpectedTensors(path: checkpoint.path, tensors: tensors.unexpected)
    }
    let declared = try declaration()
    let (embedDim, patchSize) = try patchEmbedding()
    guard tensors.depth > 0 else { throw tensors.missing("blocks.0.norm1.weight") }

    let hasClassToken = tensors.contains("cls_token")
    let hasDistillationToken = tensors.contains("dist_token")
    let numRegisterTokens = try registerTokens(embedDim: embedDim)
    let numPrefixTokens = (hasClassToken ? 1 : 0) + (hasDistillationToken ? 1 : 0) + numRegisterTokens
    let positions = try rows("pos_embed", columns: embedDim)
    let (grid, numPositioned) = try positionGrid(
      positions: positions, numPrefixTokens: numPrefixTokens, declared: declared, patchSize: patchSize)

    let mlpDim = try rows("blocks.0.mlp.fc1.weight", columns: embedDim)
    if let shape = tensors.shape(of: "blocks.0.mlp.fc2.weight"), shape.count == 2, 2 * shape[1] == mlpDim {
      throw ModelError.configuration(
        path: checkpoint.path, field: tensors.foreignName(of: "blocks.0.mlp.fc1.weight"),
        value: "twice as wide as fc2",
        remedy: "a packed SwiGLU, which is not supported")
    }
    let headShape = tensors.shape(of: "head.weight") ?? []
    let hasHead = tensors.contains("head.weight")
    guard !hasHead || headShape.count == 2 else {
      throw wrongShape("head.weight", expected: [declared.numClasses ?? 1000, embedDim], actual: headShape)
    }
    let hasDistillationHead = tensors.contains("head_dist.weight")
    if hasDistillationHead, !hasDistillationToken { throw tensors.missing("dist_token") }
    if hasDistillationToken, !hasClassToken { throw tensors.missing("cls_token") }
    let hasNorm = hasLayer("norm")
    let hasFeatureNorm = hasLayer("fc_norm")
    if declared.hasFinalNorm, !hasNorm, !hasFeatureNorm { throw tensors.missing("norm.weight") }
    let configuration = ViTConfiguration(
      patchSize: patchSize, gridSize: grid, embedDim: embedDim, depth: tensors.depth,
      numHeads: try numHeads(declared: declared, embedDim: embedDim), mlpDim: mlpDim,
      numClasses: hasHead ? headShape[0] : 0, layerNormEpsilon: declared.layerNormEpsilon,
      hasClassToken: hasClassToken, hasDistillationToken: hasDistillationToken,
      numRegisterTokens: numRegisterTokens, numPositionedPrefixTokens: numPositioned,
      qkvBias: anyBlock("attn.qkv.bias"), layerScale: anyBlock("ls1.gamma"),
      globalPool: try globalPool(
        declared: declared, hasClassToken: hasClassToken, embedDim: embedDim, headShape: headShape),
      hasNorm: hasNorm, hasFeatureNorm: hasFeatureNorm,
      hasDistillationHead: hasDistillationHead,
      positionResampling: declared.positionResampling)
    try checkAgreement(declared, configuration)
    return configuration
  }

  // MARK: What the tensors say

  private func patchEmbedding() throws -> (embedDim: Int, patchSize: ImageSize) {
    let name = "patch_embed.proj.weight"
    guard let shape = tensors.shape(of: name) else { throw tensors.missing(name) }
    guard shape.count == 4, shape.allSatisfy({ $0 > 0 }) else {
      throw wrongShape(name, expected: [declaredDim ?? 768, 3, 16, 16], actual: shape)
    }
    guard shape[1] == 3 else {
      throw wrongShape(name, expected: [shape[0], 3, shape[2], shape[3]], actual: shape)
    }
    return (shape[0], ImageSize(height: shape[2], width: shape[3]))
  }

  private var declaredDim: Int? {
    checkpoint.configuration?["hidden_size"]?.int ?? checkpoint.configuration?["num_features"]?.int
  }

  /// The number of rows of a tensor of shape [..., rows, columns], where all before is 1.
  private func rows(_ name: String, columns: Int) throws -> Int {
    guard let shape = tensors.shape(of: name) else { throw tensors.missing(name) }
    guard shape.count >= 2, shape.last == columns, shape.dropLast(2).allSatisfy({ $0 == 1 }),
      shape[shape.count - 2] > 0
    else {
      throw wrongShape(name, expected: [max(shape.dropLast().last ?? 1, 1), columns], actual: shape)
    }
    return shape[shape.count - 2]
  }

  private func registerTokens(embedDim: Int) throws -> Int {
    tensors.contains("reg_token") ? try rows("reg_token", columns: embedDim) : 0
  }

  /// Whether any part of a layer is there: then all of it must be.
  private func hasLayer(_ name: String) -> Bool {
    tensors.contains("\(name).weight") || tensors.contains("\(name).bias")
  }

  private func anyBlock(_ name: String) -> Bool {
    (0..<tensors.depth).contains { tensors.contains("blocks.\($0).\(name)") }
  }

  private func wrongShape(_ name: String, expected: [Int], actual: [Int]) -> CheckpointError {
    .wrongShape(
      path: tensors.path(of: name), tensor: tensors.foreignName(of: name), expected: expected, actual: actual)
  }

  /// The grid for which the positions were trained, and how many prefix tokens have a position.
  ///
  /// Either all prefix tokens have one (timm, Hugging Face's DeiT), none (timm's `no_embed_class`) or the class token alone
  /// (Hugging Face's registers).
  private func positionGrid(
    positions: Int, numPrefixTokens: Int, declared: Declared, patchSize: ImageSize
  ) throws -> (grid: ImageSize, numPositioned: Int) {
    var candidates = [numPrefixTokens, 0]
    if numPrefixTokens > 1 { candidates.insert(1, at: 1) }
    if let size = declared.imageSize {
      let grid = ImageSize(height: size.height / patchSize.height, width: size.width / patchSize.width)
      for prefix in candidates where grid.height * grid.width == positions - prefix { return (grid, prefix) }
    }
    if declared.requiresImageSize, let size = declared.imageSize {
      throw ModelError.disagreement(
        path: checkpoint.path, field: "image_size", configured: "\(size)",
        tensors: "\(positions) positions for patches of \(patchSize) and \(numPrefixTokens) prefix tokens")
    }
    for prefix in candidates {
      let side = Int(Double(max(positions - prefix, 0)).squareRoot().rounded())
      if side > 0, side * side == positions - prefix {
        return (ImageSize(height: side, width: side), prefix)
      }
    }
    let name = "pos_embed"
    let patches = declared.imageSize.map { $0.height / patchSize.height * ($0.width / patchSize.width) }
    guard let patches else {
      throw ModelError.configuration(
        path: tensors.path(of: name), field: tensors.foreignName(of: name), value: "\(positions) positions",
        remedy:
          "no square grid of patches with \(numPrefixTokens) prefix tokens; state the image size in config.json"
      )
    }
    throw wrongShape(
      name, expected: [1, patches + numPrefixTokens, tensors.shape(of: name)?.last ?? 0],
      actual: tensors.shape(of: name) ?? [])
  }

  // MARK: Where tensors and configuration meet

  private mutating func numHeads(declared: Declared, embedDim: Int) throws -> Int {
    let heads: Int
    if let numHeads = declared.numHeads {
      heads = numHeads
    } else if let numHeads = ArchitectureName.numHeads(embedDim: embedDim, depth: tensors.depth) {
      heads = numHeads
    } else {
      heads = max(1, embedDim / 64)
      warnings.append(
        "\(checkpoint.path): the number of heads is not in the file; assumed \(heads) heads of \(embedDim / heads) "
          + "(state num_heads in config.json, or give --architecture)")
    }
    guard heads > 0, embedDim.isMultiple(of: heads) else {
      throw ModelError.configuration(
        path: checkpoint.path, field: "num_heads",
        value: "\(heads)\(architecture.map { " by --architecture \($0)" } ?? "")",
        remedy: "the width of \(embedDim) is not divisible by it")
    }
    return heads
  }

  private func globalPool(
    declared: Declared, hasClassToken: Bool, embedDim: Int, headShape: [Int]
  ) throws -> GlobalPool {
    if tensors.scheme.library == .huggingFaceDINOv2, headShape.count == 2, headShape[1] == 2 * embedDim {
      return .tokenAndAverage
    }
    let pool =
      declared.globalPool
      ?? (tensors.contains("fc_norm.weight") || !hasClassToken ? .average : .token)
    guard hasClassToken || pool != .token else { throw tensors.missing("cls_token") }
    return pool
  }

  private func checkAgreement(_ declared: Declared, _ actual: ViTConfiguration) throws {
    let values: [(String, Int?, Int)] = [
      ("embed_dim", declared.embedDim, actual.embedDim), ("depth", declared.depth, actual.depth),
      ("mlp_dim", declared.mlpDim, actual.mlpDim), ("num_classes", declared.numClasses, actual.numClasses),
      ("patch height", declared.patchSize?.height, actual.patchSize.height),
      ("patch width", declared.patchSize?.width, actual.patchSize.width),
    ]
    for (field, configured, tensors) in values {
      if let configured, configured != tensors {
        throw ModelError.disagreement(
          path: checkpoint.path, field: field, configured: "\(configured)", tensors: "\(tensors)")
      }
    }
  }

  // MARK: What the configuration says

  /// A name given by the user takes the place of the one in the configuration; all else that the checkpoint says still holds.
  private func declaration() throws -> Declared {
    let configuration = checkpoint.configuration
    if let name = configuration?["architecture"]?.string {
      return try TimmDeclaration(
        path: checkpoint.configurationPath, configuration: configuration, architecture: architecture ?? name
      ).read()
    }
    if let architecture, configuration == nil, tensors.scheme.library == .timm {
      return try TimmDeclaration(
        path: checkpoint.configurationPath, configuration: nil, architecture: architecture
      ).read()
    }
    var declared = try foreignDeclaration()
    if let architecture {
      let name = try ArchitectureName(parsing: architecture)
      declared.embedDim = name.size.embedDim
      declared.depth = name.size.depth
      declared.numHeads = name.size.numHeads
      declared.patchSize = name.patchSize.map { ImageSize($0) } ?? declared.patchSize
    }
    return declared
  }

  /// What transformers' configuration says; without any, what is usual for the library whose names the tensors have.
  private func foreignDeclaration() throws -> Declared {
    if let configuration = checkpoint.configuration {
      guard let type = configuration["model_type"]?.string else {
        throw ModelError.configuration(
          path: checkpoint.configurationPath, field: "architecture", value: "missing",
          remedy: "expected timm's \"architecture\" or transformers' \"model_type\"")
      }
      return try HuggingFaceDeclaration(
        path: checkpoint.configurationPath, configuration: configuration, modelType: type
      ).read()
    }
    switch tensors.scheme.library {
    case .huggingFaceViT:
      return Declared(layerNormEpsilon: 1e-12, positionResampling: .bicubic)
    case .huggingFaceDINOv2:
      return Declared(
        layerNormEpsilon: 1e-6,
        positionResampling: tensors.contains("reg_token") ? .bicubicAntialiased : .bicubic)
    case .timm:
      return Declared(layerNormEpsilon: 1e-6, positionResampling: .bicubicAntialiased)
    }
  }
}
