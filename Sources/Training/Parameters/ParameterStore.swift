import Kernels

/// The weights of a training and all that belongs to them: gradients, the optimiser's moments, the moving average. Flat buffers, in
/// which `ParameterLayout` knows the tensors' places.
///
/// Not for use from two threads at once, but for reading.
public final class ParameterStore {
  public let layout: ParameterLayout
  private let valueBuffer: FloatBuffer
  private let gradientBuffer: FloatBuffer
  private let firstMoments: FloatBuffer
  private let secondMoments: FloatBuffer
  private let averageBuffer: FloatBuffer
  /// Whether a moving average of the weights is kept.
  public let averages: Bool

  /// The optimiser's state for each value.
  public enum Moments: Int, Sendable {
    /// SGD's velocity.
    case one = 1
    /// AdamW's means of gradients and of their squares.
    case two = 2
  }
  public let moments: Moments

  /// All zero.
  public init(_ layout: ParameterLayout, moments: Moments, averages: Bool) {
    self.layout = layout
    self.moments = moments
    self.averages = averages
    let count = layout.bufferCount
    valueBuffer = FloatBuffer(count: count)
    gradientBuffer = FloatBuffer(count: count)
    firstMoments = FloatBuffer(count: count)
    secondMoments = FloatBuffer(count: moments == .two ? count : 0)
    averageBuffer = FloatBuffer(count: averages ? count : 0)
  }

  /// The buffers of a training.
  public enum Kind: String, Sendable, CaseIterable {
    case values
    case gradients
    case firstMoments = "first_moments"
    case secondMoments = "second_moments"
    case averages
  }

  /// The buffers that are there and belong to the state of a training: all but the gradients.
  var stateKinds: [Kind] {
    [.values, .firstMoments] + (moments == .two ? [.secondMoments] : []) + (averages ? [.averages] : [])
  }

  func values(_ kind: Kind) -> ParameterValues {
    switch kind {
    case .values: ParameterValues(base: valueBuffer.base)
    case .gradients: ParameterValues(base: gradientBuffer.base)
    case .firstMoments: ParameterValues(base: firstMoments.base)
    case .secondMoments: ParameterValues(base: secondMoments.base)
    case .averages: ParameterValues(base: averageBuffer.base)
    }
  }

  /// One tensor of a buffer.
  public func withTensor<R>(
    _ parameter: Parameter, _ kind: Kind = .values, _ body: (UnsafeMutableBufferPointer<Float>) throws -> R
  ) rethrows -> R {
    precondition(
      kind != .averages || averages, "no moving average is kept")
    precondition(kind != .secondMoments || moments == .two, "the optimiser has no second moments")
    return try body(
      UnsafeMutableBufferPointer(start: values(kind).pointer(parameter.slot), count: parameter.count))
  }

  /// The values of a tensor.
  public func tensor(_ parameter: Parameter, _ kind: Kind = .values) -> [Float] {
    withTensor(parameter, kind) { Array($0) }
  }

  /// Begins the moving average at the weights as they are.
  public func resetAverages() {
    guard averages else { return }
    averageBuffer.base.update(from: valueBuffer.base, count: layout.bufferCount)
  }

  /// The weights that a model of this training is made of: the moving average where one is kept.
  public var resultKind: Kind { averages ? .averages : .values }
}
