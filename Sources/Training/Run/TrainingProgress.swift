/// Where a training is: everything beside the weights that decides how it goes on.
public struct TrainingProgress: Codable, Sendable, Equatable {
  /// Steps of the optimiser that are done.
  public var step = 0
  /// Epochs that are done, their evaluation included.
  public var epoch = 0
  /// Steps that are done of the current epoch.
  public var stepInEpoch = 0
  /// Sums of the current epoch's batches.
  public var loss = 0.0
  public var samples = 0
  public var top1 = 0
  public var top5 = 0
  /// The best share of validation images so far whose label came first; nil before the first evaluation.
  public var bestTop1: Double?
  public var bestEpoch: Int?
  /// Bytes of `metrics.jsonl` that belong to these steps.
  public var metricsBytes = 0
  /// Seconds of training so far.
  public var seconds = 0.0

  /// Whether images were left out since they could not be read; nil where they were not.
  public var hasLeftOut: Bool?

  public init() {}

  enum CodingKeys: String, CodingKey {
    case step, epoch, loss, samples, top1, top5, seconds
    case stepInEpoch = "step_in_epoch"
    case bestTop1 = "best_top1"
    case bestEpoch = "best_epoch"
    case metricsBytes = "metrics_bytes"
    case hasLeftOut = "has_left_out"
  }

  var totals: Totals {
    get {
      var totals = Totals()
      (totals.loss, totals.samples, totals.top1, totals.top5) = (loss, samples, top1, top5)
      return totals
    }
    set { (loss, samples, top1, top5) = (newValue.loss, newValue.samples, newValue.top1, newValue.top5) }
  }
}
