import Checkpoints
import Images
import SystemPackage

/// Why a checkpoint whose tensors can be read still makes no model.
public enum ModelError: Error, Equatable {
  /// A field of a configuration file asks for something that is not supported or not possible.
  case configuration(path: FilePath, field: String, value: String, remedy: String)
  /// The configuration and the tensors say different things.
  case disagreement(path: FilePath, field: String, configured: String, tensors: String)
  /// The preprocessing that a file asks for is not possible.
  case preprocessing(path: FilePath, TransformConfigurationError)
  /// A name of an architecture that is not known.
  case unknownArchitecture(String, remedy: String)
  /// The image size is not made of whole patches.
  case imageSize(ImageSize, patchSize: ImageSize)
  /// The activations would take more memory than there is.
  case memory(size: ImageSize, tokens: Int, batchSize: Int, workers: Int, needed: Double, available: Double)
  /// The labels do not fit the number of classes.
  case labels(source: String, expected: Int, actual: Int)
  /// A file that holds no labels.
  case unreadableLabels(path: FilePath, reason: String)
  /// The model has no head that classifies.
  case noHead(path: FilePath)
  /// The model has no class token to read.
  case noClassToken(path: FilePath)
  /// The model has no position embeddings to look at.
  case noPositions(path: FilePath)
  /// The patch embedding reads the maps of a convolutional network, not pixels.
  case noPixelFilters(path: FilePath)
  /// No block has that index.
  case noSuchLayer(Int, depth: Int)
  /// No head has that index.
  case noSuchHead(Int, numHeads: Int)
  /// The grid has no patch there.
  case noSuchPatch(row: Int, column: Int, grid: ImageSize)
  /// No class has that name or index.
  case noSuchClass(String, numClasses: Int, similar: [String])
  /// Several classes have that name.
  case ambiguousClass(String, classes: [NamedClass])
  /// Something that the architecture has no answer to.
  case notDefined(what: String, reason: String)

  /// A class by its index, and what it is called.
  public struct NamedClass: Equatable, Sendable {
    public let index: Int
    public let label: String

    public init(index: Int, label: String) {
      (self.index, self.label) = (index, label)
    }
  }
}

extension ModelError: CustomStringConvertible {
  public var description: String { presentable(sentence) }

  private var sentence: String {
    switch self {
    case .configuration(let path, let field, let value, let remedy):
      "\(path): \"\(field)\" is \(value): \(remedy)"
    case .disagreement(let path, let field, let configured, let tensors):
      "\(path): \"\(field)\" is \(configured), but the tensors say \(tensors)"
    case .preprocessing(let path, let error):
      "\(path): \(error)"
    case .unknownArchitecture(let name, let remedy):
      "architecture \"\(name)\": \(remedy)"
    case .imageSize(let size, let patch):
      "the image size \(size.height)x\(size.width) is not made of whole patches of \(patch.height)x\(patch.width); "
        + "the nearest that is: \(nearest(size.height, patch.height))x\(nearest(size.width, patch.width))"
    case .memory(let size, let tokens, let batchSize, let workers, let needed, let available):
      "images of \(size) pixels are \(tokens) tokens; \(batchSize) of them in each of \(workers) threads take "
        + "\(Self.gigabytes(needed)), but there are only \(Self.gigabytes(available)); "
        + "give a smaller --size, --batch-size or --threads"
    case .labels(let source, let expected, let actual):
      "\(source): \(actual) \(actual == 1 ? "label" : "labels"), but the model has \(expected) classes"
    case .unreadableLabels(let path, let reason):
      "\(path): \(reason)"
    case .noHead(let path):
      "\(path): the model has no classification head; use \"vitrine embed\" for its features"
    case .noClassToken(let path):
      "\(path): the model has no class token; use --tokens mean, patches or all"
    case .noPositions(let path):
      "\(path): the model has no position embeddings"
    case .noPixelFilters(let path):
      "\(path): the patch embedding reads the maps of a convolutional network, not pixels: its filters are no pictures"
    case .noSuchLayer(let layer, let depth):
      "layer \(layer): the model has layers 0 to \(depth - 1) (or -\(depth) to -1, counted from the end)"
    case .noSuchHead(let head, let numHeads):
      "head \(head): the model has heads 0 to \(numHeads - 1)"
    case .noSuchPatch(let row, let column, let grid):
      "patch \(row),\(column): the model has rows 0 to \(grid.height - 1) and columns 0 to \(grid.width - 1) of patches"
    case .noSuchClass(let name, let numClasses, let similar):
      "class \"\(name)\": the model has classes 0 to \(numClasses - 1), and none of that name"
        + (similar.isEmpty ? "" : "; the nearest: \(similar.map { "\"\($0)\"" }.joined(separator: ", "))")
    case .ambiguousClass(let name, let classes):
      "class \"\(name)\": the model has \(classes.count) of that name: "
        + classes.map { "\($0.index) (\"\($0.label)\")" }.joined(separator: ", ") + "; give the number"
    case .notDefined(let what, let reason):
      "\(what): \(reason)"
    }
  }

  /// As messages about memory have it.
  package static func gigabytes(_ bytes: Double) -> String {
    "\((bytes / 1e8).rounded() / 10) GB"
  }

  private func nearest(_ size: Int, _ patch: Int) -> Int {
    max(1, (size + patch / 2) / patch) * patch
  }
}
