/// One of the versions in which CIFAR-10 and CIFAR-100 are published (Krizhevsky, 2009; https://www.cs.toronto.edu/~kriz/cifar.html).
enum CIFARFormat: Equatable {
  case binary10, binary100, python10, python100

  /// The version that a folder with these files holds; nil where there is none.
  init?(files: [String]) {
    let files = Set(files)
    func has(_ names: [String]) -> Bool { names.contains(where: files.contains) }
    if has(CIFARFormat.binary10.files(.train) + CIFARFormat.binary10.files(.test)) {
      self = .binary10
    } else if has(CIFARFormat.python10.files(.train) + CIFARFormat.python10.files(.test)) {
      self = .python10
    } else if has(["train.bin", "test.bin"]) {
      self = .binary100
    } else if files.contains("meta"), has(["train", "test"]) {
      self = .python100
    } else {
      return nil
    }
  }

  var description: String {
    switch self {
    case .binary10: "CIFAR-10, binary version"
    case .binary100: "CIFAR-100, binary version"
    case .python10: "CIFAR-10, Python version"
    case .python100: "CIFAR-100, Python version"
    }
  }

  var isBinary: Bool { self == .binary10 || self == .binary100 }
  var classCount: Int { self == .binary10 || self == .python10 ? 10 : 100 }

  /// The files of a part, all of which must be there.
  func files(_ split: DatasetSplit) -> [String] {
    switch (self, split) {
    case (_, .validation), (_, .all): []
    case (.binary10, .train): (1...5).map { "data_batch_\($0).bin" }
    case (.binary10, .test): ["test_batch.bin"]
    case (.python10, .train): (1...5).map { "data_batch_\($0)" }
    case (.python10, .test): ["test_batch"]
    case (.binary100, _): ["\(split.rawValue).bin"]
    case (.python100, _): [split.rawValue]
    }
  }

  /// The file with the classes' names.
  var namesFile: String {
    switch self {
    case .binary10: "batches.meta.txt"
    case .binary100: "fine_label_names.txt"
    case .python10: "batches.meta"
    case .python100: "meta"
    }
  }

  // MARK: Pickles

  var namesKey: String { self == .python10 ? "label_names" : "fine_label_names" }
  var labelsKey: String { self == .python10 ? "labels" : "fine_labels" }

  // MARK: Records of the binary versions

  /// Bytes of labels in front of the pixels: CIFAR-100 has a coarse one first.
  var labelBytes: Int { self == .binary100 ? 2 : 1 }

  static let edge = 32
  /// uint8 [3, 32, 32].
  static let pixelBytes = 3 * edge * edge
}
