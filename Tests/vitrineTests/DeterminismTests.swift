import Foundation
import SystemPackage
import TestSupport
import Testing

/// The same inputs give the same bytes, however many threads share them and however many images go through the network together.
@Suite struct DeterminismTests {
  /// Threads and batch sizes: more threads than cores and images, batches that the images do not fill, one batch for all.
  static let ways = ["1 1", "2 1", "3 4", "16 1", "1 64"]

  private func compare(_ model: String, _ options: String) throws -> Command.Outcome {
    let folder = try TemporaryFolder()
    return try Command.shell(
      """
      cd '\(folder.path)'; \(model); inputs="$photos/cat $photos/ship $photos/../photos/owl.jpg"
      while read -r threads batch; do
        how="\(options) --threads $threads --batch-size $batch --quiet"
        "$vitrine" classify $inputs --model $model $how --format jsonl --logits logits.npy >results.jsonl || exit
        "$vitrine" embed $inputs --model $model $how --tokens all --output tokens.npy || exit
        # Alone, an image's layers are shared among the threads.
        "$vitrine" classify "$photos/cat/0100.jpg" --model $model $how --format jsonl >one.jsonl || exit
        "$vitrine" attention "$photos/cat" --model $model $how --method raw --head all --npy --output maps >/dev/null || exit
        "$vitrine" attention "$photos/cat" --model $model $how --npy --output maps >/dev/null || exit
        cat results.jsonl logits.npy tokens.npy $(find maps -type f | LC_ALL=C sort) | cksum
        grep -qxF "$(cat one.jsonl)" results.jsonl && echo alone
        rm -r maps
      done <<<"\(Self.ways.joined(separator: "\n"))"
      """)
  }

  private func expectSame(_ run: Command.Outcome) {
    #expect(run.status == 0, "\(run.errors)")
    #expect(
      run.lines.count == 2 * Self.ways.count && run.lines.filter { $0 == "alone" }.count == Self.ways.count)
    #expect(Set(run.lines).count == 2, "\(run.lines)")
  }

  @Test(.timeLimit(.minutes(15)), arguments: ["fp32", "bf16", "int8"]) func precisions(_ precision: String)
    throws
  {
    expectSame(try compare("model=$sample", "--precision \(precision)"))
  }

  @Test(.timeLimit(.minutes(15)), arguments: ["w8a8", "w8a8-static", "w8", "w4"]) func schemes(
    _ scheme: String
  ) throws {
    expectSame(
      try compare(
        "model=model; \"$vitrine\" quantize $sample --calibration $photos --images 8 --scheme \(scheme) --output model --quiet 2>/dev/null",
        ""))
  }

  /// Gradients too.
  @Test(.timeLimit(.minutes(15))) func attributions() throws {
    let folder = try TemporaryFolder()
    let run = try Command.shell(
      """
      cd '\(folder.path)'
      for threads in 1 2 5; do
        "$vitrine" attention "$photos/cat" --model "$sample" --method attribution --npy --output maps --threads $threads --quiet >/dev/null || exit
        cat maps/* | cksum
      done
      """)
    #expect(run.status == 0 && run.lines.count == 3 && Set(run.lines).count == 1, "\(run.errors)")
  }
}
