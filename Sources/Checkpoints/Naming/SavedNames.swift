/// One of timm's tensors as a library saves it.
public struct SavedName: Sendable, Equatable {
  /// The name, with the prefix.
  public let name: String
  /// The rows of timm's tensor that stand under this name; nil for all.
  public let share: TensorPart.Share?
  /// Where the saved tensor holds several of timm's: the place of this one in it; else 0.
  public let place: Int
}

extension NamingScheme {
  /// The names under which the library saves a tensor: one, or one for each part that it keeps apart.
  /// - Parameters:
  ///   - canonical: timm's name.
  ///   - prefix: what stands before the names of the backbone; heads stand beside it.
  ///   - alternative: which of the library's names, where it has several for one tensor; the first are the usual ones.
  /// - Returns: nil where the library has no place for the tensor.
  public func savedNames(of canonical: String, prefix: String, alternative: Int = 0) -> [SavedName]? {
    for rule in rules {
      guard let indices = NamePattern.indices(of: canonical, in: rule.canonical) else { continue }
      guard rule.alternatives.indices.contains(alternative) else { return nil }
      let sources = rule.alternatives[alternative]
      let names = sources.enumerated().compactMap { index, source -> SavedName? in
        guard let name = NamePattern.fill(source.pattern.text, with: indices) else { return nil }
        return SavedName(
          name: (rule.isOutside ? "" : prefix) + name,
          share: sources.count > 1 ? .init(first: index, count: 1, of: sources.count) : nil,
          place: source.share?.first ?? 0)
      }
      return names.count == sources.count ? names : nil
    }
    return nil
  }
}
