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
    try declared(configuration, path: path, numClasses: numClasses) ?? (numClasses == 1000 ? imageNet1k : nil)
  }

  /// The names that travel with a checkpoint; nil where it has none.
  static func declared(_ configuration: JSONValue?, path: FilePath, numClasses: Int) throws(ModelError)
    -> [String]?
  {
    guard numClasses > 0 else { return nil }
    if let value = configuration?["label_names"] {
      let names = try labels(in: value, field: "label_names", path: path, numClasses: numClasses)
      let descriptions = configuration?["label_descriptions"]?.object ?? [:]
      return names.map { descriptions[$0]?.string ?? $0 }
    }
    if let value = configuration?["id2label"], !isAutomatic(value) {
      return try labels(in: value, field: "id2label", path: path, numClasses: numClasses)
    }
    return nil
  }

  /// The labels of a field of `config.json`.
  private static func labels(
    in value: JSONValue, field: String, path: FilePath, numClasses: Int
  ) throws(ModelError) -> [String] {
    guard let labels = list(value) else {
      throw .configuration(
        path: path, field: field, value: "not readable as labels",
        remedy: "expected a list of texts, or an object from the indices 0, 1, ... to texts")
    }
    guard labels.count == numClasses else {
      throw .labels(source: "\(path), \"\(field)\"", expected: numClasses, actual: labels.count)
    }
    return labels
  }

  /// The labels of a JSON list of texts, or of an object from index to text; nil where it is neither.
  private static func list(_ value: JSONValue) -> [String]? {
    if let array = value.array {
      let labels = array.compactMap(\.string)
      return labels.count == array.count ? labels : nil
    }
    guard let names = value.object else { return nil }
    let labels = (0..<names.count).compactMap { names["\($0)"]?.string }
    return labels.count == names.count ? labels : nil
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
      guard let list = list(json) else {
        throw ModelError.unreadableLabels(
          path: path,
          reason: "expected a JSON list of texts, or an object from the indices 0, 1, ... to texts")
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
  public static let imageNet1k = PackageResources.imagenet1k_labels_txt.split(separator: UInt8(ascii: "\n"))
    .map {
      String(decoding: $0, as: UTF8.self)
    }

  /// Whether transformers filled in `LABEL_0`, `LABEL_1`, ... for want of names.
  private static func isAutomatic(_ value: JSONValue) -> Bool {
    value.object?.allSatisfy { $0.value.string == "LABEL_\($0.key)" } ?? false
  }
}
