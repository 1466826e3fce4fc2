#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The weights at the start, as timm's `VisionTransformer` draws them (`init_weights`, `weight_init=''`).
public enum Initialization {
  /// The stream of `CounterRandom` that weights come from.
  static let stream: UInt64 = 0x69_6E_69_74

  /// - Parameters:
  ///   - layerScale: the layer scales' value.
  ///   - only: which parameters are drawn; a parameter's numbers do not depend on the others.
  public static func initialize(
    _ store: ParameterStore, seed: UInt64, layerScale: Float?, only: (Parameter) -> Bool = { _ in true }
  ) {
    for (index, parameter) in store.layout.parameters.enumerated() where only(parameter) {
      var normal = NormalNumbers(CounterRandom(seed: seed, stream: stream, position: UInt64(index)))
      store.withTensor(parameter) { values in
        switch parameter.role {
        case .weight, .positions:
          // timm cuts this distribution at -2 and 2, which is a hundred deviations away.
          for index in values.indices { values[index] = 0.02 * normal.next() }
        case .classToken, .otherToken:
          for index in values.indices { values[index] = 1e-6 * normal.next() }
        case .patchWeight, .patchBias:
          // A convolution of torch: uniform up to 1 / sqrt(inputs).
          let inputs = store.layout.architecture.configuration.patchDim
          let bound = 1 / Float(inputs).squareRoot()
          for index in values.indices { values[index] = normal.random.uniform(in: -bound...bound) }
        case .bias, .normShift:
          values.update(repeating: 0)
        case .normScale:
          values.update(repeating: 1)
        case .layerScale:
          values.update(repeating: layerScale ?? 1e-5)
        }
      }
    }
  }
}

/// Normally distributed numbers, by Box and Muller's method (1958).
struct NormalNumbers {
  var random: CounterRandom
  private var spare: Float?

  init(_ random: CounterRandom) {
    self.random = random
  }

  mutating func next() -> Float {
    if let value = spare {
      spare = nil
      return value
    }
    let radius = (-2 * log(1 - Double(random.uniform()))).squareRoot()
    let angle = 2 * Double.pi * Double(random.uniform())
    spare = Float(radius * sin(angle))
    return Float(radius * cos(angle))
  }
}
