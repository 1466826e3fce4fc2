import Checkpoints
import SystemPackage

/// Why a training cannot begin or go on.
public enum TrainingError: Error, Equatable {
  /// The architecture has a part without a backward pass.
  case notTrainable(part: String)
  /// A key of the configuration is unknown, has a value that is not possible, or contradicts another.
  case configuration(key: String, reason: String)
  /// The loss is NaN or infinite.
  case diverged(step: Int, loss: Double, checkpoint: FilePath?)
  /// The run's folder cannot be used.
  case run(path: FilePath, reason: String)
  /// The data set cannot be trained on.
  case data(reason: String)
}

extension TrainingError: CustomStringConvertible {
  public var description: String { presentable(sentence) }

  private var sentence: String {
    switch self {
    case .notTrainable(let part):
      "this model cannot be trained: \(part) has no backward pass"
    case .configuration(let key, let reason):
      "configuration: \"\(key)\": \(reason)"
    case .diverged(let step, let loss, let checkpoint):
      "the loss of step \(step) is \(loss): the training diverged; "
        + (checkpoint.map { "the last good checkpoint is \($0); " } ?? "")
        + "try a smaller learning rate, a longer warm-up or clipping"
    case .run(let path, let reason):
      "\(path): \(reason)"
    case .data(let reason):
      reason
    }
  }
}
