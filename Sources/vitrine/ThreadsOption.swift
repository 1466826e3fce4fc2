import ArgumentParser
import Kernels

/// How many threads there are in all: shared by every command that computes.
struct ThreadsOption: ParsableArguments {
  @Option(
    name: .customLong("threads"),
    help: ArgumentHelp("Threads in all (default: the cores this process may use).", valueName: "N"))
  var given: Int?

  func validate() throws {
    if let given, !(1...1024).contains(given) {
      throw ValidationError("--threads must be from 1 to 1024")
    }
  }

  var count: Int { given ?? CPU.usableCores }
}
