import ArgumentParser
import Figures
import Pipeline
import VisionTransformer

/// What is drawn.
enum AttentionMethod: String, CaseIterable, ExpressibleByArgument {
  case raw, rollout, attribution
}

/// How it is drawn.
enum AttentionStyle: String, CaseIterable, ExpressibleByArgument {
  case overlay, heatmap, grid
}

/// `all`, `mean` or a number.
enum HeadSelection: ExpressibleByArgument, Equatable {
  case all, mean
  case one(Int)

  init?(argument: String) {
    switch argument {
    case "all": self = .all
    case "mean": self = .mean
    default:
      guard let head = Int(argument) else { return nil }
      self = .one(head)
    }
  }

  static var allValueStrings: [String] { ["all", "mean", "N"] }
}

/// `class` or `ROW,COLUMN`.
struct QueryArgument: ExpressibleByArgument {
  let query: AttentionQuery

  init?(argument: String) {
    if argument == "class" {
      query = .classToken
      return
    }
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
    guard parts.count == 2, let row = parts[0], let column = parts[1] else { return nil }
    query = .patch(row: row, column: column)
  }
}

extension AttentionRollout.Fusion: ExpressibleByArgument {}
extension Upsampling: ExpressibleByArgument {}

/// A class of a model, by its name or its index.
enum ClassArgument {
  /// - Throws: `ModelError.noSuchClass` with names that are like it.
  static func index(_ text: String, of model: VisionTransformer) throws(ModelError) -> Int {
    let numClasses = model.configuration.numClasses
    guard numClasses > 0 else { throw .noHead(path: model.path) }
    let labels = model.labels ?? []
    func isSame(_ label: String) -> Bool { label.lowercased() == text.lowercased() }
    if let index = labels.firstIndex(where: isSame) { return index }
    // ImageNet's names have synonyms behind commas.
    let synonyms = labels.indices.filter {
      labels[$0].split(separator: ",").contains { isSame(String($0.drop { $0 == " " })) }
    }
    if synonyms.count == 1 { return synonyms[0] }
    if let index = Int(text), (0..<numClasses).contains(index) { return index }
    let similar = labels.filter { $0.lowercased().contains(text.lowercased()) }.prefix(3)
    throw .noSuchClass(text, numClasses: numClasses, similar: Array(similar))
  }
}
