/// Which of a model's classes each class of a data set is.
public struct ClassMapping: Sendable, Equatable {
  /// By the data set's class: the model's.
  public let indices: [Int]
  public let method: Method

  /// How they were found.
  public enum Method: Sendable, Equatable {
    /// The names are the same, but for case and for hyphens, underscores and spaces.
    case names
    /// Both have as many classes, and none of the names are the same: the first is the first, and so on.
    case order
  }

  /// - Parameters:
  ///   - names: of the data set's classes.
  ///   - labels: of the model's classes; nil where it has none.
  ///   - numClasses: of the model.
  /// - Throws: `ClassMappingError` where some names are the same and some are not, or none and the numbers differ.
  public init(of names: [String], to labels: [String]?, numClasses: Int) throws(ClassMappingError) {
    var known: [String: [Int]] = [:]
    for (index, label) in (labels ?? []).enumerated() {
      // A label of ImageNet has synonyms behind its name.
      let forms = Set([label, label.split(separator: ",").first.map(String.init) ?? label].map(Self.plain))
      for form in forms { known[form, default: []].append(index) }
    }
    // A name that two of the model's classes have tells nothing.
    let found = names.map { name in known[Self.plain(name)].flatMap { $0.count == 1 ? $0[0] : nil } }
    let matches = found.compactMap(\.self)
    if matches.count == names.count, Set(matches).count == matches.count {
      (indices, method) = (matches, .names)
    } else if matches.isEmpty, names.count == numClasses {
      (indices, method) = (Array(0..<numClasses), .order)
    } else if let index = found.firstIndex(of: nil) {
      throw .unknownClass(names[index], found: matches.count, classes: names.count, modelClasses: numClasses)
    } else {
      throw .sameClass(names, indices: matches)
    }
  }

  private static func plain(_ name: String) -> String {
    name.lowercased().split { $0 == " " || $0 == "_" || $0 == "-" }.joined(separator: " ")
  }
}

/// Why the classes of a data set cannot be told from those of a model.
public enum ClassMappingError: Error, Equatable, CustomStringConvertible {
  case unknownClass(String, found: Int, classes: Int, modelClasses: Int)
  case sameClass([String], indices: [Int])

  public var description: String {
    switch self {
    case .unknownClass(let name, let found, let classes, let modelClasses):
      "\(found) of the data set's \(classes) classes are found by name among the model's \(modelClasses), \"\(name)\" is not; name the "
        + "model's classes with --labels, or the data set's with --classes"
    case .sameClass(let names, let indices):
      "two of the data set's classes have the name of one of the model's: "
        + zip(names, indices).filter { pair in indices.count { $0 == pair.1 } > 1 }.map(\.0).joined(
          separator: ", ")
    }
  }
}
