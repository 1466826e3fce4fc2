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
  /// - Throws: `ModelError.noSuchClass` with names that are like it, `ModelError.ambiguousClass`.
  static func index(_ text: String, of model: VisionTransformer) throws(ModelError) -> Int {
    let numClasses = model.configuration.numClasses
    guard numClasses > 0 else { throw .noHead(path: model.path) }
    let labels = model.labels ?? []
    func isSame(_ label: some StringProtocol) -> Bool { label.lowercased() == text.lowercased() }
    // ImageNet's names have synonyms behind commas; and two of its classes are cranes.
    let synonyms = labels.indices.filter {
      labels[$0].split(separator: ",").contains { isSame($0.drop { $0 == " " }) }
    }
    for found in [labels.indices.filter { isSame(labels[$0]) }, synonyms] where !found.isEmpty {
      guard found.count == 1 else {
        throw .ambiguousClass(text, classes: found.map { .init(index: $0, label: labels[$0]) })
      }
      return found[0]
    }
    if let index = Int(text), (0..<numClasses).contains(index) { return index }
    throw .noSuchClass(text, numClasses: numClasses, similar: Array(similar(text, labels).prefix(3)))
  }

  /// Labels that have the text as whole words, or else the text anywhere.
  private static func similar(_ text: String, _ labels: [String]) -> [String] {
    func words(_ text: String) -> [Substring] {
      text.lowercased().split { !($0.isLetter || $0.isNumber) }
    }
    let wanted = words(text)
    guard !wanted.isEmpty else { return [] }
    let whole = labels.filter { Set(wanted).isSubset(of: words($0)) }
    return whole.isEmpty ? labels.filter { $0.lowercased().contains(text.lowercased()) } : whole
  }
}
