import ArgumentParser
import SystemPackage

/// A picture to be written.
struct PictureArgument: ExpressibleByArgument {
  let path: FilePath

  init?(argument: String) {
    guard let path = FileArgument(argument: argument)?.path, path.extension?.lowercased() == "png" else {
      return nil
    }
    self.path = path
  }
}
