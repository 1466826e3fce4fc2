import Checkpoints
import Images
import SystemPackage

/// Typed access to the fields of a `config.json`, with errors that name the field.
struct ConfigurationFields {
  let path: FilePath
  let values: JSONValue?

  private func failure(_ field: String, _ value: JSONValue, _ remedy: String) -> ModelError {
    .configuration(path: path, field: field, value: value.summary, remedy: remedy)
  }

  /// A whole number in a range that no real model leaves.
  func int(_ field: String, in range: ClosedRange<Int> = 1...1_000_000) throws(ModelError) -> Int? {
    guard let value = values?[field] else { return nil }
    guard let number = value.int, range.contains(number) else {
      throw failure(field, value, "expected a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  func bool(_ field: String) throws(ModelError) -> Bool? {
    guard let value = values?[field] else { return nil }
    guard let flag = value.bool else { throw failure(field, value, "expected true or false") }
    return flag
  }

  /// A positive number, such as an epsilon.
  func positive(_ field: String) throws(ModelError) -> Double? {
    guard let value = values?[field] else { return nil }
    guard let number = value.double, number.isFinite, number > 0 else {
      throw failure(field, value, "expected a number above 0")
    }
    return number
  }

  /// A size given as one number or as [height, width].
  func size(_ field: String) throws(ModelError) -> ImageSize? {
    guard let value = values?[field] else { return nil }
    let sides = (value.array ?? [value, value]).map { $0.int ?? 0 }
    guard sides.count == 2, sides.allSatisfy({ (1...65_536).contains($0) }) else {
      throw failure(field, value, "expected a size in pixels, or [height, width]")
    }
    return ImageSize(height: sides[0], width: sides[1])
  }

  /// Refuses a field that is there, but holds no fields of its own.
  func requireObject(_ field: String) throws(ModelError) {
    guard let value = values?[field], value.object == nil else { return }
    throw failure(field, value, "expected a JSON object")
  }

  /// A LayerNorm epsilon.
  func epsilon(_ field: String) throws(ModelError) -> Float? {
    guard let number = try positive(field) else { return nil }
    guard Float(number) > 0, number < 1 else {
      throw failure(field, .number(number), "expected a small number above 0, such as 1e-6")
    }
    return Float(number)
  }

  /// A choice by name.
  func choice<T>(_ field: String, _ choices: [String: T]) throws(ModelError) -> T? {
    guard let value = values?[field] else { return nil }
    guard let choice = value.string.flatMap({ choices[$0.lowercased()] }) else {
      throw failure(field, value, "expected one of \(choices.keys.sorted().joined(separator: ", "))")
    }
    return choice
  }

  /// Refuses a field whose value is not among those that leave the model as it is.
  func require(_ field: String, among allowed: [JSONValue]) throws(ModelError) {
    guard let value = values?[field], !allowed.contains(value) else { return }
    throw failure(field, value, "this variant of the Vision Transformer is not supported")
  }
}

extension JSONValue {
  /// The value as it may be quoted in a message.
  var summary: String {
    switch self {
    case .null: "null"
    case .bool(let value): "\(value)"
    case .number(let value): Int(exactly: value).map(String.init) ?? "\(value)"
    case .string(let value): "\"\(value.prefix(80))\""
    case .array(let values): "[" + values.prefix(4).map(\.summary).joined(separator: ", ") + "]"
    case .object: "an object"
    }
  }
}
