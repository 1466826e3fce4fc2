#if os(Linux)
  import Foundation
  import Kernels
  import TestSupport
  import Testing

  /// The whole network under each variant of the kernels that this machine has: the variant is chosen once in a process' life, so
  /// this very bundle of tests is run again with the variant forced, for the suites that run networks.
  @Suite(.serialized) struct VariantTests {
    static let variants = KernelVariant.available.filter { $0 != KernelVariant.active }

    @Test(.timeLimit(.minutes(15)), arguments: variants) func network(_ variant: KernelVariant) throws {
      let process = Process()
      process.executableURL = URL(
        fileURLWithPath: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
      process.arguments = [
        "--testing-library", "swift-testing", "--filter",
        #"VisionTransformerTests\.(ParityTests|PrecisionTests|NumericsTests)/"#,
      ]
      process.environment = ProcessInfo.processInfo.environment.merging(["VITRINE_KERNELS": variant.rawValue])
      { $1 }
      let folder = try TemporaryFolder()
      let log = try folder.write("", to: "log")
      let output = try #require(FileHandle(forWritingAtPath: log.string))
      (process.standardOutput, process.standardError) = (output, output)
      process.standardInput = FileHandle.nullDevice
      try process.run()
      process.waitUntilExit()
      let text = try String(contentsOfFile: log.string, encoding: .utf8)
      let failures = text.split(separator: "\n").filter {
        $0.contains("recorded an issue") || $0.contains("↳")
      }
      #expect(process.terminationStatus == 0, "\(failures.prefix(20).joined(separator: "\n"))")
      // A filter that finds nothing passes as well.
      let count = try #require(text.firstMatch(of: /Test run with (\d+) tests? .*passed/)).1
      #expect((Int(count) ?? 0) >= 12)
    }
  }
#endif
