import Foundation
import Kernels
import SystemPackage
import TestSupport
import Testing

/// The commands with each precision of the matrix products.
@Suite struct PrecisionTests {
  static let precisions = ["fp32", "bf16", "int8"]

  /// Whatever the threads and the batches are, the same images give the same results, byte for byte.
  @Test(arguments: precisions) func threadsAndBatches(_ precision: String) throws {
    let folder = try TemporaryFolder()
    let arguments = [Command.photos, "--model", Command.tiny, "--precision", precision, "--quiet"]
    func results(_ command: String, _ more: [String], file: String) throws -> (text: String, array: Data) {
      let array = folder.path.appending("\(file).npy").string
      let run = try Command.run(
        command,
        arguments + more
          + (command == "classify" ? ["--format", "jsonl", "--logits", array] : ["--output", array]))
      #expect(run.status == 0 && run.errors.isEmpty, "\(run.errors)")
      return (run.output, try Data(contentsOf: URL(fileURLWithPath: array)))
    }
    for command in ["classify", "embed"] {
      let reference = try results(command, ["--threads", "1"], file: "reference")
      #expect(command == "embed" || reference.text.split(separator: "\n").count == 30)
      for (threads, batchSize) in [("2", "1"), ("3", "4"), ("5", "7"), ("2", "100")] {
        let other = try results(
          command, ["--threads", threads, "--batch-size", batchSize], file: "\(threads)-\(batchSize)")
        #expect(other == reference, "\(command), \(threads) threads, batches of \(batchSize)")
      }
    }
  }

  /// A single image, whose layers all threads share.
  @Test(arguments: precisions) func oneImage(_ precision: String) throws {
    let model = Fixtures.models.appending("hf-dinov2-registers").string
    let folder = try TemporaryFolder()
    let arrays = try (1...4).map { threads in
      let file = folder.path.appending("\(threads).npy").string
      let run = try Command.run(
        "embed", Self.photo, "--model", model, "--precision", precision, "--tokens", "all", "--threads",
        "\(threads)",
        "--output", file)
      #expect(run.status == 0, "\(run.errors)")
      return try Data(contentsOf: URL(fileURLWithPath: file))
    }
    #expect(arrays[0].count > 1000 && arrays.allSatisfy { $0 == arrays[0] })
  }

  /// Less precision costs little, and something: an option that does nothing would be noticed.
  @Test(arguments: [("bf16", 0.9999), ("int8", 0.99)]) func agreement(
    _ precision: String, _ leastCosine: Double
  ) throws {
    let folder = try TemporaryFolder()
    func array(_ command: String, _ option: String, _ precision: String) throws -> [Float] {
      let file = folder.path.appending("\(command)-\(precision).npy").string
      let run = try Command.run(
        command, Fixtures.project.appending("samples/photos").string, "--model", Command.tiny, option, file,
        "--precision", precision, "--batch-size", "5")
      #expect(run.status == 0, "\(run.errors)")
      return try NumpyArray(file).values
    }
    for (command, option, width) in [("classify", "--logits", 7), ("embed", "--output", 48)] {
      let (a, b) = (try array(command, option, "fp32"), try array(command, option, precision))
      #expect(a.count == b.count && a.count % width == 0 && a.count > 10 * width)
      #expect(a != b)
      for start in stride(from: 0, to: a.count, by: width) {
        let rows = start..<start + width
        #expect(cosine(a[rows], b[rows]) >= leastCosine, "\(command), image \(start / width)")
      }
    }
  }

  @Test(arguments: ["classify", "embed", "evaluate", "bench"]) func wrongUsage(_ command: String) throws {
    let inputs: [String]
    switch command {
    case "bench": inputs = ["--architecture", "test_vit"]
    case "embed": inputs = [Self.photo, "--model", Command.tiny, "--output", "/dev/null"]
    default: inputs = [Self.photo, "--model", Command.tiny]
    }
    for value in ["fp64", "FP32", "bfloat16", "int4", "8", ""] {
      let run = try Command.run(command, inputs + ["--precision", value])
      #expect(run.status == 64 && run.output.isEmpty, "\(value)")
      #expect(
        run.errors.contains("fp32") && run.errors.contains("bf16") && run.errors.contains("int8"),
        "\(run.errors)")
    }
    let missing = try Command.run(command, inputs + ["--precision"])
    #expect(missing.status == 64 && missing.output.isEmpty)
  }

  /// A damaged weight ends the command before any result, by one line with the file and the tensor.
  @Test(arguments: precisions) func damagedWeights(_ precision: String) throws {
    let folder = try TemporaryFolder()
    let model = try folder.copy(FilePath(Command.tiny), to: "model")
    let file = model.appending("model.safetensors").string
    var bytes = try Data(contentsOf: URL(fileURLWithPath: file))
    // The last element of the last tensor: an infinity.
    bytes.replaceSubrange(bytes.count - 4..<bytes.count, with: [0, 0, 0x80, 0x7F])
    try FileManager.default.removeItem(atPath: file)
    try bytes.write(to: URL(fileURLWithPath: file))
    for (command, more) in [
      ("classify", []), ("embed", ["--output", folder.path.appending("x.npy").string]),
    ] {
      let run = try Command.run(
        command, [Command.photos, "--model", model.string, "--precision", precision] + more)
      #expect(run.status == 1 && run.output.isEmpty)
      #expect(
        run.errors.contains("\(file): tensor \"") && run.errors.contains("holds NaN or infinite values"))
      #expect(run.errors.split(separator: "\n").count == 1)
    }
    let looked = try Command.run("inspect", model.string)
    #expect(looked.status == 0 && looked.errors.isEmpty)
  }

  @Test(arguments: precisions, ["throughput", "latency"]) func bench(_ precision: String, _ mode: String)
    throws
  {
    // Of images that are large enough for the first thread, which is measured, to get its share of the rows.
    let run = try Command.run(
      "bench", "--architecture", "test_vit", "--size", "160", "--iterations", "10", "--batch-size", "2",
      "--threads", "2",
      "--precision", precision, "--mode", mode, "--profile", "--json")
    #expect(run.status == 0 && run.errors.isEmpty, "\(run.errors)")
    let report = try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
    #expect(report["precision"] as? String == precision)
    #expect((report["images_per_second"] as? Double ?? 0) > 0 && (report["gflops"] as? Double ?? 0) > 0)
    let rows = try #require(report["profile"] as? [[String: Any]])
    #expect(
      Set(rows.compactMap { $0["operation"] as? String }).isSuperset(of: ["qkv", "attention", "fc1", "fc2"]))
  }

  /// The whole network, of each kind, in each precision, under each variant of the kernels that this machine has: as the command
  /// chooses it, near to what the fastest variant gives.
  @Test(arguments: kinds, precisions) func variants(
    _ model: (name: String, size: String), _ precision: String
  ) throws {
    let path = Fixtures.models.appending(model.name).string
    let folder = try TemporaryFolder()
    func logits(_ variant: KernelVariant) throws -> [Float] {
      let file = folder.path.appending("\(variant).npy").string
      let run = try Command.run(
        "classify",
        [
          Command.photos + "/cat", "--model", path, "--size", model.size, "--precision", precision,
          "--threads", "1",
          "--logits", file,
        ], environment: ["VITRINE_KERNELS": variant.rawValue])
      #expect(run.status == 0, "\(run.errors)")
      return try NumpyArray(file).values
    }
    let variants = KernelVariant.available
    let reference = try logits(variants[variants.count - 1])
    #expect(reference.count >= 3 * 5 && reference.allSatisfy(\.isFinite))
    for variant in variants.dropLast() {
      let values = try logits(variant)
      #expect(values.count == reference.count)
      let cosine = cosine(values[...], reference[...])
      if let path = ProcessInfo.processInfo.environment["VITRINE_DEVIATIONS"], let file = fopen(path, "a") {
        fputs("command\t\(variant)\t\(precision)\t\(model.name)\t\(cosine)\n", file)
        fclose(file)
      }
      #expect(cosine >= Self.leastCosineOfVariants(precision), "\(variant)")
    }
  }

  static let kinds: [(name: String, size: String)] = [
    ("timm-token", "32"), ("timm-clip-quickgelu", "24"), ("timm-gelu-tanh", "24"), ("timm-aimv2", "24"),
    ("timm-beit3", "24"), ("timm-diff", "24"), ("timm-parallel-scaling", "24"), ("timm-map", "24"),
    ("timm-qk-norm-rms", "24"), ("timm-hybrid/weights.safetensors", "64"),
    ("google-npz-pre-logits/model.npz", "8"),
  ]

  /// Variants add up in other orders. In bf16 and int8, a last bit may tip what follows to another level, now and then.
  private static func leastCosineOfVariants(_ precision: String) -> Double {
    switch precision {
    case "fp32": 1 - 1e-9
    case "bf16": 0.9999
    default: 0.999
    }
  }

  private static let photo = Command.photos + "/cat/0100.jpg"

  private func cosine(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>) -> Double {
    func product(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>) -> Double {
      zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
    return product(a, b) / (product(a, a) * product(b, b)).squareRoot()
  }
}

/// The elements of an array that a command wrote.
private struct NumpyArray {
  let values: [Float]

  init(_ file: String) throws {
    let data = try Data(contentsOf: URL(fileURLWithPath: file))
    // The head is as long as its two bytes say, from the tenth on.
    try #require(data.count > 10)
    let start = 10 + Int(data[8]) + Int(data[9]) << 8
    values = data[start...].withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
  }
}
