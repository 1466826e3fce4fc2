/// Where a training's samples come from, ready for the network.
public protocol SampleSource: Sendable {
  /// Number of samples.
  var count: Int { get }
  var numClasses: Int { get }
  /// Whether samples turned out to be unreadable so far.
  var hasLeftOut: Bool { get }
  /// Tells whether a run goes on with the same samples: the number of them, their labels and the classes' names.
  var fingerprint: String { get }
  /// Loads a sample, augmented where samples are. The same place gives the same pixels, on any thread.
  /// - Parameters:
  ///   - index: of the sample.
  ///   - epoch: from 0 on.
  ///   - pixels: receives float32 [channels, height, width].
  /// - Returns: the label; nil where the sample is left out, because it cannot be read.
  func load(_ index: Int, epoch: Int, into pixels: UnsafeMutableBufferPointer<Float>) throws -> Int?
  /// Turns labels into targets [B, C] and mixes samples where they are mixed.
  /// - Parameters:
  ///   - pixels: float32 [B, channels, height, width]; changed in place.
  ///   - step: the batch's number, from 0 on, over all epochs.
  func targets(_ labels: [Int], pixels: UnsafeMutableBufferPointer<Float>, step: Int) -> [Float]
}

extension SampleSource {
  public var hasLeftOut: Bool { false }

  /// Targets without mixing: 1 - smoothing for the label, and the smoothing spread over all classes.
  public func plainTargets(_ labels: [Int], smoothing: Float) -> [Float] {
    let rest = smoothing / Float(numClasses)
    var targets = [Float](repeating: rest, count: labels.count * numClasses)
    for (sample, label) in labels.enumerated() { targets[sample * numClasses + label] = 1 - smoothing + rest }
    return targets
  }
}

/// The order of an epoch's samples: a permutation that depends on the seed and the epoch alone.
struct EpochOrder {
  /// The stream of `CounterRandom` that orders come from.
  private static let stream: UInt64 = 0x6F_7264_6572

  static func permutation(count: Int, seed: UInt64, epoch: Int) -> [Int] {
    var random = CounterRandom(seed: seed, stream: stream, position: UInt64(epoch))
    return random.shuffled(Array(0..<count))
  }
}
