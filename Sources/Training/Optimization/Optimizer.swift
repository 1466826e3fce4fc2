import Kernels

/// How the weights follow the gradients.
public struct OptimizerSettings: Codable, Sendable, Equatable {
  public enum Kind: String, NamedChoice, Sendable {
    /// Adam with decoupled weight decay (arXiv 1711.05101).
    case adamW = "adamw"
    /// Stochastic gradient descent with momentum.
    case sgd
    /// Muon for the matrices of the blocks, AdamW for all else.
    case muon
  }

  public var kind = Kind.adamW
  /// After the warm-up.
  public var learningRate = 1e-3
  /// Of weights alone: biases, norms, scales, positions and tokens do not decay.
  public var weightDecay = 0.05
  /// AdamW's, and of what Muon leaves to it.
  public var beta1 = 0.9
  public var beta2 = 0.999
  public var epsilon = 1e-8
  /// SGD's and Muon's.
  public var momentum = 0.9
  public var nesterov = false
  /// The largest norm of all gradients together; nil for no clipping.
  public var clipNorm: Double?
  /// What the learning rate of each layer is multiplied with, from the head down (timm's `layer_decay`).
  public var layerDecay = 1.0
  /// Decay of the weights' moving average; nil for none.
  public var averageDecay: Double?

  public init() {}

  /// The optimiser's state for each value. Of Muon's matrices the second moments stay 0.
  public var moments: ParameterStore.Moments { kind == .sgd ? .one : .two }
}

/// One step of an optimiser over a store's parameters.
public struct Optimizer: Sendable {
  public let settings: OptimizerSettings
  private let pool: ThreadPool
  /// Muon's scratch memory.
  private let arenas: Arenas
  /// Whether the heads alone are trained.
  private let headOnly: Bool

  public init(_ settings: OptimizerSettings, threads: Int, headOnly: Bool = false) {
    self.settings = settings
    pool = ThreadPool(threadCount: threads)
    arenas = Arenas(threads: threads)
    self.headOnly = headOnly
  }

  /// Values that one thread works on at a time.
  private static let piece = 1 << 15

  private struct Piece {
    let parameter: Parameter
    let elements: Range<Int>
  }

  /// Whether Muon moves it: the matrices of the blocks.
  private func movesByMuon(_ parameter: Parameter) -> Bool {
    settings.kind == .muon && parameter.role == .weight && !parameter.isHead
  }

  private func trained(_ store: ParameterStore) -> [Parameter] {
    store.layout.parameters.filter { !headOnly || $0.isHead }
  }

  private func pieces(_ store: ParameterStore) -> [Piece] {
    trained(store).flatMap { parameter in
      stride(from: 0, to: parameter.count, by: Self.piece).map {
        Piece(parameter: parameter, elements: $0..<min(parameter.count, $0 + Self.piece))
      }
    }
  }

  /// Moves the weights, and their moving average.
  /// - Parameters:
  ///   - step: from 0 on.
  ///   - rate: the learning rate of this step.
  /// - Returns: the norm of all gradients, before clipping.
  @discardableResult
  public func step(_ store: ParameterStore, step: Int, rate: Double) -> Double {
    let pieces = pieces(store)
    let norm = gradientNorm(store, pieces)
    // As torch's clip_grad_norm_.
    let scale = settings.clipNorm.map { Float(min(1, $0 / (norm + 1e-6))) } ?? 1
    let access = Access(
      values: store.values(.values), gradients: store.values(.gradients), first: store.values(.firstMoments),
      second: store.moments == .two ? store.values(.secondMoments) : nil)
    let layers = store.layout.lastLayer
    @Sendable func layerRate(_ parameter: Parameter) -> Double {
      rate * power(settings.layerDecay, layers - parameter.layer)
    }
    let matrices = trained(store).filter(movesByMuon)
    pool.forEachLane(matrices.count) { index, lane in
      let slot = matrices[index].slot
      Muon(
        learningRate: layerRate(matrices[index]), weightDecay: settings.weightDecay,
        momentum: settings.momentum, nesterov: settings.nesterov, gradientScale: scale
      ).step(
        access.values.mutable(slot), gradient: access.gradients[slot], mean: access.first.mutable(slot),
        arena: arenas[lane])
    }
    let others = pieces.filter { !movesByMuon($0.parameter) }
    pool.forEach(others.count) { index in
      let (parameter, elements) = (others[index].parameter, others[index].elements)
      let decay = parameter.decays ? settings.weightDecay : 0
      let layerRate = layerRate(parameter)
      let place = parameter.slot.offset + elements.lowerBound
      if let second = access.second {
        ParameterBuffers.AdamW(
          learningRate: layerRate, weightDecay: decay, beta1: settings.beta1, beta2: settings.beta2,
          epsilon: settings.epsilon, step: step + 1, gradientScale: scale
        ).step(
          access.values.base + place, gradient: access.gradients.base + place, access.first.base + place,
          second.base + place, count: elements.count)
      } else {
        ParameterBuffers.SGD(
          learningRate: layerRate, weightDecay: decay, momentum: settings.momentum,
          nesterov: settings.nesterov, gradientScale: scale
        ).step(
          access.values.base + place, gradient: access.gradients.base + place, access.first.base + place,
          count: elements.count)
      }
    }
    if let decay = settings.averageDecay, store.averages {
      let averages = store.values(.averages)
      pool.forEach(pieces.count) { index in
        let (place, count) = (
          pieces[index].parameter.slot.offset + pieces[index].elements.lowerBound,
          pieces[index].elements.count
        )
        ParameterBuffers.moveAverage(
          UnsafeMutableBufferPointer(start: averages.base + place, count: count),
          towards: UnsafeBufferPointer(start: access.values.base + place, count: count),
          share: Float(1 - decay))
      }
    }
    return norm
  }

  private struct Access: Sendable {
    let values: ParameterValues
    let gradients: ParameterValues
    let first: ParameterValues
    let second: ParameterValues?
  }

  /// The norm of all gradients: sums of pieces, added in their order.
  private func gradientNorm(_ store: ParameterStore, _ pieces: [Piece]) -> Double {
    let gradients = store.values(.gradients)
    let sums = Sums(pieces.count)
    pool.forEach(pieces.count) { index in
      let piece = pieces[index]
      sums.values[index] = ParameterBuffers.sumOfSquares(
        UnsafeBufferPointer(
          start: gradients.base + piece.parameter.slot.offset + piece.elements.lowerBound,
          count: piece.elements.count))
    }
    return sums.values.reduce(0, +).squareRoot()
  }
}

/// A sum for each piece; each thread writes its own.
private final class Sums: @unchecked Sendable {
  let values: UnsafeMutableBufferPointer<Double>

  init(_ count: Int) {
    values = .allocate(capacity: count)
    values.initialize(repeating: 0)
  }

  deinit { values.deallocate() }
}

private func power(_ base: Double, _ exponent: Int) -> Double {
  (0..<max(0, exponent)).reduce(1) { result, _ in result * base }
}
