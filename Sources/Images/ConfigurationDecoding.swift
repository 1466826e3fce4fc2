/// Reads values of configuration files and names the field where one is of the wrong kind.
extension KeyedDecodingContainer {
  func number(_ key: Key) throws -> Double? {
    try value(key, requirement: "a number") { try decodeIfPresent(Double.self, forKey: key) }
  }

  func integer(_ key: Key) throws -> Int? {
    try number(key).map { try Self.integer($0, field: key.stringValue) }
  }

  func text(_ key: Key) throws -> String? {
    try value(key, requirement: "a text") { try decodeIfPresent(String.self, forKey: key) }
  }

  func flag(_ key: Key) throws -> Bool? {
    try value(key, requirement: "true or false") { try decodeIfPresent(Bool.self, forKey: key) }
  }

  func numbers(_ key: Key) throws -> [Double]? {
    try value(key, requirement: "a list of numbers") { try decodeIfPresent([Double].self, forKey: key) }
  }

  func integers(_ key: Key) throws -> [Int]? {
    try numbers(key)?.map { try Self.integer($0, field: key.stringValue) }
  }

  /// Three numbers, or one that stands for all three.
  func channels(_ key: Key) throws -> [Double]? {
    if let single = try? decodeIfPresent(Double.self, forKey: key) { return [single, single, single] }
    return try numbers(key)
  }

  /// A whole number that an Int holds exactly, whichever way the file writes it.
  static func integer(_ number: Double, field: String) throws -> Int {
    guard abs(number) <= 9_007_199_254_740_992, let integer = Int(exactly: number) else {
      throw TransformConfigurationError(field: field, value: "\(number)", requirement: "a whole number")
    }
    return integer
  }

  private func value<Value>(_ key: Key, requirement: String, _ decode: () throws -> Value?) throws -> Value? {
    do {
      return try decode()
    } catch is DecodingError {
      throw TransformConfigurationError(field: key.stringValue, value: nil, requirement: requirement)
    }
  }
}
