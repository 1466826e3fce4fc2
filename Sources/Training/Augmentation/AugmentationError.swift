import Checkpoints

/// A value of an augmentation's configuration that cannot be used, or an image that cannot be augmented so.
public struct AugmentationError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The field as the configuration spells it, such as "random_resized_crop.scale".
  public let field: String
  /// The value, as text; nil where there is none to show.
  public let value: String?
  /// What the field has to be: completes the sentence "must be ...".
  public let requirement: String

  public init(_ field: String, _ value: (some Any)?, _ requirement: String) {
    self.field = field
    self.value = value.map { "\($0)" }
    self.requirement = requirement
  }

  public var description: String { presentable(sentence) }

  private var sentence: String {
    "augmentation: \(field) must be \(requirement)" + (value.map { ", not \($0)" } ?? "")
  }
}

/// An object of a configuration. A key that nobody reads is a mistake, and refused by its name.
struct StrictObject<Key: CodingKey & CaseIterable & RawRepresentable<String>> {
  private let container: KeyedDecodingContainer<Key>
  private let owner: String

  /// - Parameter owner: what the object is called in messages.
  init(_ decoder: any Decoder, _ owner: String) throws {
    self.owner = owner
    do {
      let keys = try decoder.container(keyedBy: AnyKey.self).allKeys.map(\.stringValue)
      let known = Key.allCases.map(\.rawValue)
      for key in keys.sorted() where !known.contains(key) {
        throw AugmentationError(
          owner, "\"\(key)\"",
          known.isEmpty ? "without keys" : "made of the keys \(known.joined(separator: ", "))")
      }
      container = try decoder.container(keyedBy: Key.self)
    } catch is DecodingError {
      throw AugmentationError(owner, String?.none, "an object")
    }
  }

  /// The value under a key; nil where there is none.
  func value<Value: Decodable>(_ key: Key, _ requirement: String) throws -> Value? {
    do {
      return try container.decodeIfPresent(Value.self, forKey: key)
    } catch let error as AugmentationError {
      throw error
    } catch {
      // Whatever a decoder throws: a number with a fraction, say, has an error of its own.
      throw AugmentationError("\(owner).\(key.rawValue)", String?.none, requirement)
    }
  }
}

/// A key of any name.
struct AnyKey: CodingKey {
  let stringValue: String
  var intValue: Int? { nil }

  init(stringValue: String) { self.stringValue = stringValue }
  init?(intValue: Int) { nil }
}

/// The least and the greatest of what may be drawn, `[LOWER, UPPER]` in a configuration; or one number that stands for both by a rule of
/// its owner.
struct IntervalValue: Decodable {
  let values: [Double]

  init(from decoder: any Decoder) throws {
    if let number = try? decoder.singleValueContainer().decode(Double.self) {
      values = [number]
    } else {
      values = try decoder.singleValueContainer().decode([Double].self)
    }
  }

  /// - Parameter single: what one number means; nil where two are needed.
  func interval(
    _ field: String, within bounds: ClosedRange<Double>, single: ((Double) -> ClosedRange<Double>)? = nil
  ) throws(AugmentationError) -> ClosedRange<Double> {
    let two = "two numbers from \(bounds.lowerBound) to \(bounds.upperBound), the smaller first"
    let requirement = single == nil ? two : "\(two), or one number not below 0"
    if values.count == 1, let single {
      guard values[0] >= 0, values[0].isFinite else { throw AugmentationError(field, values[0], requirement) }
      let interval = single(values[0])
      guard bounds.contains(interval.lowerBound), bounds.contains(interval.upperBound) else {
        throw AugmentationError(field, values[0], requirement)
      }
      return interval
    }
    guard values.count == 2, values.allSatisfy(bounds.contains), values[0] <= values[1] else {
      throw AugmentationError(field, values, requirement)
    }
    return values[0]...values[1]
  }
}

extension ClosedRange<Double> {
  /// As a configuration has it.
  var asList: [Double] { [lowerBound, upperBound] }
}

/// What several steps check alike.
enum StepCheck {
  static func probability(_ value: Double, _ field: String) throws(AugmentationError) {
    guard (0...1).contains(value) else { throw AugmentationError(field, value, "a number from 0 to 1") }
  }

  /// Ratios of sides that a window or a box may have: beyond them its sides are no numbers of pixels.
  static let aspects = 0.001...1000.0

  static func aspect(_ range: ClosedRange<Double>, _ field: String) throws(AugmentationError) {
    guard aspects.contains(range.lowerBound), aspects.contains(range.upperBound) else {
      throw AugmentationError(
        field, range.asList,
        "two numbers from \(aspects.lowerBound) to \(aspects.upperBound), the smaller first")
    }
  }

  /// A colour from a configuration.
  static func fill(_ values: [Int], _ field: String) throws(AugmentationError) -> [UInt8] {
    let bytes = values.compactMap { UInt8(exactly: $0) }
    guard bytes.count == 3, values.count == 3 else {
      throw AugmentationError(field, values, "red, green and blue from 0 to 255")
    }
    return bytes
  }
}
