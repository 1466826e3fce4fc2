import Foundation
import TestSupport
import Testing

@Suite struct BenchTests {
  private static let small = ["--architecture", "test_vit", "--size", "32", "--iterations", "4"]

  private static func object(_ run: Command.Outcome) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
  }

  private static let keys: Set = [
    "architecture", "precision", "batch_size", "threads", "images_per_second", "latency_ms", "gflops",
    "peak_gflops", "share_of_peak", "peak_rss_bytes",
  ]

  @Test func json() throws {
    let run = try Command.run("bench", Self.small + ["--batch-size", "3", "--threads", "2", "--json"])
    #expect(run.status == 0 && run.errors.isEmpty && run.lines.count == 1)
    let report = try Self.object(run)
    #expect(Set(report.keys) == Self.keys)
    #expect(report["architecture"] as? String == "test_vit" && report["precision"] as? String == "fp32")
    #expect(report["batch_size"] as? Int == 3 && report["threads"] as? Int == 2)
    let rate = try #require(report["images_per_second"] as? Double)
    let (gflops, peak) = (report["gflops"] as? Double ?? 0, report["peak_gflops"] as? Double ?? 0)
    #expect(rate > 0 && gflops > 0 && peak > 0)
    let share = try #require(report["share_of_peak"] as? Double)
    #expect(abs(share - gflops / peak) < 1e-4 * share)
    let latency = try #require(report["latency_ms"] as? [String: Double])
    let percentiles = ["p50", "p90", "p99"].compactMap { latency[$0] }
    #expect(latency.count == 3 && percentiles == percentiles.sorted() && percentiles[0] > 0)
    #expect((report["peak_rss_bytes"] as? Int ?? 0) > 1 << 20)
  }

  @Test func profile() throws {
    let run = try Command.run("bench", Self.small + ["--profile", "--json", "--mode", "latency"])
    let report = try Self.object(run)
    #expect(Set(report.keys) == Self.keys.union(["profile"]))
    let rows = try #require(report["profile"] as? [[String: Any]])
    #expect(Set(rows.compactMap { $0["operation"] as? String }).isSuperset(of: ["qkv", "attention", "fc2"]))
    #expect(abs(rows.compactMap { $0["share"] as? Double }.reduce(0, +) - 1) < 1e-4)
    for row in rows {
      // Products have a speed, all else has none.
      #expect(
        (row["gflops"] is Double)
          != (["norm", "conversion", "other"].contains(row["operation"] as? String ?? "")))
      #expect((row["ms_per_image"] as? Double ?? 0) > 0)
    }
  }

  @Test func text() throws {
    let run = try Command.run("bench", "--model", Command.tiny, "--seconds", "0.02", "--profile")
    #expect(run.status == 0)
    let names = run.lines.map { $0.prefix { $0 != " " } }
    #expect(
      names.prefix(7) == ["model", "arithmetic", "loading", "throughput", "latency", "speed", "memory"])
    #expect(run.lines[0].contains("vit_tiny_patch16_224") && run.lines[0].contains("32x32 pixels"))
    #expect(run.lines[5].contains("GFLOP/s") && run.lines[5].contains(" % of the "))
    #expect(run.lines.contains { $0.hasPrefix("operation ") && $0.hasSuffix("of peak") })
    #expect(run.lines.contains { $0.hasPrefix("attention ") })
  }

  @Test(arguments: ["plain", "avx2"]) func forcedVariants(_ variant: String) throws {
    let run = try Command.run("bench", Self.small, environment: ["VITRINE_KERNELS": variant])
    // The machine may not have the variant; then it is refused by name.
    #expect(run.status == 0 ? run.output.contains("kernels \(variant)") : run.errors.contains(variant))
  }

  @Test(arguments: [
    [], ["--architecture", "test_vit", "--iterations", "0"],
    ["--architecture", "test_vit", "--seconds", "0"],
    ["--architecture", "test_vit", "--seconds", "nan"],
    ["--architecture", "test_vit", "--seconds", "1", "--iterations", "1"],
    ["--architecture", "test_vit", "--batch-size", "0"], ["--architecture", "test_vit", "--threads", "0"],
    ["--architecture", "test_vit", "--precision", "fp64"], ["--architecture", "test_vit", "--mode", "fast"],
    ["--architecture", "test_vit", "--size", "x"], ["--architecture", "test_vit", "photo.jpg"],
  ]) func wrongUsage(_ arguments: [String]) throws {
    let run = try Command.run("bench", arguments)
    #expect(run.status == 64)
    #expect(run.output.isEmpty && !run.errors.isEmpty)
  }

  @Test func modelsThatAreNone() throws {
    for (arguments, message) in [
      (["--architecture", "vit_huge_patch3_224"], "not one of timm's"),
      (["--architecture", "vit_base_resnet50d_224"], "only ResNet-V2 is supported"),
      (["--model", "/nowhere"], "no such file or directory"),
      (["--architecture", "test_vit", "--size", "33"], "not made of whole patches"),
      (["--architecture", "test_vit", "--size", "16384", "--batch-size", "1024"], "but there are only"),
    ] {
      let run = try Command.run("bench", arguments)
      #expect(run.status == 1 && run.output.isEmpty, "\(arguments)")
      #expect(run.errors.contains(message), "\(run.errors)")
    }
  }

  @Test(.timeLimit(.minutes(15))) func interruption() throws {
    let run = try Command.shell(
      """
      "$vitrine" bench --architecture test_vit --size 32 --seconds 600 & pid=$!
      # Until it has its handler: a shell's background processes begin with the signal ignored.
      until (( 16#$(sed -n 's/SigCgt:\t//p' /proc/$pid/status) & 2 )); do sleep 0.05; done
      kill -INT $pid; wait $pid; echo $?
      """)
    #expect(run.lines == ["130"])
  }
}
