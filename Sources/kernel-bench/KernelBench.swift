import ArgumentParser
import Kernels

/// Times the kernels against one another at the shapes that Vision Transformers have. A tool for those who write kernels.
@main
struct KernelBench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kernel-bench",
    abstract: "Time the kernels against OpenBLAS at the shapes of Vision Transformers.",
    discussion: """
      All contestants of a line take turns; each cell is the median over the rounds, in GFLOP/s and as a share of what the \
      instructions of its precision can do here, and the ratio to the first contestant. Weights are packed beforehand; the clock runs for what \
      happens at each call.

      VITRINE_KERNELS=plain|avx2|avx512 forces a variant of the kernels.
      """)

  @Option(name: .long, help: "What to time.")
  var suite: [Suite] = Suite.allCases

  @Option(name: .long, help: "Only cases whose name contains this, such as ViT-B or fc1.")
  var filter: String?

  @Option(name: .long, help: "Arithmetic of the kernels.")
  var precision: [Precision] = Precision.allCases

  @Option(name: .long, help: ArgumentHelp("Images whose tokens are rows of one product.", valueName: "N"))
  var batchSize = 8

  @Option(name: .long, help: ArgumentHelp("Threads that compute at the same time.", valueName: "N"))
  var threads = 1

  @Flag(name: .long, help: "All threads on one operation, instead of one operation on each.")
  var together = false

  @Option(name: .long, help: ArgumentHelp("Turns of each contestant.", valueName: "N"))
  var rounds = 9

  @Option(name: .long, help: ArgumentHelp("Length of a turn.", valueName: "MS"))
  var milliseconds = 30

  enum Suite: String, ExpressibleByArgument, CaseIterable {
    case linear, attention
  }

  func validate() throws {
    guard (1...1024).contains(batchSize), (1...1024).contains(threads) else {
      throw ValidationError("--batch-size and --threads must be from 1 to 1024")
    }
    guard rounds > 0, milliseconds > 0 else {
      throw ValidationError("--rounds and --milliseconds must be above 0")
    }
  }

  func run() throws {
    try KernelVariant.validateEnvironment()
    let setting = Setting(
      batchSize: batchSize, threads: threads, together: together, precisions: precision)
    let cases = suite.flatMap { suite in
      switch suite {
      case .linear: LinearCases.all(setting)
      case .attention: AttentionCases.all(setting)
      }
    }.filter { each in filter.map { each.name.contains($0) } ?? true }
    let peaks = Precision.allCases.compactMap { Peak.measure($0, threads: threads) }
    for peak in peaks {
      print("peak \(peak.precision.rawValue): \(Cell.text(peak.gflops)) GFLOP/s (\(peak.instructions))")
    }
    let how =
      threads == 1 ? "1 thread" : "\(threads) threads, \(together ? "together" : "one operation on each")"
    print("kernels \(KernelVariant.active.rawValue), \(how), median of \(rounds) turns of \(milliseconds) ms")
    print("OpenBLAS: \(LinearCases.openBLASDescription)\n")
    let contest = Contest(
      setting: setting, rounds: rounds, duration: .milliseconds(milliseconds), peaks: peaks)
    for each in cases { print(try contest.line(each)) }
  }
}

extension Precision: ExpressibleByArgument {}
