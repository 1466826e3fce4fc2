/// The singular value decomposition of a matrix, A = Σ σ u vᵀ, by rotations of pairs of its columns (Hestenes, "Inversion of Matrices by
/// Biorthogonalization and Related Results", 1958; Golub and Van Loan, "Matrix Computations", 8.6.3).
public struct SingularValues {
  /// One singular value with its two vectors of length 1.
  public struct Triple {
    public let value: Float
    public let left: [Float]
    public let right: [Float]
  }

  /// From the largest value to the smallest. A left vector of the value 0 is 0.
  public let triples: [Triple]

  /// Of two columns, their product by the product of their lengths: where none is larger, they are orthogonal as far as float32 shows.
  private static let tolerance: Float = 1e-5
  /// Of rounds over all pairs. Some hundred columns take about ten.
  private static let maximumRounds = 60

  /// - Parameter columns: those of A, all as long.
  public init(_ columns: [[Float]]) {
    let (count, rows) = (columns.count, columns.first?.count ?? 0)
    precondition(columns.allSatisfy { $0.count == rows }, "columns of several lengths")
    var left = columns.flatMap { $0 }
    var right = [Float](repeating: 0, count: count * count)
    for index in 0..<count { right[index * count + index] = 1 }
    left.withUnsafeMutableBufferPointer { left in
      right.withUnsafeMutableBufferPointer { right in
        guard let left = left.baseAddress, let right = right.baseAddress else { return }
        for _ in 0..<Self.maximumRounds {
          var isOrthogonal = true
          for p in 0..<count {
            for q in p + 1..<max(p + 1, count) {
              let (a, b) = (left + p * rows, left + q * rows)
              guard let angle = Self.angle(a, b, rows) else { continue }
              isOrthogonal = false
              Self.rotate(a, b, rows, by: angle)
              Self.rotate(right + p * count, right + q * count, count, by: angle)
            }
          }
          if isOrthogonal { break }
        }
      }
    }
    triples = (0..<count).map { index in
      let column = left[index * rows..<(index + 1) * rows]
      let value = column.reduce(0) { $0 + $1 * $1 }.squareRoot()
      return Triple(
        value: value, left: value > 0 ? column.map { $0 / value } : Array(column),
        right: Array(right[index * count..<(index + 1) * count]))
    }.sorted { $0.value > $1.value }
  }

  /// The rotation that makes two columns orthogonal; nil where they are.
  private static func angle(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ count: Int
  ) -> (cosine: Float, sine: Float)? {
    let (lanes, rest) = count.quotientAndRemainder(dividingBy: 8)
    var (aa, bb, ab) = (SIMD8<Float>(), SIMD8<Float>(), SIMD8<Float>())
    for lane in 0..<lanes {
      let x = UnsafeRawPointer(a + 8 * lane).loadUnaligned(as: SIMD8<Float>.self)
      let y = UnsafeRawPointer(b + 8 * lane).loadUnaligned(as: SIMD8<Float>.self)
      aa += x * x
      bb += y * y
      ab += x * y
    }
    for index in count - rest..<count {
      aa[0] += a[index] * a[index]
      bb[0] += b[index] * b[index]
      ab[0] += a[index] * b[index]
    }
    let (alpha, beta, gamma) = (aa.sum(), bb.sum(), ab.sum())
    guard abs(gamma) > tolerance * (alpha * beta).squareRoot() else { return nil }
    let zeta = (beta - alpha) / (2 * gamma)
    let tangent = (zeta < 0 ? -1 : 1) / (abs(zeta) + (1 + zeta * zeta).squareRoot())
    let cosine = 1 / (1 + tangent * tangent).squareRoot()
    return (cosine, cosine * tangent)
  }

  private static func rotate(
    _ a: UnsafeMutablePointer<Float>, _ b: UnsafeMutablePointer<Float>, _ count: Int,
    by angle: (cosine: Float, sine: Float)
  ) {
    for index in 0..<count {
      let (x, y) = (a[index], b[index])
      a[index] = angle.cosine * x - angle.sine * y
      b[index] = angle.sine * x + angle.cosine * y
    }
  }
}
