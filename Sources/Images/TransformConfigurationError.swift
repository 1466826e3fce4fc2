/// A value of a preprocessing configuration that cannot be used.
public struct TransformConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The field's name as its file spells it.
  public let field: String
  /// The value, as text; nil where it is missing or of another type.
  public let value: String?
  /// What the field has to be: completes the sentence "must be …".
  public let requirement: String

  public init(field: String, value: String?, requirement: String) {
    self.field = field
    self.value = value
    self.requirement = requirement
  }

  public var description: String {
    "preprocessing: \(field) must be \(requirement)" + (value.map { ", not \($0)" } ?? "")
  }
}

/// The checks that all configurations share.
enum TransformCheck {
  /// Edges of a network's input.
  static let edges = 1...16_384
  /// Edges to which images are resized.
  static let resizedEdges = 1...65_536

  static func size(
    _ size: ImageSize, field: String, within range: ClosedRange<Int> = edges
  ) throws(TransformConfigurationError) {
    guard range.contains(size.height), range.contains(size.width) else {
      throw TransformConfigurationError(
        field: field, value: "\(size)",
        requirement: "between \(range.lowerBound) and \(range.upperBound.grouped) pixels a side")
    }
  }

  static func edge(_ edge: Int, field: String) throws(TransformConfigurationError) {
    guard resizedEdges.contains(edge) else {
      throw TransformConfigurationError(
        field: field, value: "\(edge)",
        requirement: "between \(resizedEdges.lowerBound) and \(resizedEdges.upperBound.grouped) pixels")
    }
  }

  static func mean(_ values: [Double], field: String) throws(TransformConfigurationError) {
    guard values.count == 3, values.allSatisfy({ Float($0).isFinite }) else {
      throw TransformConfigurationError(
        field: field, value: "\(values)", requirement: "three finite numbers")
    }
  }

  static func std(_ values: [Double], field: String) throws(TransformConfigurationError) {
    guard values.count == 3, values.allSatisfy({ Float($0).isNormal && $0 > 0 }) else {
      throw TransformConfigurationError(
        field: field, value: "\(values)", requirement: "three finite numbers above zero")
    }
  }

  static func oneOf<Choice: RawRepresentable & CaseIterable>(
    _ name: String, field: String
  ) throws(TransformConfigurationError) -> Choice where Choice.RawValue == String {
    guard let choice = Choice(rawValue: name) else {
      let names = Choice.allCases.map(\.rawValue).joined(separator: ", ")
      throw TransformConfigurationError(
        field: field, value: "\"\(name.prefix(60))\"", requirement: "one of \(names)")
    }
    return choice
  }
}
