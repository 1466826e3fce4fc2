/// The kinds of operation that a forward pass is made of.
public enum NetworkOperation: String, CaseIterable, Sendable {
  /// Pixels to patch tokens, in a hybrid through its ResNet; positions and prefix tokens.
  case patchEmbedding = "patch embedding"
  /// All normalisations, with the conversion of their results to the numbers that the next product reads.
  case norm
  /// Conversion of other inputs of products.
  case conversion
  case qkv
  /// Scores, softmax and the product with the values.
  case attention
  /// The projection behind the attention, with the residual.
  case projection
  /// The MLP's first layer, with the activation where the two are one.
  case fc1
  /// The activation of a gated MLP.
  case activation
  /// The MLP's second layer, with the residual.
  case fc2
  /// Pool, head and projection into another space.
  case head
  /// What is left.
  case other
}

/// Measures how much of a session's time each kind of operation takes. For one thread at a time, as the session is.
public final class OperationClock {
  /// Time by operation, that of operations inside it not counted.
  public private(set) var durations: [NetworkOperation: Duration] = [:]
  private var current: NetworkOperation?
  private var since = ContinuousClock.now

  public init() {}

  /// Forgets what was measured.
  public func reset() { durations.removeAll(keepingCapacity: true) }

  func time<R>(_ operation: NetworkOperation, _ body: () throws -> R) rethrows -> R {
    let outer = current
    go(to: operation)
    defer { go(to: outer) }
    return try body()
  }

  private func go(to next: NetworkOperation?) {
    let now = ContinuousClock.now
    if let current { durations[current, default: .zero] += now - since }
    (current, since) = (next, now)
  }
}

extension InferenceSession {
  /// Runs a part of the forward pass, on the clock where the session has one.
  @inline(__always)
  func timed<R>(_ operation: NetworkOperation, _ body: () throws -> R) rethrows -> R {
    guard let clock else { return try body() }
    return try clock.time(operation, body)
  }
}
