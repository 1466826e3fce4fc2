import Checkpoints
import Images

/// What the names and shapes of a checkpoint's tensors tell about its architecture.
struct TensorFacts {
  let embedDim: Int
  let inChannels: Int
  /// The kernel of the patch projection: in a plain model pixels of a patch.
  let projectionSize: ImageSize
  let stem: ResNetConfiguration?
  let depth: Int
  let structure: Structure
  /// Attentions of a block; nil where there is one, and no list of them.
  let numBranches: Int?
  let mlpDim: Int
  let gatedMLP: Bool
  let differentialAttention: Bool
  /// Where the file keeps heads apart; else nil.
  let numHeads: Int?
  let hasClassToken: Bool
  let hasDistillationToken: Bool
  let numRegisterTokens: Int
  /// Rows of the position embeddings; nil where there are none.
  let positions: Int?
  let qkvBias: Bool
  let projectionBias: Bool
  let layerScale: Bool
  let queryKeyNorm: Bool
  let attentionNorm: Bool
  let hasPatchNorm: Bool
  let hasPreNorm: Bool
  let hasNorm: Bool
  let hasFeatureNorm: Bool
  /// Layer norms have a bias, RMS norms have none.
  let normBias: Bool
  let hasAttentionPool: Bool
  let representationDim: Int?
  let projectionDim: Int?
  let headShape: [Int]?
  let hasDistillationHead: Bool

  var numPrefixTokens: Int {
    (hasClassToken ? 1 : 0) + (hasDistillationToken ? 1 : 0) + numRegisterTokens
  }

  /// The three ways in which timm's blocks name their layers.
  enum Structure: String {
    case sequential, parallel, branched
  }

  init(_ tensors: NamedTensors) throws {
    let shapes = Shapes(tensors: tensors)
    let projection = try shapes.projection()
    let (embedDim, depth) = (projection[0], tensors.depth)
    self.embedDim = embedDim
    self.depth = depth
    projectionSize = ImageSize(height: projection[2], width: projection[3])
    (stem, inChannels) = try shapes.stem(projectionInputs: projection[1])

    if tensors.contains("blocks.0.in_proj.weight") {
      structure = .parallel
    } else if tensors.containsLike("blocks.0.attns.0.norm.weight") {
      structure = .branched
    } else {
      structure = .sequential
    }
    var branches = 1
    while structure == .branched, tensors.contains("blocks.0.attns.\(branches).norm.weight") { branches += 1 }
    numBranches = structure == .branched ? branches : nil

    if structure == .parallel {
      let name = "blocks.0.in_proj.weight"
      let rows = try shapes.rows(name, columns: embedDim)
      guard rows > 3 * embedDim else {
        throw shapes.wrong(name, expected: [7 * embedDim, embedDim])
      }
      (mlpDim, gatedMLP) = (rows - 3 * embedDim, false)
    } else {
      let mlp = structure == .branched ? "blocks.0.ffns.0.mlp" : "blocks.0.mlp"
      let rows = try shapes.rows("\(mlp).fc1.weight", columns: embedDim)
      let inner = tensors.shape(of: "\(mlp).fc2.weight")?.last ?? rows
      gatedMLP = inner > 0 && rows == 2 * inner
      mlpDim = gatedMLP ? inner : rows
    }
    let attention =
      structure == .parallel ? "blocks.0" : structure == .branched ? "blocks.0.attns.0.attn" : "blocks.0.attn"
    let layer = structure == .parallel ? "in_proj" : "qkv"
    differentialAttention =
      tensors.containsLike("\(attention).lambda_q1") || tensors.containsLike("\(attention).lambda_a")
    qkvBias = tensors.containsLike("\(attention).\(layer).bias")
    projectionBias = ["proj", "out_proj", "attn_out_proj"].contains {
      tensors.containsLike("\(attention).\($0).bias")
    }
    queryKeyNorm =
      tensors.containsLike("\(attention).q_norm.weight") || tensors.containsLike("\(attention).k_norm.weight")
    attentionNorm = tensors.containsLike("\(attention).norm.weight")
    let firstNorm = ["norm1", "in_norm", "attns.0.norm"].map { "blocks.0.\($0).bias" }
    normBias = firstNorm.contains { tensors.containsLike($0) }
    layerScale = ["ls1", "ls2", "ls", "attns.0.ls", "ffns.0.ls"].contains {
      tensors.containsLike("blocks.0.\($0).gamma")
    }
    numHeads = shapes.numHeads("\(attention).\(layer).weight")

    hasClassToken = tensors.contains("cls_token")
    hasDistillationToken = tensors.contains("dist_token")
    numRegisterTokens = tensors.contains("reg_token") ? try shapes.rows("reg_token", columns: embedDim) : 0
    positions = tensors.contains("pos_embed") ? try shapes.rows("pos_embed", columns: embedDim) : nil
    hasPatchNorm = tensors.hasLayer("patch_embed.norm")
    hasPreNorm = tensors.hasLayer("norm_pre")
    hasNorm = tensors.hasLayer("norm")
    hasFeatureNorm = tensors.hasLayer("fc_norm")
    hasAttentionPool = tensors.contains("attn_pool.latent") || tensors.hasLayer("attn_pool.q")
    representationDim = try shapes.outputs("pre_logits.fc.weight")
    projectionDim = try shapes.outputs("visual_projection.weight")
    headShape = try shapes.outputs("head.weight") == nil ? nil : tensors.shape(of: "head.weight")
    hasDistillationHead = tensors.hasLayer("head_dist")
  }
}

extension NamedTensors {
  /// Whether any part of a layer is there: then all of it must be.
  func hasLayer(_ name: String) -> Bool { contains("\(name).weight") || contains("\(name).bias") }
}

/// Reads shapes with errors that name the tensor as the file does.
private struct Shapes {
  let tensors: NamedTensors

  /// [D, channels, height, width]
  func projection() throws -> [Int] {
    let name = "patch_embed.proj.weight"
    guard let shape = tensors.shape(of: name) else { throw tensors.missing(name) }
    guard shape.count == 4, shape.allSatisfy({ $0 > 0 }), shape[2] <= 4096, shape[3] <= 4096 else {
      throw wrong(name, expected: [max(shape.first ?? 0, 1), 3, 16, 16])
    }
    return shape
  }

  /// The backbone of a hybrid and the channels of its input; without one, those of the patch projection.
  func stem(projectionInputs: Int) throws -> (ResNetConfiguration?, inChannels: Int) {
    let name = "patch_embed.backbone.stem.conv.weight"
    guard
      tensors.containsLike(name)
        || tensors.containsLike("patch_embed.backbone.stages.0.blocks.0.conv1.weight")
    else {
      return (nil, try channels(projectionInputs, of: "patch_embed.proj.weight"))
    }
    guard let shape = tensors.shape(of: name) else { throw tensors.missing(name) }
    guard shape.count == 4, shape.allSatisfy({ $0 > 0 }) else { throw wrong(name, expected: [64, 3, 7, 7]) }
    var depths: [Int] = []
    while tensors.contains("patch_embed.backbone.stages.\(depths.count).blocks.0.conv1.weight") {
      var units = 1
      while tensors.contains("patch_embed.backbone.stages.\(depths.count).blocks.\(units).conv1.weight") {
        units += 1
      }
      depths.append(units)
    }
    // The stem and its pool halve twice, each stage but the first once.
    let stride = 4 << max(0, min(depths.count, 16) - 1)
    return (ResNetConfiguration(depths: depths, stride: stride), try channels(shape[1], of: name))
  }

  private func channels(_ count: Int, of name: String) throws -> Int {
    guard count == 3 || count == 1 else {
      throw ModelError.configuration(
        path: tensors.path(of: name), field: tensors.foreignName(of: name),
        value: "a layer for \(count) channels",
        remedy: "only images of 3 channels (RGB) or 1 (grey) can be read")
    }
    return count
  }

  /// The number of rows of a tensor of shape [..., rows, columns], where all before is 1.
  func rows(_ name: String, columns: Int) throws -> Int {
    guard let shape = tensors.shape(of: name) else { throw tensors.missing(name) }
    // CLIP's class embedding is a plain vector.
    if shape == [columns] { return 1 }
    guard shape.count >= 2, shape.last == columns, shape.dropLast(2).allSatisfy({ $0 == 1 }),
      shape[shape.count - 2] > 0
    else {
      throw wrong(name, expected: [max(shape.dropLast().last ?? 1, 1), columns])
    }
    return shape[shape.count - 2]
  }

  /// O of a weight [O, K]; nil where it is not there.
  func outputs(_ name: String) throws -> Int? {
    guard let shape = tensors.shape(of: name) else { return nil }
    guard shape.count == 2, shape.allSatisfy({ $0 > 0 }) else { throw wrong(name, expected: [1000, 768]) }
    return shape[0]
  }

  func numHeads(_ name: String) -> Int? {
    guard let part = tensors.parts(of: name)?.first, part.layout == .intoHeads, part.storedShape.count == 3
    else {
      return nil
    }
    return part.storedShape[1]
  }

  func wrong(_ name: String, expected: [Int]) -> CheckpointError {
    .wrongShape(
      path: tensors.path(of: name), tensor: tensors.foreignName(of: name), expected: expected,
      actual: tensors.shape(of: name) ?? [])
  }
}
