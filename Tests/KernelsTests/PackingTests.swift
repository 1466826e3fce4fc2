import CKernels
import Foundation
import Kernels
import Testing

@Suite struct PackingTests {
  /// Where an element of w [O, K] stands in the panels, in elements.
  private func place(_ layout: ckernels_panel_layout, inner: Int, output: Int, k: Int) -> Int {
    let groups = (inner + layout.group - 1) / layout.group
    let (panel, column) = output.quotientAndRemainder(dividingBy: layout.width)
    return ((panel * groups + k / layout.group) * layout.width + column) * layout.group + k % layout.group
  }

  private func kernels(_ variant: KernelVariant) throws -> [ckernels_product_kernel] {
    let products = try operations(variant).products
    return [products.0, products.1, products.2]
  }

  @Test(arguments: KernelVariant.available)
  func panelsHoldEachElementOnceAndZeros(variant: KernelVariant) throws {
    for kernel in try kernels(variant) {
      let layout = kernel.layout
      for (outputs, inner) in [(1, 1), (7, 3), (8, 16), (33, 17), (32, 64), (70, 33), (16, 5)] {
        let panels = (outputs + layout.width - 1) / layout.width
        let count = panels * ckernels_panel_bytes(layout, inner) / layout.element_bytes
        // Integers of 8 bits, exact in each type, none of them 0.
        func value(_ output: Int, _ k: Int) -> Int { (output * 31 + k * 7) % 100 + 1 }
        let rows = GuardedMatrix(rows: outputs, columns: inner, gap: 1) { Float(value($0, $1)) }
        let columns = GuardedMatrix(rows: inner, columns: outputs, gap: 3) { Float(value($1, $0)) }
        var expected = [Int](repeating: 0, count: count)
        for output in 0..<outputs {
          for k in 0..<inner {
            expected[place(layout, inner: inner, output: output, k: k)] = value(output, k)
          }
        }
        func check<T>(_ type: T.Type, _ read: (T) -> Int, _ fill: (UnsafeMutableRawPointer) -> Void) {
          let memory = UnsafeMutableRawPointer.allocate(
            byteCount: count * layout.element_bytes + 64, alignment: 64)
          defer { memory.deallocate() }
          memory.initializeMemory(as: UInt8.self, repeating: 0xee, count: count * layout.element_bytes + 64)
          fill(memory)
          let found = memory.bindMemory(to: type, capacity: count)
          #expect((0..<count).allSatisfy { read(found[$0]) == expected[$0] }, "[\(outputs), \(inner)]")
          let end = count * layout.element_bytes
          #expect((end..<end + 64).allSatisfy { memory.load(fromByteOffset: $0, as: UInt8.self) == 0xee })
        }
        func whole(_ value: Float) -> Int { Int(value) }
        func half(_ value: UInt16) -> Int { Int(Float(bitPattern: UInt32(value) << 16)) }
        func byte(_ value: Int8) -> Int { Int(value) }
        switch layout.element_bytes {
        case 4:
          check(Float.self, whole) { ckernels_pack_rows(layout, rows.base, rows.stride, outputs, inner, $0) }
          check(Float.self, whole) {
            ckernels_pack_columns(layout, columns.base, columns.stride, outputs, inner, $0)
          }
        case 2:
          let halves = (0..<outputs).flatMap { output in
            (0..<inner).map { UInt16(Float(value(output, $0)).bitPattern >> 16) }
          }
          let turned = (0..<inner).flatMap { k in
            (0..<outputs).map { UInt16(Float(value($0, k)).bitPattern >> 16) }
          }
          check(UInt16.self, half) { ckernels_pack_rows(layout, rows.base, rows.stride, outputs, inner, $0) }
          check(UInt16.self, half) { ckernels_pack_rows_bfloat16(layout, halves, inner, outputs, inner, $0) }
          check(UInt16.self, half) {
            ckernels_pack_columns(layout, columns.base, columns.stride, outputs, inner, $0)
          }
          check(UInt16.self, half) {
            ckernels_pack_columns_bfloat16(layout, turned, outputs, outputs, inner, $0)
          }
        default:
          let levels = (0..<outputs).flatMap { output in (0..<inner).map { Int8(value(output, $0)) } }
          var sums = [Int32](repeating: 0, count: outputs)
          check(Int8.self, byte) { ckernels_pack_rows_int8(layout, levels, inner, outputs, inner, $0, &sums) }
          for output in 0..<outputs {
            #expect(Int(sums[output]) == (0..<inner).reduce(0) { $0 + value(output, $1) })
          }
        }
      }
    }
  }

  /// Parts that end amid a panel make the same results as one matrix.
  @Test(arguments: Precision.allCases)
  func partsMakeOneMatrix(precision: Precision) throws {
    var random = TestRandom()
    let (whole, x) = (random.matrix(75, 40), random.matrix(9, 40))
    defer { withExtendedLifetime((whole, x)) {} }
    let parts = [0..<20, 20..<23, 23..<75].map { whole.view[$0, 0..<40] }
    func results(_ parts: [MatrixView], threads: Int) throws -> [Float] {
      let packed = try PackedMatrix(
        parts, precision: precision, storage: PackedStorage(), pool: ThreadPool(threadCount: threads))
      #expect(packed.outputs == 75 && packed.inner == 40 && packed.precision == precision)
      let out = GuardedMatrix(rows: 9, columns: 75)
      Compute().linear(x.view, weight: packed, into: .store(out.mutableView), arena: Arena())
      return out.values
    }
    let expected = try results([whole.view], threads: 1)
    #expect(haveSameBits(try results(parts, threads: 1), expected))
    #expect(haveSameBits(try results(parts, threads: 3), expected))
  }

  @Test(arguments: Precision.allCases, [Float.nan, .infinity, -.infinity])
  func refusesNonFinite(precision: Precision, value: Float) {
    var random = TestRandom()
    let parts = (0..<3).map { _ in random.matrix(37, 21, gap: 2) }
    parts[1].base[30 * parts[1].stride + 20] = value
    defer { withExtendedLifetime(parts) {} }
    #expect(throws: PackingError.nonFinite(part: 1)) {
      try PackedMatrix(parts.map(\.view), precision: precision, storage: PackedStorage())
    }
  }

  @Test func sumsThatNoInt32HoldsAreComputedInFloat32() throws {
    let width = Int(ckernels_int8_largest_inner)
    let storage = PackedStorage()
    let zeros = GuardedMatrix(rows: 1, columns: width + 1)
    #expect(try PackedMatrix([zeros.view], precision: .int8, storage: storage).precision == .fp32)
    let fits = zeros.view[0..<1, 0..<width]
    #expect(try PackedMatrix([fits], precision: .int8, storage: storage).precision == .int8)
    withExtendedLifetime(zeros) {}
  }

  @Test func storageGrowsByWhatIsPacked() throws {
    let storage = PackedStorage()
    let zeros = GuardedMatrix(rows: 64, columns: 1000)  // a view does not keep it alive
    defer { withExtendedLifetime(zeros) {} }
    var bytes = 0
    for _ in 0..<40 {
      let matrix = try PackedMatrix(
        [zeros.view], precision: .fp32, storage: storage)
      bytes += matrix.byteCount
    }
    #expect(storage.byteCount >= bytes && storage.byteCount < bytes + 64 * 40)
    #expect(PackedMatrix(describing: 3, inner: 4, precision: .fp32).outputs == 3)
  }

  @Test(arguments: [Precision.fp32, .bf16])
  func multipliesWhatWasNotPacked(precision: Precision) {
    var random = TestRandom()
    let arena = Arena()
    for (rows, inner, outputs) in [(1, 1, 1), (15, 33, 40), (37, 300, 21), (64, 7, 64)] {
      let (a, b) = (random.matrix(rows, inner, gap: 1), random.matrix(inner, outputs, gap: 2))
      let turnedA = GuardedMatrix(rows: inner, columns: rows, gap: 3) { a[$1, $0] }
      let turnedB = GuardedMatrix(rows: outputs, columns: inner) { b[$1, $0] }
      let bias = random.matrix(1, outputs)
      defer { withExtendedLifetime((a, b, turnedA, turnedB)) {} }
      let lefts: [ProductFactor] = [.asIs(a.view), .transposed(turnedA.view)]
      let rights: [ProductFactor] = [.asIs(b.view), .transposed(turnedB.view)]
      var expected: [Double] = []
      var limits: [Double] = []
      for row in 0..<rows {
        for output in 0..<outputs {
          let terms = (0..<inner).map { Double(a[row, $0]) * Double(b[$0, output]) }
          let magnitude = terms.reduce(0) { $0 + abs($1) } + 1
          expected.append(terms.reduce(Double(bias[0, output]), +))
          let rounding = precision == .fp32 ? 0 : magnitude * 2.1 * 0x1p-9
          limits.append(rounding + LinearTests.productLimit(inner, magnitude: magnitude))
        }
      }
      for left in lefts {
        for right in rights {
          let out = GuardedMatrix(rows: rows, columns: outputs, gap: 1) { _, _ in .nan }
          Compute.multiply(
            left, right, precision: precision, bias: bias.base, into: out.mutableView, arena: arena)
          expectClose(out.values, expected) { limits[$0] }
          Compute.multiply(
            left, right, precision: precision, bias: bias.base, adds: true, into: out.mutableView,
            arena: arena)
          expectClose(out.values, expected.map { 2 * $0 }) { 3 * limits[$0] }
          #expect(out.isIntact)
        }
      }
    }
  }
}
