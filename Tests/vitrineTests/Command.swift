import Foundation
import SystemPackage
import TestSupport

/// Runs the built command as a user would.
struct Command {
  struct Outcome {
    let status: Int32
    let output: String
    let errors: String

    var lines: [String] { output.split(separator: "\n").map(String.init) }
  }

  /// The executable lies beside the test bundle that this code is in.
  static let executable: URL = {
    let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? CommandLine.arguments[0]
    return URL(fileURLWithPath: bundle).deletingLastPathComponent().appendingPathComponent("vitrine")
  }()

  static let tiny = Fixtures.models.appending("timm-token").string
  static let photos = Fixtures.project.appending("samples/cifar10").string
  static let sample = Fixtures.project.appending("samples/models/cifar10").string

  /// Runs the command to its end.
  static func run(_ arguments: String..., input: String? = nil, environment: [String: String] = [:]) throws
    -> Outcome
  {
    try run(executable: executable, arguments, input: input, environment: environment)
  }

  /// Runs a subcommand.
  static func run(_ command: String, _ arguments: [String], environment: [String: String] = [:]) throws
    -> Outcome
  {
    try run(executable: executable, [command] + arguments, input: nil, environment: environment)
  }

  private static func run(
    executable: URL, _ arguments: [String], input: String? = nil, environment: [String: String]
  ) throws -> Outcome {
    let process = Process()
    process.executableURL = executable
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    // A file for standard error, so that no pipe fills up while the other is read.
    let folder = try TemporaryFolder()
    let errorFile = try folder.write("", to: "stderr")
    let (output, standardInput) = (Pipe(), Pipe())
    process.standardOutput = output
    process.standardError = FileHandle(forWritingAtPath: errorFile.string)
    process.standardInput = standardInput
    try process.run()
    Thread.detachNewThread {
      if let input { standardInput.fileHandleForWriting.write(Data(input.utf8)) }
      try? standardInput.fileHandleForWriting.close()
    }
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return Outcome(
      status: process.terminationStatus, output: String(decoding: data, as: UTF8.self),
      errors: try String(contentsOfFile: errorFile.string, encoding: .utf8))
  }

  /// What runs a command without root's rights in a line of shell, or nothing where there are none; nil where root's rights cannot be left.
  static let unprivileged: String? = {
    if geteuid() != 0 { return "" }
    let prefix = "setpriv --reuid 65534 --clear-groups"
    let run = try? shell("\(prefix) \"$vitrine\" inspect \"$tiny\"")
    return run?.status == 0 ? prefix : nil
  }()

  /// Whether a file system can be mounted.
  static let canMount: Bool = {
    let run = try? shell(
      "d=$(mktemp -d) && mount -t tmpfs -o size=16k tmpfs $d && umount $d; s=$?; rmdir $d; exit $s")
    return run?.status == 0
  }()

  /// Runs a line of shell, in which `$vitrine` is the command, `$tiny` and `$sample` are models and `$photos` is a folder of 30 images.
  static func shell(_ line: String) throws -> Outcome {
    try run(
      executable: URL(fileURLWithPath: "/bin/bash"), ["-c", line],
      environment: ["vitrine": executable.path, "tiny": tiny, "sample": sample, "photos": photos])
  }
}
