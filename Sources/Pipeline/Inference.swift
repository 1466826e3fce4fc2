import Images
import Kernels
import SystemPackage
import VisionTransformer

/// Which of the tokens are a feature.
public enum TokenSelection: String, CaseIterable, Sendable {
  case classToken = "class"
  /// The mean over the patches, without prefix tokens.
  case mean
  case patches
  /// Prefix tokens (class, distillation, registers), then patches.
  case all
  /// What the model itself makes of the tokens: the head's input, or the image embedding of a CLIP.
  case pooled

  /// The shape of one image's features.
  /// - Parameter layer: the block that is read after; nil for the end.
  public func shape(_ model: VisionTransformer, layer: Int?) -> [Int] {
    let dim = layer == nil ? model.configuration.normDim : model.configuration.embedDim
    switch self {
    case .classToken, .mean: return [dim]
    case .patches: return [model.numTokens - model.configuration.numPrefixTokens, dim]
    case .all: return [model.numTokens, dim]
    case .pooled: return [model.configuration.projectionDim ?? model.configuration.featureDim]
    }
  }

  /// What is meant where nobody says: what the model was trained to make of an image, as far as there is such a thing.
  /// - Parameter layer: the block to read after; nil for the end.
  public static func standard(_ model: VisionTransformer, layer: Int?) -> TokenSelection {
    let configuration = model.configuration
    let hasPool = configuration.projectionDim != nil || configuration.globalPool == .attention
    if hasPool, layer == nil { return .pooled }
    return configuration.hasClassToken ? .classToken : .mean
  }
}

extension InferenceSession {
  /// The logits [C] of each image; nil where they are not finite.
  public func logits(of images: [Image]) -> [[Float]?] {
    run(.images(images), allTokens: false) { output in
      images.indices.map { index in
        guard let logits = output.logits else { return nil }
        return finite(logits[index..<index + 1, 0..<logits.columns])
      }
    }
  }

  /// The features of each image, as `selection.shape` has them; nil where they are not finite.
  /// - Parameter layer: block after which to read, not with `pooled`; nil for the end, after the final norm.
  public func embeddings(of images: [Image], _ selection: TokenSelection, layer: Int?) -> [[Float]?] {
    if let layer {
      return run(.images(images), upTo: layer) { tokens in
        select(selection, from: tokens, count: images.count)
      }
    }
    let needsPatches = selection == .patches || selection == .all || selection == .mean
    return run(.images(images), allTokens: needsPatches) { output in
      // Where the norm comes behind the pool (`fc_norm`), the pooled features are the normed mean.
      let isNormedMean = model.configuration.hasFeatureNorm && model.configuration.globalPool == .average
      if selection == .pooled || selection == .mean && isNormedMean {
        let features = output.embeddings ?? output.features
        return images.indices.map { finite(features[$0..<$0 + 1, 0..<features.columns]) }
      }
      return select(selection, from: output.tokens, count: images.count)
    }
  }

  private func select(_ selection: TokenSelection, from tokens: MatrixView, count: Int) -> [[Float]?] {
    let (numPrefix, numTokens) = (model.configuration.numPrefixTokens, tokens.rows / max(1, count))
    return (0..<count).map { image in
      let rows = image * numTokens..<(image + 1) * numTokens
      let range =
        switch selection {
        case .classToken: rows.lowerBound..<rows.lowerBound + 1
        case .mean, .patches: rows.lowerBound + numPrefix..<rows.upperBound
        case .all, .pooled: rows
        }
      let selected = tokens[range, 0..<tokens.columns]
      guard selection == .mean else { return finite(selected) }
      return Elements.allFinite(selected) ? Pooling.average(selected) : nil
    }
  }

  /// The elements, row after row; nil where one is not finite.
  private func finite(_ matrix: MatrixView) -> [Float]? {
    Elements.allFinite(matrix) ? (0..<matrix.rows).flatMap { Array(matrix.row($0)) } : nil
  }
}

extension InferencePipeline.Item {
  /// The same with another value.
  public func map<Other: Sendable>(_ transform: (Value) -> Other) -> InferencePipeline.Item<Other> {
    .init(path: path, outcome: outcome.map { .init(size: $0.size, value: transform($0.value)) })
  }
}

extension InferencePipeline.Item where Value == [Float] {
  /// The image's values; nil where it failed.
  public var value: [Float]? {
    (try? outcome.get())?.value
  }

  /// What `classify` says of the image.
  public func record(topK: Int, labels: [String]?) -> ClassificationRecord {
    switch outcome {
    case .failure(let error):
      ClassificationRecord(path: path, outcome: .error("\(error)"))
    case .success(let success):
      ClassificationRecord(
        path: path,
        outcome: .predictions(
          size: success.size, Prediction.top(topK, of: success.value, labels: labels)))
    }
  }

  /// A JSON object with the image's path, and the error where it failed.
  public var pathLine: String {
    var members = JSONText.members(of: path)
    if case .failure(let error) = outcome { members += ",\"error\":\(JSONText.quoted("\(error)"))" }
    return "{\(members)}"
  }
}
