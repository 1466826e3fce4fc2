import Foundation
import Pipeline
import SystemPackage
import TestSupport
import Testing

/// Inputs that are not what they seem, or change under the reader: each is named, the others go on.
@Suite struct InputFaultTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
  }

  private func shell(_ line: String) throws -> Command.Outcome {
    try Command.shell("cd '\(folder.path)' && \(line)")
  }

  private struct Line: Decodable {
    let path: String
    let pathBytes: Data?
    let error: String?

    enum CodingKeys: String, CodingKey {
      case path, error
      case pathBytes = "path_base64"
    }

    var bytes: [UInt8] { pathBytes.map(Array.init) ?? Array(path.utf8) }
  }

  private func lines(_ text: String) throws -> [Line] {
    try text.split(separator: "\n").map { try JSONDecoder().decode(Line.self, from: Data($0.utf8)) }
  }

  /// A folder with everything that a folder can have. Names are bytes: some are no text, and differ only in what is none.
  private func makeStrangeFolder() throws {
    let made = try shell(
      #"""
      mkdir -p photos/below photos/empty && cd photos || exit 1
      for name in a.jpg $'line\nbreak.jpg' $'c\xff.jpg' $'c\xfe.jpg' $'c\xef\xbf\xbd.jpg' 'd"e,.jpg' $'f\r.jpg' $'g\x1b[31m.jpg' below/h.jpg; do
        cp "$photos/cat/0100.jpg" "$name"
      done
      ln -s . self; ln -s ../photos below/again; ln -s loop.jpg loop.jpg; ln -s nowhere.jpg dangling.jpg
      mkfifo pipe.jpg; ln -s pipe.jpg to-pipe.jpg; ln -s /dev/zero zero.jpg; ln -s /dev/tty tty.jpg
      """# + socket("socket.jpg"))
    #expect(made.status == 0, "\(made.errors)")
  }

  /// Makes a socket in the photos' folder, from here: a shell cannot.
  private func socket(_ name: String) throws -> String {
    let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let path = folder.path.appending(name).string
    try #require(path.utf8.count < MemoryLayout.size(ofValue: address.sun_path))
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let status = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    try #require(status == 0)
    return "\nmv ../\(name) ."
  }

  @Test(.timeLimit(.minutes(15))) func strangeFolders() throws {
    try makeStrangeFolder()
    let classify = "\"$vitrine\" classify photos --model \"$tiny\" --top-k 1"
    let run = try shell("\(classify) --format jsonl")
    #expect(run.status == 2)
    let found = try lines(run.output)
    let names: [[UInt8]] = [
      "a.jpg", "below/h.jpg", "c\u{FFFD}.jpg", "d\"e,.jpg", "dangling.jpg", "f\r.jpg", "g\u{1B}[31m.jpg",
      "line\nbreak.jpg",
      "loop.jpg",
    ].map { Array("photos/\($0)".utf8) }
    let notText = [0xFE, 0xFF].map { Array("photos/c".utf8) + [$0] + Array(".jpg".utf8) }
    // No two results are of the same name, and pipes, sockets and devices are waited for by nobody.
    #expect(Set(found.map(\.bytes)) == Set(names + notText) && found.count == names.count + notText.count)
    #expect(found.filter { $0.pathBytes != nil }.map(\.bytes) == notText)
    let failed = found.filter { $0.error != nil }
    #expect(failed.map(\.path) == ["photos/dangling.jpg", "photos/loop.jpg"])
    #expect(
      failed.map(\.error) == [
        "no such file", "the file could not be read: too many levels of symbolic links",
      ])

    for format in ["jsonl", "csv"] {
      #expect(try shell("\(classify) --output whole.\(format)").status == 2)
      let whole = try Data(contentsOf: URL(fileURLWithPath: folder.path.appending("whole.\(format)").string))
      for count in stride(from: 40, to: whole.count, by: 97) {
        try folder.write(whole.prefix(count), to: "cut.\(format)")
        #expect(
          try shell(
            "\(classify) --output cut.\(format) --resume 2>/dev/null; cmp cut.\(format) whole.\(format)"
          ).status == 0)
      }
    }
    // Each picture has the bytes of its image's name.
    let maps = try shell(
      "\"$vitrine\" attention photos --model \"$tiny\" --output maps --quiet >/dev/null 2>&1; ls maps | wc -l"
    )
    #expect(maps.lines.first.flatMap { Int($0.filter(\.isNumber)) } == 10)
  }

  /// Given by name, they are refused, and not waited for either.
  @Test(.timeLimit(.minutes(15))) func strangeFiles() throws {
    try makeStrangeFolder()
    let run = try shell(
      "cd photos; \"$vitrine\" classify pipe.jpg to-pipe.jpg socket.jpg zero.jpg loop.jpg a.jpg --model \"$tiny\" --format jsonl"
    )
    #expect(run.status == 2)
    #expect(
      try lines(run.output).map(\.error) == [
        "a named pipe, not a file", "a named pipe, not a file", "a socket or a device, not a file",
        "a device, not a file", "the file could not be read: too many levels of symbolic links", nil,
      ])
    for model in ["photos/pipe.jpg", "photos/zero.jpg"] {
      let refused = try shell("\"$vitrine\" inspect \(model)")
      #expect(refused.status == 1 && refused.errors == "Error: \(model): not a regular file\n")
    }
  }

  /// The limits of images have options, and messages that name them.
  @Test func limits() throws {
    let (photo, size) = ("\"$photos/cat/0100.jpg\"", 954)
    for (option, least, message) in [
      ("--max-bytes", size, "file of 954 bytes is above the limit of 953 bytes; raise it with --max-bytes"),
      ("--max-pixels", 32 * 32, "raise it with --max-pixels"),
    ] {
      let command = "\"$vitrine\" classify \(photo) --model \"$tiny\" --format jsonl \(option)"
      #expect(try shell("\(command) \(least)").status == 0)
      let run = try shell("\(command) \(least - 1)")
      #expect(run.status == 2 && run.errors.hasSuffix("\(message)\n"), "\(run.errors)")
    }
  }

  @Test(.enabled(if: Command.unprivileged != nil, "root may read everything")) func permissions() throws {
    let run = try shell(
      """
      mkdir -p photos/locked; for name in a locked/b c; do cp "$photos/cat/0100.jpg" photos/$name.jpg; done
      chmod 0 photos/a.jpg photos/locked
      \(Command.unprivileged ?? "") "$vitrine" classify photos --model "$tiny" --format jsonl; s=$?
      cp -r "$tiny" model; chmod 0 model/config.json
      \(Command.unprivileged ?? "") "$vitrine" classify photos/c.jpg --model model; echo $?
      chmod 755 photos/locked; exit $s
      """)
    #expect(run.status == 2)
    let found = try lines(run.output.split(separator: "\n").dropLast().joined(separator: "\n"))
    #expect(
      found.map(\.error) == [
        "permission to read the file was denied", nil, "cannot read the folder: permission denied",
      ])
    #expect(run.lines.last == "1" && run.errors.contains("Error: model/config.json: permission denied"))
  }

  /// Files that vanish, shrink and grow while they are read: each time a result or a reason.
  @Test(.timeLimit(.minutes(15))) func filesThatChange() throws {
    let run = try shell(
      """
      cp "$photos/../photos/cat.jpg" whole.jpg; cp whole.jpg a.jpg
      while :; do head -c $((RANDOM % 60000)) whole.jpg >a.jpg; rm a.jpg; cp whole.jpg a.jpg; done & writer=$!
      for i in $(seq 200); do echo a.jpg; done | "$vitrine" classify - --model "$tiny" --format jsonl 2>/dev/null; s=$?
      kill -KILL $writer; exit $s
      """)
    #expect(run.status == 0 || run.status == 2)
    #expect(try lines(run.output).count == 200)
  }

  /// A data set stays mapped while it is evaluated. Where it is cut short, the run ends with a word, not by a signal.
  @Test(.timeLimit(.minutes(15))) func mappedFilesThatShrink() throws {
    let run = try shell(
      """
      mkdir data; printf '%s\\n' a b c d e f g h i j >data/batches.meta.txt; truncate -s $((3073 * 40000)) data/test_batch.bin
      "$vitrine" evaluate data --model "$sample" 2>errors & pid=$!
      until grep -qs images errors; do kill -0 $pid || break; sleep 0.01; done
      : >data/test_batch.bin; wait $pid; s=$?; tail -n 1 errors >&2; exit $s
      """)
    #expect(run.status == 1)
    #expect(
      run.errors
        == "Error: data/test_batch.bin: the file was cut short, or its disk failed, while it was read\n")
    #expect(run.output.isEmpty)
  }

  /// A model may be removed, replaced or cut short once it is open: what was read stays.
  @Test(.timeLimit(.minutes(15)), arguments: ["fp32", "bf16", "int8"]) func modelsThatVanish(
    _ precision: String
  ) throws {
    let run = try shell(
      """
      cp -r "$sample" model; coproc "$vitrine" classify - --model model --precision \(precision) --format jsonl
      ask() { echo "$photos/cat/0100.jpg" >&"${COPROC[1]}"; read -r -t 20 line <&"${COPROC[0]}" && echo "$line"; }
      ask; head -c 5000 /dev/urandom >new; mv new model/model.safetensors; ask
      : >model/model.safetensors; ask; rm -r model; ask
      """)
    #expect(run.lines.count == 4 && Set(run.lines).count == 1 && run.lines[0].contains("predictions"))
  }

  static let commands = [
    "classify \"$photos/../photos\" --model \"$sample\"",
    "embed \"$photos/../photos\" --model \"$sample\" --output x.npy",
    "evaluate \"$photos\" --model \"$sample\"",
    "attention \"$photos/cat\" --model \"$sample\" --output x --method attribution",
    "attention \"$photos/cat\" --model \"$sample\" --html x.html",
    "distances \"$photos\" --model \"$sample\" --output x.png",
    "positions --model \"$sample\" --output x.png", "inspect \"$sample\"",
    "convert \"$sample\" --output x", "quantize \"$sample\" --calibration \"$photos\" --output x",
    "train " + TrainTests.arguments("x").map { "'\($0)'" }.joined(separator: " "),
  ]

  /// However little memory there is (`ulimit -v`), a run ends well or with a word. Below some limit the system cannot even load the
  /// program, which is its own word and status.
  @Test(.timeLimit(.minutes(15)), arguments: commands) func littleMemory(_ command: String) throws {
    let run = try shell(
      """
      ulimit -c 0
      for megabytes in $(seq 40 12 220); do
        rm -rf x*; (ulimit -v $((1024 * megabytes)); "$vitrine" \(command) >/dev/null 2>errors); s=$?
        [ $s = 0 ] && grep -q '^Error' errors && echo "$megabytes: $(cat errors)"
        case $s in
          0) echo done; break;;
          1) grep -q '^Error: .*memory' errors || echo "$megabytes: $(cat errors)";;
          127) ;;
          *) echo "$megabytes: status $s, $(cat errors)";;
        esac
      done
      """)
    #expect(run.lines == ["done"])
  }
}
