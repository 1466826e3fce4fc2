#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Eigenvalues and eigenvectors of a real symmetric matrix, in double precision.
///
/// Householder's reduction to a tridiagonal matrix, then QL iterations with implicit shifts (Wilkinson and Reinsch, *Handbook for Automatic Computation*
/// II, 1971, contributions 2 and 4: `tred2` and `tql2`), with the vectors as rows, so that all inner loops run along memory.
struct SymmetricEigen {
  /// Largest first.
  let values: [Double]
  /// [n, n]: row i is the unit vector of `values[i]`.
  let vectors: [Double]

  /// - Parameter matrix: [n, n]; of which the lower triangle is read.
  init(_ matrix: [Double], n: Int) {
    precondition(matrix.count == n * n, "a matrix of \(n)x\(n)")
    var (z, d, e) = (matrix, [Double](repeating: 0, count: n), [Double](repeating: 0, count: n))
    z.withUnsafeMutableBufferPointer { z in
      d.withUnsafeMutableBufferPointer { d in
        e.withUnsafeMutableBufferPointer { e in
          Self.tridiagonalize(z, d, e, n)
          Self.diagonalize(z, d, e, n)
        }
      }
    }
    // Among equals the earlier one stays earlier.
    let order = d.indices.sorted { (d[$1], $0) < (d[$0], $1) }
    values = order.map { d[$0] }
    vectors = order.flatMap { z[$0 * n..<($0 + 1) * n] }
  }

  private typealias Buffer = UnsafeMutableBufferPointer<Double>

  /// Leaves the diagonal in `d`, the elements beneath in `e[1...]`, and in `z` the product of the reflections, transposed.
  private static func tridiagonalize(_ z: Buffer, _ d: Buffer, _ e: Buffer, _ n: Int) {
    // Reflections from the last row to the second: u = row i left of the diagonal; all that is left and above of it becomes
    // A - u q' - q u' with p = A u / h, q = p - (u'p / 2h) u.
    for i in stride(from: n - 1, to: 0, by: -1) {
      let u = i * n
      var scale = 0.0
      for k in 0..<i { scale += abs(z[u + k]) }
      guard i > 1, scale > 0 else {
        e[i] = z[u + i - 1]
        d[i] = 0
        continue
      }
      var h = 0.0
      for k in 0..<i {
        z[u + k] /= scale
        h += z[u + k] * z[u + k]
      }
      let last = z[u + i - 1]
      let g = last >= 0 ? -h.squareRoot() : h.squareRoot()
      e[i] = scale * g
      h -= last * g
      z[u + i - 1] = last - g
      // p = A u, from the lower triangle: each row serves as row and as column.
      for k in 0..<i { e[k] = 0 }
      for j in 0..<i {
        let (row, uj) = (j * n, z[u + j])
        var sum = z[row + j] * uj
        for k in 0..<j {
          sum += z[row + k] * z[u + k]
          e[k] += z[row + k] * uj
        }
        e[j] += sum
      }
      var dot = 0.0
      for k in 0..<i {
        e[k] /= h
        dot += e[k] * z[u + k]
      }
      let half = dot / (h + h)
      for k in 0..<i { e[k] -= half * z[u + k] }
      for j in 0..<i {
        let (row, uj, qj) = (j * n, z[u + j], e[j])
        for k in 0...j { z[row + k] -= uj * e[k] + qj * z[u + k] }
      }
      d[i] = h
    }
    (d[0], e[0]) = (0, 0)
    // The reflections, from the first to the last: each acts on what those before it have made.
    for i in 0..<n {
      let u = i * n
      if d[i] != 0 {
        // Row j of the transposed product loses its part along u.
        for j in 0..<i {
          var g = 0.0
          for k in 0..<i { g += z[u + k] * z[j * n + k] }
          g /= d[i]
          for k in 0..<i { z[j * n + k] -= g * z[u + k] }
        }
      }
      d[i] = z[u + i]
      z[u + i] = 1
      for k in 0..<i {
        z[u + k] = 0
        z[k * n + i] = 0
      }
    }
  }

  /// Turns the tridiagonal matrix into a diagonal one, and the rows of `z` with it.
  private static func diagonalize(_ z: Buffer, _ d: Buffer, _ e: Buffer, _ n: Int) {
    for i in 1..<max(1, n) { e[i - 1] = e[i] }
    if n > 0 { e[n - 1] = 0 }
    for l in 0..<n {
      // Finite matrices take two or three iterations for each value; damaged ones are given up.
      for _ in 0..<60 {
        var m = l
        while m < n - 1, abs(e[m]) > .ulpOfOne * (abs(d[m]) + abs(d[m + 1])) { m += 1 }
        guard m > l else { break }
        var g = (d[l + 1] - d[l]) / (2 * e[l])
        var r = (g * g + 1).squareRoot()
        g = d[m] - d[l] + e[l] / (g + (g >= 0 ? r : -r))
        var (s, c, p) = (1.0, 1.0, 0.0)
        var isSplit = false
        for i in stride(from: m - 1, through: l, by: -1) {
          let f = s * e[i]
          let b = c * e[i]
          r = (f * f + g * g).squareRoot()
          e[i + 1] = r
          guard r != 0 else {
            d[i + 1] -= p
            e[m] = 0
            isSplit = true
            break
          }
          (s, c) = (f / r, g / r)
          g = d[i + 1] - p
          r = (d[i] - g) * s + 2 * c * b
          p = s * r
          d[i + 1] = g + p
          g = c * r - b
          rotate(z, i * n, (i + 1) * n, n, c, s)
        }
        if isSplit { continue }
        d[l] -= p
        e[l] = g
        e[m] = 0
      }
    }
  }

  private static func rotate(_ z: Buffer, _ first: Int, _ second: Int, _ n: Int, _ c: Double, _ s: Double) {
    for k in 0..<n {
      let (a, b) = (z[first + k], z[second + k])
      z[second + k] = s * a + c * b
      z[first + k] = c * a - s * b
    }
  }
}
