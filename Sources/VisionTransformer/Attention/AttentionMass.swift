/// The patches that hold the most of an attention.
public enum AttentionMass {
  /// Sets the patches to 0 that the top share of the mass does not need, as DINO draws its attention (`visualize_attention.py`,
  /// `threshold`): in rising order, those up to which no more than 1 - `share` of the sum has been seen.
  /// - Parameter share: of the sum, above 0 and at most 1.
  public static func top(_ share: Double, of map: [Float]) -> [Float] {
    let total = map.reduce(0) { $0 + Double($1) }
    guard total > 0 else { return map }
    var result = map
    var seen = 0.0
    for index in map.indices.sorted(by: { (map[$0], $0) < (map[$1], $1) }) {
      seen += Double(map[index])
      guard seen <= (1 - share) * total else { break }
      result[index] = 0
    }
    return result
  }
}
