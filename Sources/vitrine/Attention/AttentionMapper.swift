import Images
import Kernels
import Pipeline
import Training
import VisionTransformer

/// What is asked of a model about each image.
struct AttentionRequest: Sendable {
  enum Method: Sendable {
    case raw(layers: Range<Int>, head: HeadSelection)
    case rollout(AttentionRollout.Options)
    /// Of a class, or of the likeliest.
    case attribution(AttributionModel, label: Int?)
  }

  let method: Method
  let query: AttentionQuery
}

/// One map of an image.
struct PatchMap: Sendable {
  /// Of raw attention.
  var layer: Int?
  /// nil for the mean of all heads.
  var head: Int?
  /// [grid.height * grid.width]
  var values: [Float]
}

/// The maps of one image, and the class that they speak of.
struct AttentionMaps: Sendable {
  var maps: [PatchMap]
  var prediction: Prediction?
}

/// Computes the maps of images one after the other: what one worker holds.
final class AttentionMapper {
  private let model: VisionTransformer
  private let request: AttentionRequest
  private let weights: [Float]
  private let work: (Image) throws -> AttentionMaps

  init(_ model: VisionTransformer, _ request: AttentionRequest, compute: Compute) {
    self.model = model
    self.request = request
    let (configuration, numPrefix) = (model.configuration, model.configuration.numPrefixTokens)
    let weights = request.query.weights(numPrefixTokens: numPrefix, grid: model.grid)
    self.weights = weights
    func patches(_ row: [Float]) -> [Float] { Array(row[numPrefix...]) }
    switch request.method {
    case .raw(let layers, let head):
      let raw = RawAttention(model, layers: layers, head: head, weights: weights)
      let session = InferenceSession(model, compute: compute)
      work = { AttentionMaps(maps: raw.maps(of: $0, session)) }
    case .rollout(let options):
      let rollout = AttentionRollout(
        numTokens: model.numTokens, hasClassToken: configuration.hasClassToken, options: options)
      let session = InferenceSession(model, compute: compute)
      work = { image in
        rollout.reset()
        session.run(
          .images([image]), attention: AttentionObserver(layers: 0..<configuration.depth, visit: rollout.add))
        return AttentionMaps(maps: [PatchMap(values: patches(rollout.rows(weights)))])
      }
    case .attribution(let attribution, let label):
      let session = AttributionSession(attribution)
      let transform = model.transform
      work = { image in
        let result = session.attribute(transform.tensor(ofPrepared: image), query: weights) { logits in
          [label ?? logits.indices.max { logits[$0] < logits[$1] } ?? 0]
        }
        let predictions = Prediction.top(result.logits.count, of: result.logits, labels: model.labels)
        return AttentionMaps(
          maps: result.attributions.map { PatchMap(values: patches($0.relevance)) },
          prediction: predictions.first { $0.index == result.attributions.first?.label })
      }
    }
  }

  /// - Parameter image: what the model's transform has prepared.
  /// - Throws: `InputError.nonFiniteResult`.
  func maps(of image: Image) throws -> AttentionMaps {
    let result = try work(image)
    guard result.maps.allSatisfy({ $0.values.allSatisfy(\.isFinite) }) else {
      throw InputError.nonFiniteResult
    }
    return result
  }

  /// Bytes that a mapper takes beside its session's scratch memory.
  static func bytes(_ model: VisionTransformer, _ request: AttentionRequest) -> Double {
    let matrix = 4 * Double(model.numTokens) * Double(model.numTokens)
    switch request.method {
    case .raw: return matrix
    case .rollout: return Double(model.configuration.depth + 1) * matrix
    case .attribution(let attribution, _):
      let configuration = attribution.configuration
      let width = Double(8 * configuration.embedDim + (configuration.gatedMLP ? 3 : 1) * configuration.mlpDim)
      return 2 * (3 * matrix + 4 * Double(configuration.depth) * Double(model.numTokens) * width)
    }
  }
}

/// Rows of the attention itself.
private final class RawAttention {
  private let layers: Range<Int>
  private let head: HeadSelection
  private let query: QueryWeights
  private let numTokens: Int
  private let numPrefix: Int
  /// Of all branches of a block.
  private let numHeads: Int
  private let headsOfBranch: Int

  init(_ model: VisionTransformer, layers: Range<Int>, head: HeadSelection, weights: [Float]) {
    (self.layers, self.head) = (layers, head)
    query = QueryWeights(weights)
    numTokens = model.numTokens
    numPrefix = model.configuration.numPrefixTokens
    headsOfBranch = model.configuration.numHeads
    numHeads = model.configuration.numAttentionHeads
  }

  func maps(of image: Image, _ session: InferenceSession) -> [PatchMap] {
    // One row for each map, in the order of layers and heads.
    let heads: [Int?] =
      switch head {
      case .all: (0..<numHeads).map { $0 }
      case .mean: [nil]
      case .one(let head): [head]
      }
    var maps = layers.flatMap { layer in
      heads.map { PatchMap(layer: layer, head: $0, values: [Float](repeating: 0, count: numTokens)) }
    }
    let observer = AttentionObserver(layers: layers) { [self] attention in
      let number = attention.branch * headsOfBranch + attention.head
      let place: Int
      switch head {
      case .all: place = number
      case .mean: place = 0
      case .one(let wanted):
        guard number == wanted else { return }
        place = 0
      }
      let index = (attention.layer - layers.lowerBound) * heads.count + place
      maps[index].values.withUnsafeMutableBufferPointer { row in
        query.add(attention.probabilities, times: head == .mean ? 1 / Float(numHeads) : 1, to: row)
      }
    }
    session.run(.images([image]), attention: observer)
    for index in maps.indices { maps[index].values.removeFirst(numPrefix) }
    return maps
  }
}

extension ViTConfiguration {
  /// Heads of a block, those of all its branches.
  var numAttentionHeads: Int { numHeads * (numBranches ?? 1) }
}
