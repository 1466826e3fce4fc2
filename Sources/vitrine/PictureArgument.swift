import ArgumentParser
import Figures
import SystemPackage

/// A picture to be written.
struct PictureArgument {
  let path: FilePath

  /// - Throws: `ValidationError` with the ending that the name should have, or where no picture can be drawn.
  init(argument: String) throws {
    path = try FileArgument.path(argument, endings: ["png"])
    try Self.checkAvailable()
  }

  /// - Throws: `ValidationError` in a build that draws no charts, grids and labels.
  static func checkAvailable() throws {
    guard Canvas.isAvailable else { throw ValidationError("\(FigureError.unavailable)") }
  }
}

/// An array to be written in numpy's format.
struct ArrayArgument {
  let path: FilePath

  /// - Throws: `ValidationError` with the ending that the name should have.
  init(argument: String) throws { path = try FileArgument.path(argument, endings: ["npy"]) }
}

/// A page to be written.
struct PageArgument {
  let path: FilePath

  /// - Throws: `ValidationError` with the ending that the name should have.
  init(argument: String) throws { path = try FileArgument.path(argument, endings: ["html", "htm"]) }
}

extension FileArgument {
  /// The path of a file whose name tells what it is.
  fileprivate static func path(_ argument: String, endings: [String]) throws -> FilePath {
    guard let path = FileArgument(argument: argument)?.path,
      endings.contains(path.extension?.lowercased() ?? "")
    else { throw ValidationError("the name must end in .\(endings[0])") }
    return path
  }
}
