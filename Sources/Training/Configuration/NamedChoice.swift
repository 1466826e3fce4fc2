/// One of several values, each with a name in configurations.
///
/// Another name is refused with those that there are; what Swift makes of itself names its type alone.
public protocol NamedChoice: RawRepresentable<String>, Codable, CaseIterable {}

extension NamedChoice {
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    let name = try container.decode(String.self)
    guard let choice = Self(rawValue: name) else {
      let names = Self.allCases.map(\.rawValue).joined(separator: ", ")
      throw DecodingError.dataCorruptedError(
        in: container, debugDescription: "must be one of \(names), not \(name)")
    }
    self = choice
  }
}
