#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Memory for packed weights, handed out from large regions one after the other and given back as a whole.
///
/// Pages are the system's until they are written, so that a region costs what was packed into it. Regions after the first
/// ask for huge pages: fewer page faults while packing, and fewer address look-ups in each product. Not for use from two
/// threads at once.
public final class PackedStorage: @unchecked Sendable {
  private struct Region {
    let base: UnsafeMutableRawPointer
    let byteCount: Int
  }

  private static let smallRegion = 16 << 20
  private static let largeRegion = 64 << 20
  private static let hugePage = 2 << 20

  private var regions: [Region] = []
  private var used = 0

  /// Bytes handed out.
  public private(set) var byteCount = 0

  public init() {}

  deinit {
    for region in regions { munmap(region.base, region.byteCount) }
  }

  /// Room for `count` bytes on a boundary of 64, zeros; valid as long as the storage lives.
  /// - Throws: `PackingError.outOfMemory`.
  func allocate(_ count: Int) throws(PackingError) -> UnsafeMutableRawPointer {
    precondition(count >= 0, "no room for \(count) bytes")
    let size = max(1, ceilingOfQuotient(count, vectorAlignment)) * vectorAlignment
    byteCount += size
    if let region = regions.last, size <= region.byteCount - used {
      defer { used += size }
      return region.base + used
    }
    let region = try map(max(size, regions.isEmpty ? PackedStorage.smallRegion : PackedStorage.largeRegion))
    regions.append(region)
    used = size
    return region.base
  }

  /// A matrix that the storage keeps, of zeros.
  /// - Throws: `PackingError.outOfMemory`.
  public func matrix(rows: Int, columns: Int) throws(PackingError) -> MutableMatrixView {
    let base = try allocate(4 * rows * columns).bindMemory(to: Float.self, capacity: rows * columns)
    return MutableMatrixView(base: base, rows: rows, columns: columns)
  }

  private func map(_ count: Int) throws(PackingError) -> Region {
    let size = ceilingOfQuotient(count, PackedStorage.hugePage) * PackedStorage.hugePage
    let base = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let base, base != MAP_FAILED else { throw .outOfMemory(bytes: size) }
    #if os(Linux)
      if !regions.isEmpty { madvise(base, size, MADV_HUGEPAGE) }
    #endif
    return Region(base: base, byteCount: size)
  }
}
