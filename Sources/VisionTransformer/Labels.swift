import Checkpoints
import SystemPackage

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The names of a model's classes, by index.
public enum Labels {
  /// The names that travel with a checkpoint (`label_names` of timm, `id2label` of transformers), else those of ImageNet-1k for
  /// a model of 1,000 classes, else none.
  /// - Throws: `ModelError.labels` where `config.json` names another number of classes than the head has.
  static func of(_ configuration: JSONValue?, path: FilePath, numClasses: Int) throws(ModelError) -> [String]?
  {
    guard numClasses > 0 else { return nil }
    if let names = configuration?["label_names"]?.array {
      let labels = names.map { $0.string ?? "" }
      guard labels.count == numClasses else {
        throw .labels(source: "\(path), \"label_names\"", expected: numClasses, actual: labels.count)
      }
      let descriptions = configuration?["label_descriptions"]?.object ?? [:]
      return labels.map { descriptions[$0]?.string ?? $0 }
    }
    if let names = configuration?["id2label"]?.object, !isAutomatic(names) {
      guard let labels = ordered(names, count: numClasses) else {
        throw .labels(source: "\(path), \"id2label\"", expected: numClasses, actual: names.count)
      }
      return labels
    }
    return numClasses == 1000 ? imageNet1k : nil
  }

  /// Reads a file of labels: one a line, a JSON list, or a JSON object from index to label.
  /// - Throws: `CheckpointError` where it cannot be read, `ModelError` where it holds no labels or names another number of classes than the model has.
  public static func read(_ path: FilePath, numClasses: Int) throws -> [String] {
    let file = try MappedFile(path)
    guard file.count <= 16 << 20 else {
      throw ModelError.unreadableLabels(
        path: path, reason: "\(file.count) bytes are too many for a list of labels")
    }
    let bytes = file.bytes(in: 0..<file.count)
    guard var text = String(validating: bytes, as: UTF8.self) else {
      throw ModelError.unreadableLabels(path: path, reason: "the labels are not UTF-8 text")
    }
    if text.hasPrefix("\u{FEFF}") { text.removeFirst() }
    let labels: [String]
    switch text.first(where: { !$0.isWhitespace }) {
    case "[", "{":
      guard let json = try? JSONDecoder().decode(JSONValue.self, from: Data(text.utf8)) else {
        throw ModelError.unreadableLabels(path: path, reason: "not valid JSON")
      }
      let names = json.object ?? [:]
      guard let list = json.array?.map({ $0.string ?? "" }) ?? ordered(names, count: names.count) else {
        throw ModelError.unreadableLabels(
          path: path,
          reason: "expected a JSON list of labels, or an object with the indices 0 to \(names.count - 1)")
      }
      labels = list
    default:
      var lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).map(String.init)
      while lines.last?.allSatisfy(\.isWhitespace) == true { lines.removeLast() }
      labels = lines
    }
    guard labels.count == numClasses else {
      throw ModelError.labels(source: "\(path)", expected: numClasses, actual: labels.count)
    }
    return labels
  }

  /// The 1,000 names of ImageNet-1k, WordNet's synonyms, in the order of their WordNet ids.
  public static let imageNet1k = String(decoding: PackageResources.imagenet1k_labels_txt, as: UTF8.self)
    .split(separator: "\n").map(String.init)

  /// The labels of an object from index to label; nil where an index is missing.
  private static func ordered(_ names: [String: JSONValue], count: Int) -> [String]? {
    guard names.count == count else { return nil }
    let labels = (0..<count).compactMap { names["\($0)"]?.string }
    return labels.count == count ? labels : nil
  }

  /// Whether transformers filled in `LABEL_0`, `LABEL_1`, ... for want of names.
  private static func isAutomatic(_ names: [String: JSONValue]) -> Bool {
    names.allSatisfy { $0.value.string == "LABEL_\($0.key)" }
  }
}
