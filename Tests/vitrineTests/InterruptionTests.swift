import Foundation
import SystemPackage
import TestSupport
import Testing

/// Runs that are ended at any moment: what they left is whole, and gone on with gives what an undisturbed run gives.
@Suite struct InterruptionTests {
  /// Two hundred images, one of which cannot be read, in two folders.
  private static let images = """
    mkdir -p images/a images/b
    for i in 1 2 3 4; do cp -r "$photos" images/a/$i; done; for i in 1 2 3; do cp -r "$photos" images/b/$i; done
    echo broken >images/a/2/broken.jpg; find images -name '*.md' -delete
    """

  /// Runs a command that writes `$out`, ends it by each signal as soon as its results have grown to some size, goes on, and compares.
  private func interrupt(_ command: String, outputs: [String]) throws -> Command.Outcome {
    let folder = try TemporaryFolder()
    let files = outputs.joined(separator: " ")
    return try Command.shell(
      """
      cd '\(folder.path)'; \(Self.images)
      out=whole; \(command) --quiet 2>/dev/null; [ $? = 2 ] || echo undisturbed
      size=$(stat -c %s whole.\(outputs[0])); trial=0
      for signal in KILL INT KILL TERM KILL HUP; do
        trial=$((trial + 1)); out=cut; resume=; rm -f cut.*
        for part in 1 2 3; do
          goal=$((size * (trial + 5 * part) / 24))
          \(command) --quiet $resume 2>/dev/null & pid=$!
          while kill -0 $pid 2>/dev/null && [ "$(stat -c %s cut.\(outputs[0]) 2>/dev/null || echo 0)" -lt $goal ]; do :; done
          kill -$signal $pid 2>/dev/null; wait $pid; status=$?; resume=--resume
          # A run may have ended before the signal came.
          case $signal-$status in KILL-137|INT-130|TERM-143|HUP-129|*-2) ;; *) echo "$signal: status $status";; esac
        done
        \(command) --quiet --resume 2>/dev/null; [ $? = 2 ] || echo "$signal: not finished"
        for file in \(files); do cmp whole.$file cut.$file || echo "$signal: $file"; done
      done; echo compared
      """)
  }

  @Test(.timeLimit(.minutes(15)), arguments: ["jsonl", "csv"]) func classifications(_ format: String) throws {
    let run = try interrupt(
      "\"$vitrine\" classify images --model \"$tiny\" --output $out.\(format) --logits $out.npy --threads 2",
      outputs: [format, "npy"])
    #expect(run.lines == ["compared"])
  }

  @Test(.timeLimit(.minutes(15))) func features() throws {
    let run = try interrupt(
      "\"$vitrine\" embed images --model \"$tiny\" --paths $out.jsonl --output $out.npy --batch-size 3",
      outputs: ["jsonl", "npy"])
    #expect(run.lines == ["compared"])
  }

  /// A terminal that is closed ends a run as `kill` does, unless it was started by nohup.
  @Test(.timeLimit(.minutes(15))) func closedTerminals() throws {
    let folder = try TemporaryFolder()
    let run = try Command.shell(
      """
      cd '\(folder.path)'; mkfifo list; exec 9<>list
      start() { "$@" classify - --model "$tiny" --output results.jsonl <list 2>/dev/null & pid=$!; }
      results() { echo "$photos/cat/0100.jpg" >&9; until [ "$(wc -l 2>/dev/null <results.jsonl)" = $1 ]; do sleep 0.01; done; }
      start "$vitrine"; results 1; kill -HUP $pid; wait $pid; echo $?
      rm results.jsonl
      start nohup "$vitrine"; results 1; kill -HUP $pid; sleep 0.3; results 2; kill -TERM $pid; wait $pid; echo $?
      """)
    #expect(run.lines == ["129", "143"], "\(run.errors)")
  }

  /// Pictures, pages and models are there whole or not at all, and nothing else is left, not even by SIGKILL.
  @Test(.timeLimit(.minutes(15))) func files() throws {
    let folder = try TemporaryFolder()
    let run = try Command.shell(
      """
      cd '\(folder.path)'; \(Self.images)
      "$vitrine" attention images --model "$tiny" --output whole --npy --quiet >/dev/null 2>&1
      for count in 1 20 90; do
        rm -rf cut; "$vitrine" attention images --model "$tiny" --output cut --npy --quiet >/dev/null 2>&1 & pid=$!
        while kill -0 $pid 2>/dev/null && [ "$(find cut -type f 2>/dev/null | wc -l)" -lt $count ]; do :; done
        kill -KILL $pid; wait $pid 2>/dev/null
        find cut -type f | while read -r file; do cmp "$file" "whole${file#cut}" || echo "$file"; done
        # Again: what is there is replaced.
        "$vitrine" attention images --model "$tiny" --output cut --npy --quiet >/dev/null 2>&1
        diff -r whole cut && echo same
      done
      """)
    #expect(run.lines == ["same", "same", "same"])
  }
}
