import ArgumentParser
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A file to be written that cannot be standard output.
struct FileArgument: ExpressibleByArgument {
  let path: FilePath

  init?(argument: String) {
    guard argument != "-", let path = PathArgument(argument: argument)?.path else { return nil }
    self.path = path
  }
}

/// A path on the command line, whose bytes need not be UTF-8.
struct PathArgument: ExpressibleByArgument {
  let path: FilePath

  init?(argument: String) {
    guard !argument.isEmpty else { return nil }
    // A replacement character may stand for bytes that are no text: those are looked up.
    let raw = argument.unicodeScalars.contains("\u{FFFD}") ? Self.rawArgument(argument) : nil
    path = raw ?? FilePath(argument)
  }

  private static func rawArgument(_ argument: String) -> FilePath? {
    for index in 0..<Int(CommandLine.argc) {
      guard let bytes = CommandLine.unsafeArgv[index] else { continue }
      if String(cString: bytes) == argument { return FilePath(platformString: bytes) }
      // --option=path
      if let equals = strchr(bytes, CInt(UInt8(ascii: "="))), String(cString: equals + 1) == argument {
        return FilePath(platformString: equals + 1)
      }
    }
    return nil
  }
}
