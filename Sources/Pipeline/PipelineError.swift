import SystemPackage

/// What can stop a run, as opposed to what can be wrong with one image.
public enum PipelineError: Error, Equatable {
  /// Results could not be written.
  case write(path: FilePath, reason: String)
  /// An output would overwrite something that the run needs.
  case overwrites(path: FilePath, what: String)
  /// The reader of the results has closed the pipe: no mistake, but nothing is left to do.
  case closedPipe
  /// The list of paths could not be read.
  case pathList(reason: String)
  /// The results that should be continued are not of these inputs.
  case resumeMismatch(path: FilePath, line: Int, found: String, expected: String?)
  /// The results that should be continued cannot be read; line 0 stands for all of them.
  case resumeMalformed(path: FilePath, line: Int, reason: String)
  /// The array that should be continued has another shape.
  case resumeArray(path: FilePath, reason: String)
}

extension PipelineError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .write(let path, let reason): "\(path): cannot write: \(reason)"
    case .overwrites(let path, let what): "\(path): is \(what); write the results somewhere else"
    case .closedPipe: "the reader closed the pipe"
    case .pathList(let reason): "standard input: cannot read the list of paths: \(reason)"
    case .resumeMismatch(let path, let line, let found, let expected):
      "\(path), line \(line): cannot resume: the results are for \"\(found)\", "
        + (expected.map { "but the inputs have \"\($0)\" there" } ?? "but the inputs end before it")
        + "; give the same inputs in the same order, or start anew without --resume"
    case .resumeMalformed(let path, let line, let reason):
      "\(path)\(line > 0 ? ", line \(line)" : ""): cannot resume: \(reason)"
    case .resumeArray(let path, let reason): "\(path): cannot resume: \(reason)"
    }
  }
}

/// What can be wrong with one input before it is even an image.
public enum InputError: Error, Equatable, CustomStringConvertible {
  case noImages
  case unreadableFolder(reason: String)
  case nonFiniteResult

  public var description: String {
    switch self {
    case .noImages: "no images in this folder (files are looked for by their names: .jpg, .png and so on)"
    case .unreadableFolder(let reason): "cannot read the folder: \(reason)"
    case .nonFiniteResult: "the network's output is NaN or infinite for this image"
    }
  }
}
