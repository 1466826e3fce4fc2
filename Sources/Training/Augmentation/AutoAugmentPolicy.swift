/// The policies that were searched for, each of 25 sub-policies of two operations.
public enum AutoAugmentPolicy: String, CaseIterable, Codable, Sendable {
  case imagenet, cifar10, svhn

  /// An operation of a sub-policy.
  package struct Choice: Sendable, Equatable {
    package let operation: PolicyOperation
    package let probability: Double
    /// Which of ten magnitudes; nil for an operation that has none.
    package let magnitude: Int?

    fileprivate init(_ operation: PolicyOperation, _ probability: Double, _ magnitude: Int? = nil) {
      (self.operation, self.probability, self.magnitude) = (operation, probability, magnitude)
    }
  }

  /// Source: the paper's appendix, as torchvision has it.
  package var subPolicies: [[Choice]] {
    switch self {
    case .imagenet: Self.imagenetPolicies
    case .cifar10: Self.cifar10Policies
    case .svhn: Self.svhnPolicies
    }
  }

  private static let imagenetPolicies: [[Choice]] = [
    [.init(.posterize, 0.4, 8), .init(.rotate, 0.6, 9)],
    [.init(.solarize, 0.6, 5), .init(.autoContrast, 0.6)],
    [.init(.equalize, 0.8), .init(.equalize, 0.6)],
    [.init(.posterize, 0.6, 7), .init(.posterize, 0.6, 6)],
    [.init(.equalize, 0.4), .init(.solarize, 0.2, 4)],
    [.init(.equalize, 0.4), .init(.rotate, 0.8, 8)],
    [.init(.solarize, 0.6, 3), .init(.equalize, 0.6)],
    [.init(.posterize, 0.8, 5), .init(.equalize, 1.0)],
    [.init(.rotate, 0.2, 3), .init(.solarize, 0.6, 8)],
    [.init(.equalize, 0.6), .init(.posterize, 0.4, 6)],
    [.init(.rotate, 0.8, 8), .init(.color, 0.4, 0)],
    [.init(.rotate, 0.4, 9), .init(.equalize, 0.6)],
    [.init(.equalize, 0.0), .init(.equalize, 0.8)],
    [.init(.invert, 0.6), .init(.equalize, 1.0)],
    [.init(.color, 0.6, 4), .init(.contrast, 1.0, 8)],
    [.init(.rotate, 0.8, 8), .init(.color, 1.0, 2)],
    [.init(.color, 0.8, 8), .init(.solarize, 0.8, 7)],
    [.init(.sharpness, 0.4, 7), .init(.invert, 0.6)],
    [.init(.shearX, 0.6, 5), .init(.equalize, 1.0)],
    [.init(.color, 0.4, 0), .init(.equalize, 0.6)],
    [.init(.equalize, 0.4), .init(.solarize, 0.2, 4)],
    [.init(.solarize, 0.6, 5), .init(.autoContrast, 0.6)],
    [.init(.invert, 0.6), .init(.equalize, 1.0)],
    [.init(.color, 0.6, 4), .init(.contrast, 1.0, 8)],
    [.init(.equalize, 0.8), .init(.equalize, 0.6)],
  ]

  private static let cifar10Policies: [[Choice]] = [
    [.init(.invert, 0.1), .init(.contrast, 0.2, 6)],
    [.init(.rotate, 0.7, 2), .init(.translateX, 0.3, 9)],
    [.init(.sharpness, 0.8, 1), .init(.sharpness, 0.9, 3)],
    [.init(.shearY, 0.5, 8), .init(.translateY, 0.7, 9)],
    [.init(.autoContrast, 0.5), .init(.equalize, 0.9)],
    [.init(.shearY, 0.2, 7), .init(.posterize, 0.3, 7)],
    [.init(.color, 0.4, 3), .init(.brightness, 0.6, 7)],
    [.init(.sharpness, 0.3, 9), .init(.brightness, 0.7, 9)],
    [.init(.equalize, 0.6), .init(.equalize, 0.5)],
    [.init(.contrast, 0.6, 7), .init(.sharpness, 0.6, 5)],
    [.init(.color, 0.7, 7), .init(.translateX, 0.5, 8)],
    [.init(.equalize, 0.3), .init(.autoContrast, 0.4)],
    [.init(.translateY, 0.4, 3), .init(.sharpness, 0.2, 6)],
    [.init(.brightness, 0.9, 6), .init(.color, 0.2, 8)],
    [.init(.solarize, 0.5, 2), .init(.invert, 0.0)],
    [.init(.equalize, 0.2), .init(.autoContrast, 0.6)],
    [.init(.equalize, 0.2), .init(.equalize, 0.6)],
    [.init(.color, 0.9, 9), .init(.equalize, 0.6)],
    [.init(.autoContrast, 0.8), .init(.solarize, 0.2, 8)],
    [.init(.brightness, 0.1, 3), .init(.color, 0.7, 0)],
    [.init(.solarize, 0.4, 5), .init(.autoContrast, 0.9)],
    [.init(.translateY, 0.9, 9), .init(.translateY, 0.7, 9)],
    [.init(.autoContrast, 0.9), .init(.solarize, 0.8, 3)],
    [.init(.equalize, 0.8), .init(.invert, 0.1)],
    [.init(.translateY, 0.7, 9), .init(.autoContrast, 0.9)],
  ]

  private static let svhnPolicies: [[Choice]] = [
    [.init(.shearX, 0.9, 4), .init(.invert, 0.2)],
    [.init(.shearY, 0.9, 8), .init(.invert, 0.7)],
    [.init(.equalize, 0.6), .init(.solarize, 0.6, 6)],
    [.init(.invert, 0.9), .init(.equalize, 0.6)],
    [.init(.equalize, 0.6), .init(.rotate, 0.9, 3)],
    [.init(.shearX, 0.9, 4), .init(.autoContrast, 0.8)],
    [.init(.shearY, 0.9, 8), .init(.invert, 0.4)],
    [.init(.shearY, 0.9, 5), .init(.solarize, 0.2, 6)],
    [.init(.invert, 0.9), .init(.autoContrast, 0.8)],
    [.init(.equalize, 0.6), .init(.rotate, 0.9, 3)],
    [.init(.shearX, 0.9, 4), .init(.solarize, 0.3, 3)],
    [.init(.shearY, 0.8, 8), .init(.invert, 0.7)],
    [.init(.equalize, 0.9), .init(.translateY, 0.6, 6)],
    [.init(.invert, 0.9), .init(.equalize, 0.6)],
    [.init(.contrast, 0.3, 3), .init(.rotate, 0.8, 4)],
    [.init(.invert, 0.8), .init(.translateY, 0.0, 2)],
    [.init(.shearY, 0.7, 6), .init(.solarize, 0.4, 8)],
    [.init(.invert, 0.6), .init(.rotate, 0.8, 4)],
    [.init(.shearY, 0.3, 7), .init(.translateX, 0.9, 3)],
    [.init(.shearX, 0.1, 6), .init(.invert, 0.6)],
    [.init(.solarize, 0.7, 2), .init(.translateY, 0.6, 7)],
    [.init(.shearY, 0.8, 4), .init(.invert, 0.8)],
    [.init(.shearX, 0.7, 9), .init(.translateY, 0.8, 3)],
    [.init(.shearY, 0.8, 5), .init(.autoContrast, 0.7)],
    [.init(.shearX, 0.7, 2), .init(.invert, 0.1)],
  ]
}
