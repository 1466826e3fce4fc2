import Foundation
import SystemPackage
import TestSupport
import Testing

@Suite struct ClassifyTests {
  @Test func jsonLines() throws {
    let run = try Command.run(
      "classify", Command.photos, "--model", Command.tiny, "--format", "jsonl", "--top-k", "2")
    #expect(run.status == 0)
    #expect(run.lines.count == 30)
    let names = try run.lines.map { line in
      let object = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
      #expect(object["width"] as? Int == 32 && object["height"] as? Int == 32)
      let predictions = try #require(object["predictions"] as? [[String: Any]])
      #expect(predictions.count == 2)
      let probabilities = predictions.compactMap { $0["probability"] as? Double }
      #expect(probabilities[0] >= probabilities[1] && probabilities.reduce(0, +) <= 1.000001)
      #expect(predictions.allSatisfy { $0["label"] is String && $0["index"] is Int })
      return try #require(object["path"] as? String)
    }
    #expect(names == names.sorted(), "not in the order of the inputs")
  }

  @Test func csv() throws {
    let run = try Command.run(
      "classify", Command.photos, "--model", Command.tiny, "--format", "csv", "--top-k", "3")
    #expect(run.status == 0)
    #expect(run.lines.first == "path,rank,index,label,probability,error")
    #expect(run.lines.count == 1 + 30 * 3)
    #expect(run.lines[3].split(separator: ",", omittingEmptySubsequences: false)[1] == "3")
  }

  @Test func badInputsAreNamedAndTheOthersGoOn() throws {
    let folder = try TemporaryFolder()
    let photo = FilePath(Command.photos).appending("cat/0100.jpg")
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: photo.string)))
    try folder.copy(photo, to: "a.jpg")
    try folder.write(bytes.prefix(400), to: "b-truncated.jpg")
    try folder.write("", to: "c-empty.png")
    try folder.write("no image", to: "d-text.jpg")
    try folder.copy(photo, to: "e.jpg")
    let missing = folder.path.appending("missing.jpg").string
    let run = try Command.run(
      "classify", folder.path.string, missing, "--model", Command.tiny, "--format", "jsonl", "--top-k", "1")
    #expect(run.status == 2)
    #expect(run.lines.count == 6)
    let failed = run.lines.filter { $0.contains("\"error\"") }
    #expect(failed.count == 4)
    for name in ["b-truncated.jpg", "c-empty.png", "d-text.jpg", "missing.jpg"] {
      #expect(failed.contains { $0.contains(name) })
      #expect(run.errors.contains("\(name): "), "\(name) is not named on standard error")
    }
    #expect(run.errors.split(separator: "\n").count == 4)
  }

  @Test func foldersWithoutImages() throws {
    let folder = try TemporaryFolder()
    let run = try Command.run("classify", folder.path.string, "--model", Command.tiny)
    #expect(run.status == 2)
    #expect(run.errors.contains("no images in this folder"))
  }

  @Test func pathsFromStandardInput() throws {
    let paths = ["cat/0100.jpg", "dog/0100.jpg"].map { "\(Command.photos)/\($0)" }
    let lines = try Command.run(
      "classify", "-", "--model", Command.tiny, "--format", "jsonl",
      input: paths.joined(separator: "\n") + "\n")
    #expect(lines.status == 0 && lines.lines.count == 2)
    let nul = try Command.run(
      "classify", "-", "--null", "--model", Command.tiny, "--format", "jsonl",
      input: paths.joined(separator: "\0"))
    #expect(nul.output == lines.output)
  }

  /// A script may wait for one result before it gives the next path.
  @Test(.timeLimit(.minutes(15))) func pathsOneByOne() throws {
    let run = try Command.shell(
      """
      coproc "$vitrine" classify - --model "$tiny" --format jsonl
      for i in 1 2 3; do
        echo "$photos/cat/0100.jpg" >&"${COPROC[1]}"
        read -r -t 20 line <&"${COPROC[0]}" && echo "$line"
      done
      """)
    #expect(run.lines.count == 3)
  }

  @Test func closedPipe() throws {
    // Far more than a pipe holds, so that the run must meet the closed end.
    let run = try Command.shell(
      """
      yes "$photos/cat/0100.jpg" | head -n 2000 \
        | "$vitrine" classify - --model "$tiny" --format jsonl --logits /dev/null | head -n 1; echo ${PIPESTATUS[*]}
      """)
    #expect(run.lines.last?.hasSuffix(" 0 0") == true)
    #expect(run.lines.last?.hasPrefix("141") == true, "the paths were all read")
    #expect(run.errors.isEmpty)
  }

  @Test func fullDisk() throws {
    let run = try Command.shell("\"$vitrine\" classify \"$photos\" --model \"$tiny\" > /dev/full")
    #expect(run.status == 1)
    #expect(run.errors.contains("cannot write: no space left on device"))
  }

  @Test func logits() throws {
    let folder = try TemporaryFolder()
    let array = folder.path.appending("logits.npy")
    let broken = try folder.write("x", to: "broken.jpg")
    let run = try Command.run(
      "classify", "\(Command.photos)/cat", broken.string, "--model", Command.tiny, "--logits", array.string)
    #expect(run.status == 2)
    let data = [UInt8](try Data(contentsOf: URL(fileURLWithPath: array.string)))
    #expect(String(decoding: data[10..<80], as: UTF8.self).contains("'shape': (4, 7)"))
    let values = data[192...].withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    #expect(values.count == 28)
    #expect(values.prefix(21).allSatisfy { $0.isFinite } && values.suffix(7).allSatisfy { $0.isNaN })
  }

  @Test(arguments: ["jsonl", "csv"]) func resume(_ format: String) throws {
    let folder = try TemporaryFolder()
    let (whole, cut) = (
      folder.path.appending("whole.\(format)").string, folder.path.appending("cut.\(format)").string
    )
    let broken = try folder.write("x", to: "broken.jpg").string
    func classify(_ output: String, _ more: String...) throws -> Command.Outcome {
      try Command.shell(
        "\"$vitrine\" classify \(broken) \"$photos\" --model \"$tiny\" --output \(output) \(more.joined(separator: " "))"
      )
    }
    #expect(try classify(whole, "--logits", whole + ".npy").status == 2)
    let results = try Data(contentsOf: URL(fileURLWithPath: whole))
    for count in [0, 10, 500, 2000, results.count - 1, results.count] {
      try folder.write(results.prefix(count), to: "cut.\(format)")
      try? FileManager.default.removeItem(atPath: cut + ".npy")
      try folder.copy(FilePath(whole + ".npy"), to: "cut.\(format).npy")
      let run = try classify(cut, "--resume", "--logits", cut + ".npy")
      // The image that failed before the interruption still counts.
      #expect(run.status == 2)
      #expect(try Data(contentsOf: URL(fileURLWithPath: cut)) == results, "cut to \(count) bytes")
      #expect(
        try Data(contentsOf: URL(fileURLWithPath: cut + ".npy"))
          == Data(contentsOf: URL(fileURLWithPath: whole + ".npy")))
    }
  }

  /// Waiting for a path that does not come, a run is interrupted all the same.
  @Test(.timeLimit(.minutes(15)), arguments: [1, 2]) func signalWhileWaiting(_ threads: Int) throws {
    let folder = try TemporaryFolder()
    let (output, fifo) = (folder.path.appending("results.jsonl").string, folder.path.appending("list").string)
    let run = try Command.shell(
      """
      mkfifo \(fifo); exec 9<>\(fifo)
      "$vitrine" classify - --model "$tiny" --output \(output) --threads \(threads) <\(fifo) & pid=$!
      echo "$photos/cat/0100.jpg" >&9
      for i in $(seq 200); do [ -s \(output) ] && break; sleep 0.05; done
      kill -INT $pid; wait $pid; echo $?
      """)
    #expect(run.lines.last == "130")
    #expect(try String(contentsOfFile: output, encoding: .utf8).split(separator: "\n").count == 1)
  }

  /// A descriptor that was closed must not become that of a results file.
  @Test func closedStreams() throws {
    let folder = try TemporaryFolder()
    let array = folder.path.appending("logits.npy").string
    let closedOutput = try Command.shell(
      "\"$vitrine\" classify \"$photos/cat\" --model \"$tiny\" --logits \(array) >&-")
    #expect(closedOutput.status == 1)
    #expect(closedOutput.errors.contains("standard output: cannot write"))
    let output = folder.path.appending("results.jsonl").string
    let closedErrors = try Command.shell(
      "\"$vitrine\" classify \"$photos/cat\" /nowhere.jpg --model \"$tiny\" --output \(output) 2>&-")
    #expect(closedErrors.status == 2)
    let lines = try String(contentsOfFile: output, encoding: .utf8).split(separator: "\n")
    #expect(lines.count == 4 && lines.allSatisfy { $0.hasPrefix("{") && $0.hasSuffix("}") })
  }

  @Test func outputsThatWouldDestroyWhatIsRead() throws {
    let folder = try TemporaryFolder()
    let model = try folder.copy(FilePath(Command.tiny), to: "model").string
    let photo = try folder.copy(FilePath(Command.photos).appending("cat/0100.jpg"), to: "a.jpg").string
    let weights = try Data(contentsOf: URL(fileURLWithPath: model + "/model.safetensors"))
    for outputs in [
      "--output \(model)/model.safetensors", "--logits \(model)/config.json", "--output \(photo)",
      "--output \(folder.path)/x --logits \(folder.path)/./x",
    ] {
      let run = try Command.shell("\"$vitrine\" classify \(photo) --model \(model) \(outputs)")
      #expect(run.status == 1, "\(outputs)")
      #expect(run.errors.contains("write the results somewhere else"))
    }
    #expect(try Data(contentsOf: URL(fileURLWithPath: model + "/model.safetensors")) == weights)
    #expect(try Data(contentsOf: URL(fileURLWithPath: photo)).count > 500)
  }

  /// Interrupted, a run ends what is in flight, leaves whole lines, and says so by its status.
  @Test(.timeLimit(.minutes(15)), arguments: [("INT", "130"), ("TERM", "143")]) func signals(
    _ signal: String, _ status: String
  ) throws {
    let folder = try TemporaryFolder()
    let output = folder.path.appending("results.jsonl").string
    // A list that never ends: the run can only end by the signal.
    let run = try Command.shell(
      """
      while :; do echo "$photos/cat/0100.jpg"; sleep 0.02; done \
        | { "$vitrine" classify - --model "$tiny" --output \(output) & pid=$!
            for i in $(seq 200); do [ -s \(output) ] && break; sleep 0.05; done
            kill -\(signal) $pid; wait $pid; echo $?; }
      """)
    #expect(run.lines.last == status)
    let results = try String(contentsOfFile: output, encoding: .utf8)
    #expect(results.hasSuffix("}\n"))
  }

  /// Photos that are large beside the input are decoded smaller; what is said of them is the same but for the last digits.
  @Test func fastDecode() throws {
    let photo = Fixtures.project.appending("samples/photos/horse.jpg").string
    func classify(_ path: String, _ options: String...) throws -> String {
      let arguments = [path, "--model", Command.tiny, "--format", "jsonl", "--top-k", "1"] + options
      let run = try Command.run("classify", arguments)
      #expect(run.status == 0)
      return run.output
    }
    let (exact, fast) = (try classify(photo), try classify(photo, "--fast-decode"))
    #expect(fast.contains("\"width\":800,\"height\":582"))
    #expect(fast != exact)
    // As small as the input: nothing to gain.
    let small = Command.photos + "/cat/0100.jpg"
    #expect(try classify(small) == classify(small, "--fast-decode"))
  }

  @Test func labelsFile() throws {
    let folder = try TemporaryFolder()
    let labels = try folder.write("a\nb\nc\nd\ne\nf\ng\n", to: "labels.txt").string
    let run = try Command.run(
      "classify", "\(Command.photos)/cat/0100.jpg", "--model", Command.tiny, "--labels", labels, "--format",
      "jsonl")
    #expect(run.status == 0 && run.output.contains("\"label\":\"a\""))
    let short = try folder.write("a\nb\n", to: "short.txt").string
    let failed = try Command.run("classify", Command.photos, "--model", Command.tiny, "--labels", short)
    #expect(failed.status == 1)
    #expect(failed.errors.contains("short.txt: 2 labels, but the model has 7 classes"))
  }
}
