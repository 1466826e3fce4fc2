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
    checkCounts(source, destination)
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
    checkCounts(source, destination)
    guard let from = source.baseAddress, let to = destination.baseAddress else { return }
    Operations.active.bfloat16_to_float32(from, to, destination.count)
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

  private static func checkCounts(
    _ source: UnsafeRawBufferPointer, _ destination: UnsafeMutableBufferPointer<Float>
  ) {
    precondition(
      source.count == 2 * destination.count,
      "\(source.count) bytes of 16-bit numbers do not fit \(destination.count) floats")
  }
}

/// The C operations in use.
enum Operations {
  static let active: ckernels_operations = ckernels_active_operations().pointee
}
