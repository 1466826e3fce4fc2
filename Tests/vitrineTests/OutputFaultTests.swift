import Foundation
import SystemPackage
import TestSupport
import Testing

/// Places for results that fail, made to fail: each run stops with a sentence and leaves whole results, or none.
@Suite struct OutputFaultTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
  }

  private func names(in path: String = ".") -> Set<String> {
    Set((try? FileManager.default.contentsOfDirectory(atPath: folder.path.appending(path).string)) ?? [])
  }

  /// Runs a line of shell in the folder.
  private func shell(_ line: String) throws -> Command.Outcome {
    try Command.shell("cd '\(folder.path)' && \(line)")
  }

  /// Commands that write files, each with its output as $out; what they leave when they fail must be nothing.
  static let whole = [
    "preprocess \"$photos/cat/0100.jpg\" --size 64 --model \"$tiny\" --output $out.npy",
    "attention \"$photos\" --model \"$tiny\" --npy --output $out",
    "attention \"$photos/cat\" --model \"$tiny\" --html $out.html",
    "distances \"$photos/cat\" --model \"$tiny\" --output $out.png",
    "positions --model \"$tiny\" --output $out.png", "filters --model \"$tiny\" --output $out.png",
    "convert \"$tiny\" --output $out",
    "quantize \"$tiny\" --calibration \"$photos\" --output $out",
    "classify \"$photos\" --model \"$tiny\" --contact-sheet $out.png",
  ]

  /// As on a full disk, writing fails somewhere in the middle: a file may have 2,048 bytes (`ulimit -f`).
  @Test(arguments: whole) func filesAreWholeOrNotThere(_ command: String) throws {
    let run = try shell("ulimit -f 2; out=made; \"$vitrine\" \(command) >/dev/null")
    #expect(run.status == 1, "\(run.errors)")
    #expect(run.errors.contains("cannot write: file too large"), "\(run.errors)")
    let files = FileManager.default.enumerator(atPath: folder.path.string)?.compactMap { $0 as? String } ?? []
    #expect(!files.contains { $0.contains(".") }, "\(files)")
  }

  /// Results that grow end with the last whole one, and are gone on with.
  @Test(arguments: ["jsonl", "csv"]) func resultsEndWhole(_ format: String) throws {
    let classify = "\"$vitrine\" classify \"$photos\" --model \"$tiny\" --quiet"
    #expect(try shell("\(classify) --output whole.\(format) --logits whole.npy").status == 0)
    let run = try shell("ulimit -f 4; \(classify) --output cut.\(format) --logits cut.npy")
    #expect(run.status == 1)
    #expect(run.errors == "Error: cut.\(format): cannot write: file too large\n")
    let cut = try String(contentsOfFile: folder.path.appending("cut.\(format)").string, encoding: .utf8)
    #expect(cut.hasSuffix("\n") && cut.utf8.count > 3000 && cut.utf8.count <= 4096)
    #expect(try shell("\(classify) --output cut.\(format) --logits cut.npy --resume").status == 0)
    #expect(try shell("cmp whole.\(format) cut.\(format) && cmp whole.npy cut.npy").status == 0)
  }

  @Test func features() throws {
    let embed = "\"$vitrine\" embed \"$photos\" --model \"$tiny\" --quiet --tokens all"
    #expect(try shell("\(embed) --output whole.npy --paths whole.jsonl").status == 0)
    let run = try shell("ulimit -f 40; \(embed) --output cut.npy --paths cut.jsonl")
    #expect(run.status == 1 && run.errors == "Error: cut.npy: cannot write: file too large\n")
    // The header tells of as many rows as there are.
    let size = 192 + 12 * 17 * 48 * 4
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: folder.path.appending("cut.npy").string)))
    #expect(bytes.count == size && String(decoding: bytes[10..<90], as: UTF8.self).contains("(12, 17, 48)"))
    #expect(try shell("\(embed) --output cut.npy --paths cut.jsonl --resume").status == 0)
    #expect(try shell("cmp whole.npy cut.npy && cmp whole.jsonl cut.jsonl").status == 0)
  }

  @Test func reports() throws {
    let evaluate = "\"$vitrine\" evaluate \"$photos\" --model \"$sample\" --quiet"
    for (option, reason) in [
      ("--confusion made.png", "file too large"), ("--report /dev/full", "no space left on device"),
      ("--confusion full.csv", "no space left on device"),
    ] {
      let run = try shell(
        "ulimit -f 1; ln -s /dev/full full.csv; \(evaluate) \(option); s=$?; rm full.csv; exit $s")
      #expect(run.status == 1 && run.errors.contains("cannot write: \(reason)"), "\(run.errors)")
      // What was found out after all that work is not lost.
      #expect(run.output.contains("top-1"))
      #expect(names().isEmpty)
    }
  }

  @Test func trainings() throws {
    let train = "\"$vitrine\" train " + TrainTests.arguments("run").map { "'\($0)'" }.joined(separator: " ")
    let run = try shell("ulimit -f 2; \(train)")
    #expect(run.status == 1 && run.errors.contains("cannot write: file too large"), "\(run.errors)")
    #expect(!names(in: "run/last").contains("state.safetensors"))
    // What was begun goes on.
    #expect(try shell("\"$vitrine\" train --resume --data \"$photos\" --output run --quiet").status == 0)
    #expect(names(in: "run/last").isSuperset(of: ["state.safetensors", "model.safetensors", "config.json"]))
    #expect(names(in: "run/last").count == 3, "files were left behind")
  }

  /// A disk that is full, which only root can make.
  @Test(.enabled(if: Command.canMount, "no file system can be mounted here")) func fullDisks() throws {
    let run = try shell(
      """
      mkdir disk && mount -t tmpfs -o size=16k tmpfs disk || exit 9
      trap 'umount disk' EXIT
      "$vitrine" classify "$photos" --model "$tiny" --output whole.jsonl --quiet
      head -c 10000 /dev/zero >disk/others
      "$vitrine" classify "$photos" --model "$tiny" --output disk/cut.jsonl --quiet; echo $?
      rm disk/others
      "$vitrine" classify "$photos" --model "$tiny" --output disk/cut.jsonl --resume --quiet; echo $?
      cmp whole.jsonl disk/cut.jsonl && echo same
      head -c 4000 /dev/zero >>disk/others
      "$vitrine" convert "$tiny" --output disk/model; echo $?
      ls -A disk
      """)
    #expect(run.lines == ["1", "0", "same", "1", "cut.jsonl", "others"], "\(run.errors)")
    #expect(run.errors.contains("disk/cut.jsonl: cannot write: no space left on device"))
  }

  static let folders = [
    "classify \"$photos\" --model \"$tiny\" --output locked/x.jsonl",
    "embed \"$photos\" --model \"$tiny\" --output locked/x.npy",
    "evaluate \"$photos\" --model \"$sample\" --report locked/x.json",
    "evaluate \"$photos\" --model \"$sample\" --confusion locked/x.csv",
    "attention \"$photos\" --model \"$tiny\" --output locked/x",
    "quantize \"$tiny\" --calibration \"$photos\" --output locked/x",
    "convert \"$tiny\" --output locked/x",
    "train " + TrainTests.arguments("locked/x").map { "'\($0)'" }.joined(separator: " "),
  ]

  @Test(.enabled(if: Command.unprivileged != nil, "root may write everywhere"), arguments: folders)
  func lockedFolders(_ command: String) throws {
    let run = try shell(
      "mkdir locked; chmod 555 locked; \(Command.unprivileged ?? "") \"$vitrine\" \(command)")
    #expect(run.status == 1)
    #expect(run.errors.contains("locked/x") && run.errors.contains("permission denied"), "\(run.errors)")
    #expect(names(in: "locked").isEmpty)
    // Said before the work, not after it.
    #expect(!run.output.contains("top-1"))
  }

  /// What is no file is written to, and stays what it is; what a link leads to is replaced, not the link.
  @Test func pipesAndLinks() throws {
    let pipe = try shell(
      """
      mkfifo pipe.png; cat pipe.png >got.png & "$vitrine" positions --model "$tiny" --output pipe.png; wait
      "$vitrine" positions --model "$tiny" --output whole.png
      [ -p pipe.png ] && cmp got.png whole.png && echo pipe
      echo old >target.png; ln -s target.png link.png; ln -s nowhere.png new.png; ln -s circle.png circle.png
      "$vitrine" positions --model "$tiny" --output link.png; "$vitrine" positions --model "$tiny" --output new.png
      [ -L link.png ] && [ -L new.png ] && cmp target.png whole.png && cmp nowhere.png whole.png && echo links
      "$vitrine" evaluate "$photos" --model "$sample" --report /dev/stdout --quiet | grep -c '"top1"'
      "$vitrine" positions --model "$tiny" --output circle.png || echo $?
      mkfifo pipe.jsonl; timeout 20 "$vitrine" classify "$photos" --model "$tiny" --output pipe.jsonl --resume || echo $?
      """)
    #expect(pipe.lines == ["pipe", "links", "11", "1", "1"], "\(pipe.errors)")
    #expect(
      pipe.errors
        == "Error: circle.png: cannot write: too many levels of symbolic links\n"
        + "Error: pipe.jsonl: cannot resume: not a file that results could be read from\n")
  }

  static let printing = [
    "classify \"$photos\" --model \"$tiny\"", "inspect \"$tiny\"", "inspect \"$tiny\" --json",
    "evaluate \"$photos\" --model \"$sample\"", "bench --model \"$tiny\" --json --iterations 2",
    "attention \"$photos/cat\" --model \"$tiny\" --output made",
  ]

  @Test(arguments: printing) func standardOutput(_ command: String) throws {
    let full = try shell("\"$vitrine\" \(command) >/dev/full")
    #expect(full.status == 1)
    #expect(full.errors.contains("Error: standard output: cannot write: no space left on device"))
    let closed = try shell("\"$vitrine\" \(command) | :; echo ${PIPESTATUS[0]}")
    #expect(closed.lines == ["0"] && !closed.errors.contains("pipe"))
  }

  /// An image whose name leaves no room for more must not end a run over all the others.
  @Test func longNames() throws {
    let name = String(repeating: "\u{E4}", count: 124) + "x"
    let run = try shell(
      """
      mkdir photos; cp "$photos/cat/0100.jpg" photos/\(name).jpg; cp "$photos/cat/0100.jpg" photos/\(name)y.png
      "$vitrine" attention photos --model "$tiny" --output made --quiet; ls made
      """)
    let cut = String(repeating: "\u{E4}", count: 80)
    #expect(run.lines.suffix(2) == ["\(cut)-2-rollout.png", "\(cut)-rollout.png"], "\(run.errors)")
  }
}
