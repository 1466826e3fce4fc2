import CKernels
import Kernels
import Synchronization
import Testing

@Suite struct ProductRowsTests {
  /// Rows that are computed some at a time make the same products as rows that are there.
  @Test(arguments: Precision.allCases, [1, 7, 8, 9, 31])
  func filledRowsAreThoseThatAreThere(precision: Precision, count: Int) throws {
    var random = TestRandom()
    let (inner, outputs) = (75, 40)
    let x = random.matrix(count, inner, gap: 2)
    let weight = try packed(random.matrix(outputs, inner), precision)
    let arena = Arena()
    func results(_ rows: ProductRows) -> [Float] {
      #expect(rows.precision == precision && rows.rows == count && rows.columns == inner)
      let out = GuardedMatrix(rows: count, columns: outputs, gap: 1) { _, _ in .nan }
      Compute().linear(rows, weight: weight, into: .store(out.mutableView))
      #expect(out.isIntact)
      return out.values
    }
    let expected = results(Compute().rows(x.view, for: weight, arena: arena))
    var filled = [Int](repeating: 0, count: count)
    let rows = Compute().rows(count, for: weight, arena: arena) { range, out in
      #expect(out.rows == range.count && out.columns == inner)
      for row in range { filled[row] += 1 }
      out.copy(from: x.view[range, 0..<inner])
    }
    #expect(filled.allSatisfy { $0 == 1 })
    #expect(haveSameBits(results(rows), expected))
  }

  /// Rows of bfloat16 are read where they lie, and results may be stored as such: with odd numbers of outputs, too.
  @Test(arguments: [2, 16, 66, 386], [1, 32, 45])
  func bfloat16GoesInAndOut(inner: Int, outputs: Int) throws {
    var random = TestRandom()
    let rows = 15
    let x = random.matrix(rows, inner)
    let weight = try packed(random.matrix(outputs, inner), .bf16)
    let bias = random.matrix(1, outputs)
    let arena = Arena()
    let out = GuardedMatrix(rows: rows, columns: outputs)
    Compute().linear(
      x.view, weight: weight, bias: bias.base, activation: .gelu, into: .store(out.mutableView), arena: arena)

    let half = arena.halfMatrix(rows: rows, columns: outputs + 1)
    half.base.update(repeating: 0x7fc1, count: rows * half.rowStride)
    let target = half[0..<rows, 1..<outputs + 1]
    func expectRounded(_ comment: Comment) {
      for row in 0..<rows {
        for column in 0..<half.rowStride {
          let isResult = (1...outputs).contains(column)
          #expect(
            half.base[row * half.rowStride + column]
              == (isResult ? roundedToBFloat16(out[row, column - 1]) : 0x7fc1), comment)
        }
      }
    }
    Compute().linear(
      x.view, weight: weight, bias: bias.base, activation: .gelu, into: .storeHalves(target), arena: arena)
    expectRounded("of floats")

    guard Precision.bf16.readsHalves(columns: inner) else { return }
    let wide = arena.halfMatrix(rows: rows, columns: inner + 6)
    wide.base.update(repeating: 0x7fc1, count: rows * wide.rowStride)
    let narrow = wide[0..<rows, 2..<inner + 2]
    for row in 0..<rows {
      for column in 0..<inner {
        narrow.base[row * narrow.rowStride + column] = roundedToBFloat16(x[row, column])
      }
    }
    target.base[0] = 0
    Compute().linear(
      ProductRows(narrow), weight: weight, bias: bias.base, activation: .gelu, into: .storeHalves(target))
    expectRounded("of halves in place")
  }

  /// int8: rows of zeros and of one value, and rows of which nothing can come.
  @Test func int8KeepsZerosAndSpreadsNonFinite() throws {
    var random = TestRandom()
    let (inner, outputs) = (50, 37)
    let values: [Float] = [0, 1, -0.37, .nan, .infinity, -.infinity, 2e-38]
    let x = GuardedMatrix(rows: values.count, columns: inner) { row, column in
      values[row].isFinite || column == 49 ? values[row] : 0.5
    }
    let w = random.matrix(outputs, inner)
    for column in 0..<inner { w.base[5 * w.stride + column] = 0 }
    let bias = random.matrix(1, outputs)
    let out = GuardedMatrix(rows: values.count, columns: outputs) { _, _ in 7 }
    Compute().linear(
      x.view, weight: try packed(w, .int8), bias: bias.base, into: .store(out.mutableView), arena: Arena())
    for (row, value) in values.enumerated() {
      for output in 0..<outputs {
        let found = out[row, output]
        guard value.isFinite else {
          #expect(found.isNaN)
          continue
        }
        if value == 0 || output == 5 {
          #expect(found == bias[0, output])
          continue
        }
        // x is its first or last level; a weight is off by half a step of 1/127.
        let sum = (0..<inner).reduce(0.0) { $0 + Double(w[output, $1]) }
        let limit = abs(Double(value)) * Double(inner) / 127 / 2 * 1.01 + 1e-6
        #expect(abs(Double(found) - Double(bias[0, output]) - Double(value) * sum) <= limit)
      }
    }
  }
}

@Suite struct PackedStorageTests {
  @Test func matricesAreAlignedZerosApart() throws {
    let storage = PackedStorage()
    // Beyond the first region, and more than a whole one at once.
    let shapes = [(1, 1), (3, 5), (1, 0), (1000, 1000), (2000, 1999), (1, 1), (4097, 4100), (7, 9)]
    var bytes = 0
    var matrices: [MutableMatrixView] = []
    for (index, (rows, columns)) in shapes.enumerated() {
      let matrix = try storage.matrix(rows: rows, columns: columns)
      bytes += 4 * rows * columns
      #expect(matrix.rows == rows && matrix.columns == columns)
      #expect(UInt(bitPattern: matrix.base) % 64 == 0)
      for row in 0..<rows {
        #expect(matrix.row(row).allSatisfy { $0 == 0 })
        matrix.row(row).update(repeating: Float(index + 1))
      }
      matrices.append(matrix)
    }
    for (index, matrix) in matrices.enumerated() {
      for row in 0..<matrix.rows { #expect(matrix.row(row).allSatisfy { $0 == Float(index + 1) }) }
    }
    #expect(storage.byteCount >= bytes && storage.byteCount <= bytes + 64 * shapes.count)
  }

  /// What a model would take can be told without its weights.
  @Test(arguments: Precision.allCases)
  func describedMatricesCountAsPackedOnes(precision: Precision) throws {
    let largest = Int(ckernels_int8_largest_inner)
    for (outputs, inner) in [(1, 1), (33, 17), (64, 768), (1, largest), (2, largest + 1)] {
      let found = PackedMatrix(describing: outputs, inner: inner, precision: precision)
      let packed = try packed(GuardedMatrix(rows: outputs, columns: inner), precision)
      #expect(found.outputs == outputs && found.inner == inner)
      #expect(found.precision == packed.precision && found.byteCount == packed.byteCount)
    }
  }

  /// The part that holds it is named, whichever thread packs it, in a panel of its own or shared with others.
  @Test(arguments: [1, 3], Precision.allCases)
  func namesThePartThatIsNotFinite(threads: Int, precision: Precision) {
    var random = TestRandom()
    let sizes = [70, 1, 2, 90, 5]
    for bad in sizes.indices {
      for row in Set([0, sizes[bad] / 2, sizes[bad] - 1]) {
        let parts = sizes.map { random.matrix($0, 19, gap: 1) }
        parts[bad].base[row * parts[bad].stride + 18] = .infinity
        #expect(throws: PackingError.nonFinite(part: bad)) {
          try PackedMatrix(
            parts.map(\.view), precision: precision, storage: PackedStorage(),
            pool: ThreadPool(threadCount: threads))
        }
      }
    }
  }

  /// NaN in the gap between rows is none of the matrix's.
  @Test(arguments: Precision.allCases)
  func gapsAreNotLookedAt(precision: Precision) throws {
    var random = TestRandom()
    _ = try packed(random.matrix(37, 19, gap: 5), precision)
  }
}
