import Checkpoints
import SystemPackage

/// What a run has written to `metrics.jsonl` so far.
public struct MetricsHistory: Sendable, Equatable {
  /// Lines of steps and of epochs, in the order of the file.
  public let lines: [MetricsLine]

  /// Reads the file; a last line that is still being written is left out.
  /// - Throws: `CheckpointError.unreadable` where there is no such file, `CheckpointError.malformedJSON` with the number of a line that is none of a run's.
  public init(reading path: FilePath) throws {
    let file = try MappedFile(path)
    let bytes = file.bytes(in: 0..<file.count)
    var lines: [MetricsLine] = []
    var (start, number) = (0, 1)
    for end in bytes.indices where bytes[end] == UInt8(ascii: "\n") {
      if end > start {
        guard let value = try? JSONFile.value(at: start..<end, of: file), let line = MetricsLine(value) else {
          throw CheckpointError.malformedJSON(
            path: path, reason: "line \(number) is not one of a training's metrics")
        }
        lines.append(line)
      }
      (start, number) = (end + 1, number + 1)
    }
    withExtendedLifetime(file) {}
    self.lines = lines
  }
}

extension MetricsLine {
  /// A line that was read; nil where it is none. Values that are no numbers are NaN.
  init?(_ value: JSONValue) {
    guard let members = value.object, let kind = members["kind"]?.string.flatMap(Kind.init),
      let step = members["step"]?.int, let epoch = members["epoch"]?.int, step >= 0, epoch >= 0
    else { return nil }
    let known: Set = ["kind", "step", "epoch"]
    self.init(
      kind, step: step, epoch: epoch,
      values: members.filter { !known.contains($0.key) }.sorted { $0.key < $1.key }
        .map { ($0.key, $0.value.double ?? .nan) })
  }

  public subscript(name: String) -> Double? { values.first { $0.name == name }?.value }
}
