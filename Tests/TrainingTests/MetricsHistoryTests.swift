import Checkpoints
import TestSupport
import Testing
import Training

/// What a run has written, read again.
@Suite struct MetricsHistoryTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private let lines = [
    MetricsLine(.step, step: 50, epoch: 1, values: [("learning_rate", 1e-4), ("train_loss", 2.25)]),
    MetricsLine(.epoch, step: 100, epoch: 1, values: [("train_loss", .nan), ("validation_top1", 0.5)]),
  ]

  @Test func `lines come back as they were written`() throws {
    let path = try folder.write(lines.map { $0.json + "\n" }.joined(), to: "metrics.jsonl")
    let history = try MetricsHistory(reading: path)
    #expect(history.lines.map(\.json) == lines.map(\.json))
    #expect(history.lines[0]["train_loss"] == 2.25 && history.lines[0]["missing"] == nil)
    #expect(history.lines[1]["train_loss"]?.isNaN == true)
  }

  @Test func `a line that is still being written is left out`() throws {
    let path = try folder.write("\n" + lines[0].json + "\n{\"kind\":\"ep", to: "metrics.jsonl")
    #expect(try MetricsHistory(reading: path).lines.map(\.json) == [lines[0].json])
  }

  @Test(arguments: [
    "{}", "[1]", "nonsense", "{\"kind\":\"day\",\"epoch\":1,\"step\":1}",
    "{\"kind\":\"step\",\"epoch\":-1,\"step\":1}",
  ])
  func `a line that is none is named`(line: String) throws {
    let path = try folder.write(lines[0].json + "\n" + line + "\n", to: "metrics.jsonl")
    let error = #expect(throws: CheckpointError.self) { try MetricsHistory(reading: path) }
    #expect("\(error, default: "")".contains("metrics.jsonl: line 2 is not one of a training's metrics"))
  }
}
