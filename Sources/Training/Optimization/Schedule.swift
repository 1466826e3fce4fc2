#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The learning rate's course, step by step: a linear warm-up, then one of four ways down.
public struct Schedule: Codable, Sendable, Equatable {
  public enum Kind: String, NamedChoice, Sendable {
    /// The same rate all along.
    case constant
    /// In a straight line to the final rate.
    case linear
    /// Half a cosine to the final rate (arXiv 1608.03983, equation 5, without restarts).
    case cosine
    /// Times a factor every so many epochs.
    case step
  }

  public var kind = Kind.cosine
  /// Epochs of the warm-up, which may be fractions; the rate rises from `warmUpStart` in a straight line.
  public var warmUpEpochs = 0.0
  /// The rate of the warm-up's first step.
  public var warmUpStart = 0.0
  /// The rate at the end of a linear or cosine schedule.
  public var finalRate = 0.0
  /// Of a step schedule: epochs between two changes, and the factor.
  public var decayEpochs = 30.0
  public var decayFactor = 0.1

  public init() {}

  /// - Parameters:
  ///   - step: of the optimiser, from 0 on.
  ///   - stepsPerEpoch: of the optimiser.
  ///   - totalSteps: of the whole training.
  ///   - peak: the learning rate after the warm-up.
  public func rate(step: Int, stepsPerEpoch: Int, totalSteps: Int, peak: Double) -> Double {
    let warmUp = (warmUpEpochs * Double(stepsPerEpoch)).rounded()
    let now = Double(step)
    if now < warmUp { return warmUpStart + (peak - warmUpStart) * now / warmUp }
    let length = max(1, Double(totalSteps) - warmUp)
    let progress = min(1, (now - warmUp) / length)
    switch kind {
    case .constant:
      return peak
    case .linear:
      return peak + (finalRate - peak) * progress
    case .cosine:
      return finalRate + (peak - finalRate) * (1 + cos(Double.pi * progress)) / 2
    case .step:
      let changes = ((now - warmUp) / (decayEpochs * Double(stepsPerEpoch))).rounded(.down)
      return peak * pow(decayFactor, changes)
    }
  }
}
