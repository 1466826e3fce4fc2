import Checkpoints
import SystemPackage

/// What can be wrong with a data set as a whole. Each description is one sentence that says where, and what to do.
public enum DatasetError: Error, Equatable {
  /// A file or folder could not be read.
  case unreadable(path: FilePath, reason: String)
  /// Nothing there is laid out as a data set.
  case unknownLayout(path: FilePath, found: String)
  /// A class has no images.
  case emptyClass(path: FilePath, name: String)
  /// There is nothing to tell apart.
  case oneClass(path: FilePath, name: String)
  /// A class is not one of those that the data set has.
  case unknownClass(path: FilePath, name: String, classes: [String])
  /// A label is not the index of a class.
  case labelOutOfRange(path: FilePath, place: String, label: Int, classes: Int)
  /// A part that was asked for is not there.
  case missingSplit(path: FilePath, split: String, found: [String])
  /// A file of the data set contradicts itself, or what it should be.
  case malformed(path: FilePath, reason: String)
  /// The images of a compressed archive do not fit into memory.
  case archiveTooLarge(path: FilePath, bytes: Int, limit: Int)
  /// More images turned out to be unreadable than are put up with.
  case badImages(limit: Int, examples: [String])
  /// A share cannot be held out.
  case share(Double, reason: String)
}

extension DatasetError: CustomStringConvertible {
  public var description: String { presentable(sentence) }

  private var sentence: String {
    switch self {
    case .unreadable(let path, let reason): "\(path): \(reason)"
    case .unknownLayout(let path, let found):
      "\(path): not a data set: \(found); expected a folder of class folders (perhaps in train/, val/ and test/), CIFAR-10 or CIFAR-100 "
        + "in the binary or the Python version, a .tar or .tar.gz of one of these, or a .csv of paths and labels"
    case .emptyClass(let path, let name): "\(path): the class \"\(name)\" has no images"
    case .oneClass(let path, let name):
      "\(path): \"\(name)\" is the only class; training needs at least two to tell apart"
    case .unknownClass(let path, let name, let classes):
      "\(path): \"\(name)\" is none of the \(classes.count) classes (\(shortList(classes)))"
    case .labelOutOfRange(let path, let place, let label, let classes):
      "\(path): \(place): label \(label) is out of range: there are \(classes) classes, 0 to \(classes - 1)"
    case .missingSplit(let path, let split, let found):
      "\(path): there is no \(split) part; there is \(found.joined(separator: ", "))"
    case .malformed(let path, let reason): "\(path): \(reason)"
    case .archiveTooLarge(let path, let bytes, let limit):
      "\(path): the archive's images are \(bytes >> 20) MiB, of which memory should hold \(limit >> 20) MiB at most; unpack the archive "
        + "and give the folder"
    case .badImages(let limit, let examples):
      "more than \(limit) images cannot be read: \(examples.joined(separator: "; ")); repair or remove them, or raise --max-bad-images"
    case .share(let share, let reason): "the share \(share) cannot be held out: \(reason)"
    }
  }
}

/// The first few, and how many more there are.
private func shortList(_ names: [String], shown: Int = 5) -> String {
  let head = names.prefix(shown).joined(separator: ", ")
  return names.count > shown ? "\(head) and \(names.count - shown) more" : head
}
