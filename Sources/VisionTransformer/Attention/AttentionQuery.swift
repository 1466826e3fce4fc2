import Images
import Kernels

/// Whose attention is looked at.
public enum AttentionQuery: Sendable, Equatable {
  /// The class token's.
  case classToken
  /// That of a patch, by its row and column in the grid.
  case patch(row: Int, column: Int)
  /// The mean over all patches: what stands for the class token in models that have none.
  case meanOfPatches

  /// What is meant where nobody says.
  public static func standard(_ configuration: ViTConfiguration) -> AttentionQuery {
    configuration.hasClassToken ? .classToken : .meanOfPatches
  }

  /// - Throws: `ModelError` where the model has no such token.
  public func check(_ model: VisionTransformer) throws(ModelError) {
    switch self {
    case .classToken:
      guard model.configuration.hasClassToken else {
        throw .notDefined(
          what: "the query \"class\"",
          reason:
            "the model has no class token; leave it out for the mean over all patches, or give a patch as ROW,COLUMN"
        )
      }
    case .patch(let row, let column):
      let grid = model.grid
      guard (0..<grid.height).contains(row), (0..<grid.width).contains(column) else {
        throw .noSuchPatch(row: row, column: column, grid: grid)
      }
    case .meanOfPatches: break
    }
  }

  /// The share of each token in the query: [N], with a sum of 1.
  public func weights(numPrefixTokens: Int, grid: ImageSize) -> [Float] {
    let numPatches = grid.height * grid.width
    var weights = [Float](repeating: 0, count: numPrefixTokens + numPatches)
    switch self {
    case .classToken: weights[0] = 1
    case .patch(let row, let column): weights[numPrefixTokens + row * grid.width + column] = 1
    case .meanOfPatches:
      for index in numPrefixTokens..<weights.count { weights[index] = 1 / Float(numPatches) }
    }
    return weights
  }
}

/// Tokens that query, each with its share: what a row of an attention becomes for them.
package struct QueryWeights: Sendable {
  /// Tokens with a share other than 0, in order.
  private let shares: [(token: Int, share: Float)]

  package init(_ weights: [Float]) {
    shares = weights.enumerated().compactMap { $1 == 0 ? nil : (token: $0, share: $1) }
  }

  /// result [N] += factor · (weights · probabilities)
  package func add(
    _ probabilities: MatrixView, times factor: Float = 1, to result: UnsafeMutableBufferPointer<Float>
  ) {
    for (token, share) in shares {
      let row = probabilities.row(token)
      let weight = factor * share
      for column in row.indices { result[column] += weight * row[column] }
    }
  }
}
