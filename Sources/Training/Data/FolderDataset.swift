import Images
import SystemPackage

/// Images in class folders, decoded when they are asked for.
struct FolderDataset: ImageDataset {
  let classNames: [String]
  private let files: any DatasetFiles
  private let paths: PathTable
  private let labels: [Int32]
  private let read: ImageReader

  /// - Parameters:
  ///   - folder: holds the class folders.
  ///   - classes: the classes of the data set; nil for the names of the folders, in the order of their bytes.
  /// - Throws: `DatasetError` where a class has no images, or a folder is none of the classes.
  init(
    _ files: any DatasetFiles, folder: FilePath, classes: [String]?, options: DecodingOptions
  ) throws {
    let folders = try files.list(folder).folders
    let classNames = classes ?? folders
    let location = files.path.pushing(folder)
    var (paths, labels): (PathTable, [Int32]) = (PathTable(), [])
    for (label, name) in classNames.enumerated() where folders.contains(name) {
      let images = try files.images(in: folder.appending(name))
      guard !images.isEmpty else { throw DatasetError.emptyClass(path: location, name: name) }
      for image in images { paths.append(image) }
      labels += Array(repeating: Int32(label), count: images.count)
    }
    for name in folders where !classNames.contains(name) {
      throw DatasetError.unknownClass(path: location, name: name, classes: classNames)
    }
    self.init(
      files, paths: paths, labels: labels, classNames: classNames,
      read: try files.reader(of: paths, options: options))
  }

  init(
    _ files: any DatasetFiles, paths: PathTable, labels: [Int32], classNames: [String],
    read: @escaping ImageReader
  ) {
    (self.files, self.paths, self.labels) = (files, paths, labels)
    self.classNames = classNames
    self.read = read
  }

  var count: Int { labels.count }
  func label(_ index: Int) -> Int { Int(labels[index]) }
  func image(_ index: Int) throws -> Image { try read(index, nil).image }
  func image(_ index: Int, for transform: EvaluationTransform) throws -> DecodedImage {
    try read(index, transform)
  }
  func name(_ index: Int) -> String { files.path.pushing(paths[index]).string }
}
