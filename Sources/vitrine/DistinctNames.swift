import SystemPackage

/// What files and folders are called where people see several of them side by side.
enum DistinctNames {
  /// The last components of the paths, as many as tell them apart, if any do.
  /// - Parameter nameless: what is said of a path without any, such as `.`.
  static func names(of paths: [FilePath], nameless: String) -> [String] {
    let components = paths.map { $0.lexicallyNormalized().components.map(\.string) }
    func names(_ count: Int) -> [String] { components.map { $0.suffix(count).joined(separator: "/") } }
    // A path that is there twice is told from itself by nothing.
    let distinct = Set(components).count
    let most = max(1, components.map(\.count).max() ?? 1)
    let count = (1...most).first { Set(names($0)).count == distinct } ?? 1
    return names(count).map { $0.isEmpty || $0 == "." ? nameless : $0 }
  }
}
