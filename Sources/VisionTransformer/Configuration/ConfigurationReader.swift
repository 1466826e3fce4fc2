import Checkpoints
import Images
import SystemPackage

/// Finds out a checkpoint's architecture: shapes tell most; `config.json`, the architecture's name, timm's table or the library's
/// conventions tell the rest, in this order. Where two of them speak they must agree.
struct ConfigurationReader {
  let checkpoint: Checkpoint
  let tensors: NamedTensors
  /// The name given by the user; it overrules `config.json`.
  let architecture: String?
  /// The image size that the user asks for: it tells the grid where the positions fill no square.
  let size: ImageSize?
  /// What had to be assumed, for the user to know.
  private(set) var warnings: [String] = []
  /// The entry of timm's table that the tensors were found to be like, where nothing names the architecture.
  private(set) var likeness: TimmArchitectures.Entry?

  init(checkpoint: Checkpoint, tensors: NamedTensors, architecture: String?, size: ImageSize? = nil) {
    self.checkpoint = checkpoint
    self.tensors = tensors
    self.architecture = architecture
    self.size = size
  }

  /// - Throws: `ModelError` and `CheckpointError`.
  mutating func read() throws -> ViTConfiguration {
    guard tensors.unexpected.isEmpty else {
      throw CheckpointError.unexpectedTensors(path: checkpoint.path, tensors: tensors.unexpected)
    }
    let facts = try TensorFacts(tensors)
    warnings += tensors.doubts.map { "\(checkpoint.path): \($0)" }
    var declared = try declaration(facts)
    try complete(&declared, facts)
    try settleGate(&declared, facts)

    let patchSize = ImageSize(
      height: facts.projectionSize.height * (facts.stem?.stride ?? 1),
      width: facts.projectionSize.width * (facts.stem?.stride ?? 1))
    let (grid, numPositioned) = try positionGrid(facts, declared, patchSize: patchSize)
    if let warning = doubt(aboutGrid: grid, facts, patchSize: patchSize) { warnings.append(warning) }
    if facts.hasDistillationHead, !facts.hasDistillationToken { throw tensors.missing("dist_token") }
    if facts.hasDistillationToken, !facts.hasClassToken { throw tensors.missing("cls_token") }
    // transformers' classifiers of DeiT may read the class token alone.
    if tensors.scheme.library == .timm, facts.hasDistillationToken, facts.headShape != nil,
      !facts.hasDistillationHead
    {
      throw tensors.missing("head_dist.weight")
    }
    if declared.hasFinalNorm, !facts.hasNorm, !facts.hasFeatureNorm { throw tensors.missing("norm.weight") }
    if positionKind(facts) == .sinCos2D, !facts.embedDim.isMultiple(of: 4) {
      throw tensors.missing("pos_embed")
    }
    let configuration = ViTConfiguration(
      inChannels: facts.inChannels, patchSize: patchSize, gridSize: grid,
      imageSize: imageSize(declared, grid: grid, patchSize: patchSize), stem: facts.stem,
      embedDim: facts.embedDim, depth: facts.depth, numHeads: try numHeads(declared, facts),
      mlpDim: facts.mlpDim, numClasses: facts.headShape?[0] ?? 0,
      norm: declared.norm ?? (facts.normBias ? .layerNorm : .rmsNorm), normEpsilon: declared.normEpsilon,
      activation: declared.activation ?? (facts.gatedMLP ? .silu : .gelu), block: try block(declared, facts),
      numBranches: facts.numBranches,
      gatedMLP: facts.gatedMLP, differentialAttention: facts.differentialAttention,
      hasClassToken: facts.hasClassToken, hasDistillationToken: facts.hasDistillationToken,
      numRegisterTokens: facts.numRegisterTokens, positions: positionKind(facts),
      numPositionedPrefixTokens: numPositioned, qkvBias: facts.qkvBias, layerScale: facts.layerScale,
      queryKeyNorm: facts.queryKeyNorm, hasPatchNorm: facts.hasPatchNorm, hasPreNorm: facts.hasPreNorm,
      globalPool: try globalPool(declared, facts), poolsPrefixTokens: declared.poolsPrefixTokens,
      hasNorm: facts.hasNorm, hasFeatureNorm: facts.hasFeatureNorm,
      representationDim: facts.representationDim,
      representationPrecedesNorm: facts.representationDim != nil
        && tensors.scheme.library == .pyTorchPretrainedViT,
      hasDistillationHead: facts.hasDistillationHead, projectionDim: facts.projectionDim,
      positionResampling: declared.positionResampling)
    try checkAgreement(declared, facts)
    return configuration
  }

  // MARK: What is declared

  /// Refuses names of architectures that are not supported, before the names of their tensors are found to be strange.
  static func checkNames(_ checkpoint: Checkpoint, architecture: String?) throws(ModelError) {
    let configuration = checkpoint.configuration
    if let name = architecture ?? configuration?["architecture"]?.string {
      _ = try TimmArchitectures.table.entry(name)
    }
    guard let configuration, configuration["architecture"]?.string == nil,
      architecture == nil || configuration["model_type"] != nil
    else { return }
    try HuggingFaceDeclaration(path: checkpoint.configurationPath, configuration: configuration).checkFamily()
  }

  /// A name given by the user takes the place of the one in the configuration; all else that the checkpoint says still holds.
  private func declaration(_ facts: TensorFacts) throws -> Declared {
    let configuration = checkpoint.configuration
    let conventions = tensors.scheme.library.conventions(tensors)
    let entry = try (architecture ?? configuration?["architecture"]?.string).map(
      TimmArchitectures.table.entry)
    // A name says all where there is no configuration, or where that is not transformers'.
    if let entry, configuration?["architecture"]?.string != nil || configuration?["model_type"] == nil {
      var declared = try declaration(of: entry, configuration)
      // Names of another library come with its habits.
      if tensors.scheme.library != .timm {
        declared.positionResampling = conventions.positionResampling
        declared.normEpsilon = conventions.normEpsilon
        if tensors.scheme.library == .huggingFaceViT || facts.headShape == nil { declared.globalPool = nil }
      }
      return declared
    }
    guard let configuration else { return conventions }
    var declared = try HuggingFaceDeclaration(
      path: checkpoint.configurationPath, configuration: configuration
    ).read()
    if let entry {
      let named = try declaration(of: entry, nil)
      (declared.embedDim, declared.depth) = (named.embedDim, named.depth)
      (declared.numHeads, declared.patchSize) = (named.numHeads, named.patchSize)
    }
    return declared
  }

  private func declaration(
    of entry: TimmArchitectures.Entry, _ configuration: JSONValue?
  ) throws(ModelError) -> Declared {
    try TimmDeclaration(path: checkpoint.configurationPath, configuration: configuration, entry: entry).read()
  }

  /// timm's configurations cannot hold a class, such as a gated MLP's, so that only the tensors tell of it: the declared width is then
  /// that of both halves, and the activation, a class too, is that of the gates that are published so.
  private mutating func settleGate(_ declared: inout Declared, _ facts: TensorFacts) throws {
    guard facts.gatedMLP, !declared.knowsMLP else { return }
    declared.mlpDim = declared.mlpDim.map { $0 / 2 }
    guard !declared.statesActivation else { return }
    declared.activation = .silu
    warnings.append(
      "\(checkpoint.path): the MLP is a gated one, of which the configuration says nothing; assumed SiLU (act_layer in model_args "
        + "decides)")
  }

  /// Fills in from timm's table what nothing declares.
  private mutating func complete(_ declared: inout Declared, _ facts: TensorFacts) throws {
    guard checkpoint.configuration == nil, architecture == nil else { return }
    let search = ArchitectureSearch(facts)
    let readings = try search.entries.map { (entry: $0, declared: try declaration(of: $0, nil)) }
    let library = tensors.scheme.library
    let heads = Set(readings.compactMap(\.declared.numHeads))
    if heads.count == 1 { declared.numHeads = heads.first }
    let isTimm = library == .timm || library == .dinov2
    // The other libraries but these have one activation.
    guard isTimm || [.bigVision, .clip].contains(library) && declared.activation == nil else { return }

    // The plainest of several that fit: exact GELU, the usual order of layers.
    func isPlain(_ reading: Declared) -> Bool {
      (reading.activation ?? .gelu) == .gelu && (reading.block ?? .preNorm) == .preNorm
    }
    // Those of the right size, or all where there is none.
    let eligible = readings.prefix(search.numSized > 0 ? search.numSized : readings.count)
    guard let chosen = eligible.first(where: { isPlain($0.declared) }) ?? eligible.first else {
      assumeUsual(&declared, facts, isTimm: isTimm)
      return
    }
    declared.activation = chosen.declared.activation
    if isTimm {
      likeness = chosen.entry
      declared.block = chosen.declared.block
      declared.norm = chosen.declared.norm
      declared.normEpsilon = chosen.declared.normEpsilon
      declared.globalPool = chosen.declared.globalPool
      declared.poolsPrefixTokens = chosen.declared.poolsPrefixTokens
      declared.imageSize = chosen.declared.imageSize
      declared.hasFinalNorm = chosen.declared.hasFinalNorm
    }
    func behavior(_ reading: Declared) -> [String] {
      let epsilon = isTimm ? "\(reading.normEpsilon)" : ""
      let pool = isTimm ? reading.globalPool?.rawValue ?? "" : ""
      return [
        (reading.activation ?? .gelu).rawValue, epsilon, (reading.block ?? .preNorm).rawValue, pool,
        facts.numHeads == nil ? "\(reading.numHeads ?? 0)" : "", "\(reading.poolsPrefixTokens)",
      ]
    }
    let others = readings.filter { behavior($0.declared) != behavior(chosen.declared) }
    if let other = others.first {
      warnings.append(
        "\(checkpoint.path): several of timm's architectures have these tensors; assumed \(chosen.entry.name), not "
          + "\(other.entry.name)\(others.count > 1 ? " or \(others.count - 1) more" : "") (--architecture decides)"
      )
    }
  }

  /// What is usual, where no architecture of the table fits.
  private mutating func assumeUsual(_ declared: inout Declared, _ facts: TensorFacts, isTimm: Bool) {
    declared.activation = facts.gatedMLP ? .silu : .gelu
    // A norm before the blocks is CLIP's, whose epsilon is larger.
    if isTimm, facts.hasPreNorm, facts.normBias { declared.normEpsilon = 1e-5 }
    warnings.append(
      "\(checkpoint.path): none of timm's architectures has these tensors; assumed \(facts.gatedMLP ? "SiLU" : "exact GELU") and "
        + "a norm epsilon of \(declared.normEpsilon) (a config.json with timm's architecture and model_args decides)"
    )
  }

  // MARK: Where tensors and declarations meet

  private mutating func numHeads(_ declared: Declared, _ facts: TensorFacts) throws -> Int {
    let heads: Int
    if let numHeads = facts.numHeads ?? declared.numHeads {
      heads = numHeads
    } else if let numHeads = TimmArchitectures.numHeads(embedDim: facts.embedDim, depth: facts.depth) {
      heads = numHeads
    } else {
      heads = max(1, facts.embedDim / 64)
      warnings.append(
        "\(checkpoint.path): the number of heads is not in the file; assumed \(heads) "
          + "\(heads == 1 ? "head" : "heads") of \(facts.embedDim / heads) "
          + "(state num_heads in config.json, or give --architecture)")
    }
    guard heads > 0, facts.embedDim.isMultiple(of: heads),
      !facts.differentialAttention || facts.embedDim.isMultiple(of: 2 * heads)
    else {
      throw ModelError.configuration(
        path: checkpoint.path, field: "num_heads",
        value: "\(heads)\(architecture.map { " by --architecture \($0)" } ?? "")",
        remedy: "the width of \(facts.embedDim) is not divisible by it")
    }
    return heads
  }

  private func block(_ declared: Declared, _ facts: TensorFacts) throws -> BlockKind {
    let isParallel = facts.structure == .parallel
    guard let block = declared.block else { return isParallel ? .parallel : .preNorm }
    guard (block == .parallel) == isParallel else {
      throw ModelError.disagreement(
        path: checkpoint.path, field: "block_fn", configured: block.rawValue,
        tensors: isParallel ? "parallel" : "one after the other")
    }
    return block
  }

  private func globalPool(_ declared: Declared, _ facts: TensorFacts) throws -> GlobalPool {
    // transformers' classifiers of SigLIP have the pool, but do not use it.
    if facts.hasAttentionPool {
      return tensors.scheme.library == .huggingFaceSigLIP && facts.headShape != nil ? .average : .attention
    }
    if [.huggingFaceDINOv2, .dinov2].contains(tensors.scheme.library),
      facts.headShape?[1] == 2 * facts.embedDim
    {
      return .tokenAndAverage
    }
    let pool = declared.globalPool ?? (facts.hasFeatureNorm || !facts.hasClassToken ? .average : .token)
    guard pool != .attention else { throw tensors.missing("attn_pool.latent") }
    guard facts.hasClassToken || pool != .token else { throw tensors.missing("cls_token") }
    return pool
  }

  private func checkAgreement(_ declared: Declared, _ facts: TensorFacts) throws {
    let numbers: [(String, Int?, Int)] = [
      ("embed_dim", declared.embedDim, facts.embedDim), ("depth", declared.depth, facts.depth),
      ("num_heads", facts.numHeads == nil ? nil : declared.numHeads, facts.numHeads ?? 0),
      ("mlp_dim", declared.mlpDim, facts.mlpDim),
      ("num_classes", declared.numClasses, facts.headShape?[0] ?? 0),
      ("in_chans", declared.inChannels, facts.inChannels),
      ("patch height", declared.patchSize?.height, facts.projectionSize.height),
      ("patch width", declared.patchSize?.width, facts.projectionSize.width),
    ]
    let flags: [(String, Bool?, Bool)] = [
      ("qkv_bias", declared.qkvBias, facts.qkvBias),
      ("proj_bias", declared.projectionBias, facts.projectionBias),
      ("qk_norm", declared.queryKeyNorm, facts.queryKeyNorm),
      ("class_token", declared.hasClassToken, facts.hasClassToken),
    ]
    let texts =
      numbers.map { ($0, $1.map(String.init), String($2)) }
      + flags.map { ($0, $1.map(String.init), String($2)) }
    for (field, configured, tensors) in texts {
      if let configured, configured != tensors {
        throw ModelError.disagreement(
          path: checkpoint.path, field: field, configured: configured, tensors: tensors)
      }
    }
  }
}
