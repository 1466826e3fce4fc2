import Kernels

/// How a training goes, beside model and data.
public struct TrainerSettings: Sendable, Equatable {
  public var epochs = 100
  /// Samples that go through the network together.
  public var batchSize = 64
  /// Batches whose gradients make one step of the optimiser.
  public var accumulation = 1
  public var seed: UInt64 = 0
  public var optimizer = OptimizerSettings()
  public var schedule = Schedule()
  public var dropout = DropoutRates()
  /// Steps between two lines of metrics; 0 for lines of epochs alone.
  public var logEvery = 50
  /// Epochs between two evaluations; the last epoch is always evaluated.
  public var evaluateEvery = 1
  /// Seconds between two states in the middle of an epoch.
  public var stateSeconds = 300.0
  /// Whether activations are computed again in the backward pass.
  public var recomputes = false
  /// Whether the heads alone are trained.
  public var headOnly = false
  public var threads = 1
  /// Of the matrix products.
  public var precision = Precision.fp32
  public var writesTensorBoard = false

  public init() {}
}
