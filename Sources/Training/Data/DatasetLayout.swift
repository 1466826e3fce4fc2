import SystemPackage

/// The parts that data sets come in.
public enum DatasetSplit: String, CaseIterable, Sendable {
  case train
  /// For choices that are made while training.
  case validation = "val"
  case test
  /// Everything, where a data set is not in parts.
  case all

  /// The folders that are called so, the usual name first.
  var folderNames: [String] {
    switch self {
    case .train: ["train", "training"]
    case .validation: ["val", "valid", "validation"]
    case .test: ["test", "testing"]
    case .all: []
    }
  }
}

/// How the files of a data set are arranged, found by looking at their names.
enum DatasetLayout: Equatable {
  /// Folders of class folders.
  case folders([DatasetSplit: FilePath])
  case cifar(CIFARFormat, folder: FilePath)

  /// Folders around the data set that are looked through.
  private static let depthLimit = 4

  /// - Throws: `DatasetError.unknownLayout`, and what `list` throws.
  static func find(in files: any DatasetFiles) throws -> DatasetLayout {
    let contents = try files.list(FilePath())
    if let layout = try find(in: files, at: FilePath(), contents, depth: 0) { return layout }
    let count = contents.files.count
    throw DatasetError.unknownLayout(
      path: files.path,
      found: count == 0
        ? "it is empty" : "\(count) files, the first of which is \(contents.files[0]), but no class folders")
  }

  private static func find(
    in files: any DatasetFiles, at folder: FilePath, _ contents: FolderContents, depth: Int
  ) throws -> DatasetLayout? {
    if let format = CIFARFormat(files: contents.files) { return .cifar(format, folder: folder) }
    var splits: [DatasetSplit: FilePath] = [:]
    for split in DatasetSplit.allCases {
      // A class may be called so too: it holds images, no folders.
      for name in split.folderNames where contents.folders.contains(name) {
        let path = folder.appending(name)
        guard try !files.list(path).folders.isEmpty else { continue }
        splits[split] = path
        break
      }
    }
    if !splits.isEmpty { return .folders(splits) }
    if contents.folders.count == 1, depth < depthLimit {
      // A folder around everything, as archives have it.
      let inner = folder.appending(contents.folders[0])
      let innerContents = try files.list(inner)
      if innerContents.folders.isEmpty ? CIFARFormat(files: innerContents.files) != nil : true,
        let layout = try find(in: files, at: inner, innerContents, depth: depth + 1)
      {
        return layout
      }
    }
    return contents.folders.isEmpty ? nil : .folders([.all: folder])
  }
}
