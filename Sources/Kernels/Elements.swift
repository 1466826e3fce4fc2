import CKernels

/// Operations on plain runs of numbers: conversion of stored weights, and the search for NaN.
public enum Elements {
  /// Converts IEEE half precision (binary16, in the machine's byte order) to float32, exactly.
  ///
  /// A signalling NaN becomes a quiet one.
  /// - Parameters:
  ///   - source: 2 bytes per element, of any alignment.
  ///   - destination: as many floats.
  public static func convertFloat16(
    _ source: UnsafeRawBufferPointer, into destination: UnsafeMutableBufferPointer<Float>
  ) {
    checkCounts(source.count, bytesEach: 2, destination.count)
    guard let from = source.baseAddress, let to = destination.baseAddress else { return }
    Operations.active.float16_to_float32(from, to, destination.count)
  }

  /// Converts bfloat16 (in the machine's byte order) to float32, exactly.
  /// - Parameters:
  ///   - source: 2 bytes per element, of any alignment.
  ///   - destination: as many floats.
  public static func convertBFloat16(
    _ source: UnsafeRawBufferPointer, into destination: UnsafeMutableBufferPointer<Float>
  ) {
    checkCounts(source.count, bytesEach: 2, destination.count)
    guard let from = source.baseAddress, let to = destination.baseAddress else { return }
    Operations.active.bfloat16_to_float32(from, to, destination.count)
  }

  /// Converts IEEE double precision (binary64, in the machine's byte order) to float32, to nearest.
  ///
  /// A finite number above the range of float32 becomes infinite.
  /// - Parameters:
  ///   - source: 8 bytes per element, of any alignment.
  ///   - destination: as many floats.
  public static func convertFloat64(
    _ source: UnsafeRawBufferPointer, into destination: UnsafeMutableBufferPointer<Float>
  ) {
    checkCounts(source.count, bytesEach: 8, destination.count)
    guard let from = source.baseAddress, let to = destination.baseAddress else { return }
    ckernels_float64_to_float32(from, to, destination.count)
  }

  /// Converts float32 to IEEE half precision (binary16), to nearest, ties to even.
  /// - Parameters:
  ///   - source: floats.
  ///   - destination: 2 bytes per element, of any alignment.
  /// - Returns: Whether no finite value has become infinite; those of magnitude 65,520 and above do.
  public static func convertFloat32ToFloat16(
    _ source: UnsafeBufferPointer<Float>, into destination: UnsafeMutableRawBufferPointer
  ) -> Bool {
    checkCounts(destination.count, bytesEach: 2, source.count)
    guard let from = source.baseAddress, let to = destination.baseAddress else { return true }
    return Operations.active.float32_to_float16(from, to, source.count)
  }

  /// Converts float32 to bfloat16, to nearest, ties to even.
  /// - Parameters:
  ///   - source: floats.
  ///   - destination: 2 bytes per element, of any alignment.
  /// - Returns: Whether no finite value has become infinite; those above 3.396e38 do.
  public static func convertFloat32ToBFloat16(
    _ source: UnsafeBufferPointer<Float>, into destination: UnsafeMutableRawBufferPointer
  ) -> Bool {
    checkCounts(destination.count, bytesEach: 2, source.count)
    guard let from = source.baseAddress, let to = destination.baseAddress else { return true }
    return Operations.active.float32_to_bfloat16(from, to, source.count)
  }

  /// Rounds each row of a matrix [R, K] to int8 by a scale of its own, the largest magnitude of the row / 127.
  /// - Returns: levels [R, K] and scales [R]: x[r, k] is about scales[r] · levels[r, k].
  public static func quantizeRows(_ source: MatrixView) -> (levels: [Int8], scales: [Float]) {
    var scales = [Float](repeating: 1, count: source.rows)
    let count = source.rows * source.columns
    let levels = [Int8](unsafeUninitializedCapacity: count) { levels, initialized in
      if count > 0, let base = levels.baseAddress {
        Operations.active.quantize_weights(
          source.base, source.rowStride, source.rows, source.columns, base, source.columns, &scales)
      }
      initialized = count
    }
    return (levels, scales)
  }

  /// destination [C, R] = source [R, C] with rows and columns exchanged; the two must not overlap.
  public static func transpose(_ source: MatrixView, into destination: MutableMatrixView) {
    precondition(
      source.rows == destination.columns && source.columns == destination.rows,
      """
      transpose: [\(source.rows), \(source.columns)] does not fit [\(destination.rows), \(destination.columns)]
      """)
    Operations.active.transpose(
      source.base, source.rowStride, source.rows, source.columns, CKERNELS_FLOAT32, destination.base,
      4 * destination.rowStride)
  }

  /// Whether no value is NaN or infinite.
  public static func allFinite(_ values: UnsafeBufferPointer<Float>) -> Bool {
    guard let base = values.baseAddress else { return true }
    return Operations.active.all_finite(base, values.count)
  }

  /// Whether no element of the matrix is NaN or infinite; gaps between rows are not looked at.
  public static func allFinite(_ matrix: MatrixView) -> Bool {
    (0..<matrix.rows).allSatisfy { allFinite(matrix.row($0)) }
  }

  private static func checkCounts(_ bytes: Int, bytesEach: Int, _ count: Int) {
    precondition(
      bytes == bytesEach * count,
      "\(bytes) bytes of \(8 * bytesEach)-bit numbers do not fit \(count) floats")
  }
}

/// The C operations in use.
enum Operations {
  static let active: ckernels_operations = ckernels_active_operations().pointee
}
