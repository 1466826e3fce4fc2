import ArgumentParser
import SystemPackage

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
    path = CommandLineBytes.path(argument)
  }
}

/// The command line as text of which nothing is lost: where an argument is not UTF-8, each of its bytes from 0x80 on becomes a scalar from U+10FF80 on
/// (private use), so that two paths that differ stay two.
enum CommandLineBytes {
  private static let firstScalar: UInt32 = 0x10_FF00
  private static let standIns: ClosedRange<UInt32> = firstScalar + 0x80...firstScalar + 0xFF

  /// The arguments behind the program's name.
  static var arguments: [String] {
    (1..<max(1, Int(CommandLine.argc))).compactMap { CommandLine.unsafeArgv[$0].map { text($0) } }
  }

  private static func text(_ argument: UnsafePointer<CChar>) -> String {
    // An argument that has one of these scalars itself is spelled byte by byte, too.
    if let text = String(validatingCString: argument), !hasStandIns(text) { return text }
    var scalars = String.UnicodeScalarView()
    var place = argument
    while place.pointee != 0 {
      let byte = UInt32(UInt8(bitPattern: place.pointee))
      if let scalar = Unicode.Scalar(byte < 0x80 ? byte : firstScalar + byte) { scalars.append(scalar) }
      place += 1
    }
    return String(scalars)
  }

  private static func hasStandIns(_ text: String) -> Bool {
    text.unicodeScalars.contains { standIns.contains($0.value) }
  }

  /// The path that an argument stands for.
  static func path(_ argument: String) -> FilePath {
    guard hasStandIns(argument) else { return FilePath(argument) }
    let bytes = argument.unicodeScalars.flatMap { scalar in
      standIns.contains(scalar.value)
        ? [UInt8(scalar.value - firstScalar)] : Array(UTF8.encode(scalar) ?? .init())
    }
    return FilePath(bytes: bytes)
  }
}
