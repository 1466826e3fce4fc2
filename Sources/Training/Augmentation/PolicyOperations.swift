import Images

/// The operations that the policies choose from, in torchvision's order.
package enum PolicyOperation: String, CaseIterable, Sendable {
  case identity = "Identity"
  case shearX = "ShearX"
  case shearY = "ShearY"
  case translateX = "TranslateX"
  case translateY = "TranslateY"
  case rotate = "Rotate"
  case brightness = "Brightness"
  case color = "Color"
  case contrast = "Contrast"
  case sharpness = "Sharpness"
  case posterize = "Posterize"
  case solarize = "Solarize"
  case autoContrast = "AutoContrast"
  case equalize = "Equalize"
  case invert = "Invert"

  /// What RandAugment and TrivialAugment draw from.
  static let drawn = allCases.filter { $0 != .invert }

  /// Whether chance decides the sign of the magnitude.
  package var isSigned: Bool {
    switch self {
    case .shearX, .shearY, .translateX, .translateY, .rotate, .brightness, .color, .contrast, .sharpness: true
    default: false
    }
  }

  /// The operation at a magnitude of `MagnitudeTable`, nil for one that has none.
  package func settled(_ magnitude: Float?, isNegative: Bool) -> PixelOperation {
    let value = Double(magnitude ?? 0) * (isNegative && isSigned ? -1 : 1)
    return switch self {
    case .identity: .identity
    case .shearX: .shearX(value)
    case .shearY: .shearY(value)
    case .translateX: .translateX(value)
    case .translateY: .translateY(value)
    case .rotate: .rotate(value)
    case .brightness: .brightness(value)
    case .color: .color(value)
    case .contrast: .contrast(value)
    case .sharpness: .sharpness(value)
    case .posterize: .posterize(Int(value))
    case .solarize: .solarize(value)
    case .autoContrast: .autoContrast
    case .equalize: .equalize
    case .invert: .invert
    }
  }
}

/// The magnitudes between which the policies choose, in single precision as torchvision has them.
package enum MagnitudeTable: Sendable {
  /// AutoAugment's and RandAugment's, which move by a share of the image's size.
  case usual(ImageSize)
  /// TrivialAugment's.
  case wide

  /// The magnitudes of an operation, weakest first; nil where it has none.
  /// - Parameter bins: 2 or more.
  package func magnitudes(of operation: PolicyOperation, bins: Int) -> [Float]? {
    func linear(_ usual: Double, wide: Double) -> [Float] {
      if case .wide = self { Self.linear(0, wide, bins) } else { Self.linear(0, usual, bins) }
    }
    switch operation {
    case .identity, .autoContrast, .equalize, .invert: return nil
    case .shearX, .shearY: return linear(0.3, wide: 0.99)
    case .translateX: return linear(150 / 331 * Double(size.width), wide: 32)
    case .translateY: return linear(150 / 331 * Double(size.height), wide: 32)
    case .rotate: return linear(30, wide: 135)
    case .brightness, .color, .contrast, .sharpness: return linear(0.9, wide: 0.99)
    case .posterize:
      let lost = if case .wide = self { 6.0 } else { 4.0 }
      let step = Float(Double(bins - 1) / lost)
      return (0..<bins).map { 8 - (Float($0) / step).rounded(.toNearestOrEven) }
    case .solarize: return Self.linear(255, 0, bins)
    }
  }

  private var size: ImageSize {
    if case .usual(let size) = self { size } else { ImageSize(0) }
  }

  /// `torch.linspace`: the second half is counted from the end; product and sum are rounded once.
  private static func linear(_ first: Double, _ last: Double, _ count: Int) -> [Float] {
    let (first, last) = (Float(first), Float(last))
    let step = (last - first) / Float(count - 1)
    return (0..<count).map { index in
      index < count / 2
        ? first.addingProduct(step, Float(index)) : last.addingProduct(-step, Float(count - index - 1))
    }
  }
}
