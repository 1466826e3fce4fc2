/// Puts elements into the order that tensors are used in: row-major and little-endian.
enum ElementOrder {
  /// Whether row-major and Fortran order are the same for a shape: at most one dimension that is not 1.
  static func isOneDimensional(_ shape: [Int]) -> Bool {
    shape.count { $0 != 1 } <= 1
  }

  /// Reverses the bytes of each element.
  /// - Parameter width: the size of an element in bytes: 1, 2, 4 or 8.
  static func swapBytes(_ bytes: UnsafeMutableRawBufferPointer, width: Int) {
    switch width {
    case 2: swap(bytes, as: UInt16.self)
    case 4: swap(bytes, as: UInt32.self)
    case 8: swap(bytes, as: UInt64.self)
    default: break
    }
  }

  /// Copies elements from Fortran order (first index fastest) into row-major order (last index fastest).
  /// - Parameters:
  ///   - source: the elements; any alignment.
  ///   - shape: sizes, the same for both; their product is the number of elements.
  ///   - width: the size of an element in bytes: 1, 2, 4 or 8.
  ///   - target: as many bytes as `source` has.
  static func copyRowMajor(
    _ source: UnsafeRawBufferPointer, shape: [Int], width: Int, into target: UnsafeMutableRawBufferPointer
  ) {
    precondition(source.count == target.count && source.count == shape.reduce(width, *), "sizes differ")
    switch width {
    case 1: copy(source, shape, target, as: UInt8.self)
    case 2: copy(source, shape, target, as: UInt16.self)
    case 4: copy(source, shape, target, as: UInt32.self)
    case 8: copy(source, shape, target, as: UInt64.self)
    default: preconditionFailure("elements of \(width) bytes")
    }
  }

  private static func swap<T: FixedWidthInteger & BitwiseCopyable>(
    _ bytes: UnsafeMutableRawBufferPointer, as type: T.Type
  ) {
    guard let base = bytes.baseAddress else { return }
    for offset in stride(from: 0, to: bytes.count, by: MemoryLayout<T>.size) {
      let element = base.loadUnaligned(fromByteOffset: offset, as: T.self)
      base.storeBytes(of: element.byteSwapped, toByteOffset: offset, as: T.self)
    }
  }

  /// Square tiles of the plane that the two arrays' fastest indices span, so that both sides use whole cache lines.
  private static let tile = 32

  private static func copy<T: BitwiseCopyable>(
    _ source: UnsafeRawBufferPointer, _ shape: [Int], _ target: UnsafeMutableRawBufferPointer, as type: T.Type
  ) {
    let sizes = shape.filter { $0 != 1 }
    guard sizes.count > 1, let rows = sizes.first, let columns = sizes.last, source.count > 0,
      let from = source.baseAddress, let to = target.baseAddress
    else {
      target.copyMemory(from: source)
      return
    }
    let size = MemoryLayout<T>.stride
    let count = source.count / size
    // First index: one apart in the source. Last index: one apart in the target.
    let (sourceStride, targetStride) = (count / columns, count / rows)
    var middle = MiddleIndices(sizes)
    repeat {
      let (source, target) = (from + middle.sourceOffset * size, to + middle.targetOffset * size)
      for rowTile in stride(from: 0, to: rows, by: tile) {
        for columnTile in stride(from: 0, to: columns, by: tile) {
          for row in rowTile..<min(rowTile + tile, rows) {
            for column in columnTile..<min(columnTile + tile, columns) {
              let element = source.loadUnaligned(
                fromByteOffset: (row + column * sourceStride) * size, as: T.self)
              target.storeBytes(of: element, toByteOffset: (row * targetStride + column) * size, as: T.self)
            }
          }
        }
      }
    } while middle.advance()
  }
}

/// Counts through every index but the first and the last one, with the offset, in elements, that they amount to in each order.
private struct MiddleIndices {
  private(set) var sourceOffset = 0
  private(set) var targetOffset = 0
  private var dimensions: [(index: Int, size: Int, sourceStride: Int, targetStride: Int)] = []

  init(_ sizes: [Int]) {
    for axis in sizes.indices.dropFirst().dropLast() {
      dimensions.append(
        (0, sizes[axis], sizes[..<axis].reduce(1, *), sizes[(axis + 1)...].reduce(1, *)))
    }
  }

  /// Moves on by one; false after the last.
  mutating func advance() -> Bool {
    for axis in dimensions.indices.reversed() {
      let dimension = dimensions[axis]
      if dimension.index + 1 < dimension.size {
        dimensions[axis].index += 1
        sourceOffset += dimension.sourceStride
        targetOffset += dimension.targetStride
        return true
      }
      dimensions[axis].index = 0
      sourceOffset -= dimension.index * dimension.sourceStride
      targetOffset -= dimension.index * dimension.targetStride
    }
    return false
  }
}
