import Checkpoints
import SystemPackage
import TestSupport
import Testing

/// Reading what numpy writes, from the fixtures of `scripts/reference/npz_fixtures.py`.
@Suite struct NpzTests {
  private static let folder = Fixtures.folder.appending("containers/npz")

  private func open(_ name: String) throws -> NpzFile {
    try NpzFile(Self.folder.appending(name))
  }

  /// The rule that the fixtures' elements follow.
  private func expected(_ tensor: TensorInfo) -> [Double] {
    (0..<tensor.count).map { index in
      let value = 37 * index % 101
      return switch tensor.type {
      case .bool: Double(value % 2)
      case .uint8, .uint16, .uint32, .uint64: Double(value)
      default: Double(value - 50)
      }
    }
  }

  private func values(_ tensor: TensorInfo, in file: NpzFile) throws -> [Double] {
    try file.elements(of: tensor).withUnsafeBytes { bytes in
      #expect(bytes.count == tensor.count * tensor.type.byteCount)
      func load<T: BitwiseCopyable>(_ type: T.Type, _ convert: (T) -> Double) -> [Double] {
        stride(from: 0, to: bytes.count, by: MemoryLayout<T>.size).map {
          convert(bytes.loadUnaligned(fromByteOffset: $0, as: T.self))
        }
      }
      return switch tensor.type {
      case .float64: load(Double.self) { $0 }
      case .float32: load(Float.self) { Double($0) }
      case .float16: load(UInt16.self, Self.float16)
      case .bfloat16: load(UInt16.self) { Double(Float(bitPattern: UInt32($0) << 16)) }
      case .int64: load(Int64.self) { Double($0) }
      case .int32: load(Int32.self) { Double($0) }
      case .int16: load(Int16.self) { Double($0) }
      case .int8: load(Int8.self) { Double($0) }
      case .uint64: load(UInt64.self) { Double($0) }
      case .uint32: load(UInt32.self) { Double($0) }
      case .uint16: load(UInt16.self) { Double($0) }
      case .uint8, .bool: load(UInt8.self) { Double($0) }
      case .float8E4M3, .float8E5M2: []
      }
    }
  }

  /// A normal half-precision number or zero; Swift's `Float16` is not on every platform.
  private static func float16(_ bits: UInt16) -> Double {
    guard bits & 0x7FFF != 0 else { return 0 }
    let magnitude = Float(bitPattern: (UInt32(bits & 0x7FFF) << 13) + (112 << 23))
    return Double(bits >> 15 == 0 ? magnitude : -magnitude)
  }

  @Test(arguments: [
    ("savez.npz", "npz", 3), ("savez_compressed.npz", "compressed npz", 3),
    ("types.npz", "compressed npz", 13),
    ("big_endian.npz", "npz", 12), ("big_endian_compressed.npz", "compressed npz", 13),
    ("fortran.npz", "compressed npz", 8), ("fortran_stored.npz", "npz", 12), ("zip64.npz", "npz", 3),
    ("zip64_directory.npz", "compressed npz", 3), ("descriptors.npz", "compressed npz", 3),
    ("descriptors_stored.npz", "npz", 3), ("descriptors_zip64.npz", "compressed npz", 3),
    ("versions.npz", "npz", 3),
  ]) func readsWhatNumpyWrites(_ name: String, _ format: String, _ count: Int) throws {
    let file = try open(name)
    #expect(file.format == format)
    #expect(file.tensors.count == count)
    #expect(file.unreadable.isEmpty && file.metadata.isEmpty)
    for tensor in file.tensors.values {
      #expect(try values(tensor, in: file) == expected(tensor), "\(tensor)")
    }
  }

  @Test func namesAndShapes() throws {
    let file = try open("savez.npz")
    #expect(file.tensors["Transformer/encoderblock_0/LayerNorm_0/scale"]?.shape == [8])
    #expect(file.tensors["embedding/kernel"]?.shape == [4, 4, 3, 8])
    let shapes = try open("fortran.npz").tensors.mapValues(\.shape)
    #expect(shapes["scalar"] == [] && shapes["none"] == [0, 4] && shapes["five"] == [2, 3, 1, 4, 35])
  }

  @Test func types() throws {
    let types = try open("types.npz").tensors.mapValues(\.type)
    let expected: [String: ScalarType] = [
      "f2": .float16, "f4": .float32, "f8": .float64, "i1": .int8, "i2": .int16, "i4": .int32, "i8": .int64,
      "u1": .uint8, "u2": .uint16, "u4": .uint32, "u8": .uint64, "b1": .bool, "bf16": .bfloat16,
    ]
    #expect(types == expected)
    #expect(Set(expected.values).isSuperset(of: try open("big_endian.npz").tensors.values.map(\.type)))
  }

  /// What is as it should be in the file is not copied.
  @Test func storedElementsStayInTheMapping() throws {
    let file = try open("savez.npz")
    let tensor = try #require(file.tensors["cls"])
    func address() throws -> UInt {
      try file.elements(of: tensor).withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
    }
    let first = try file.elements(of: tensor)
    #expect(try first.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) } == address())
    // A copy lives as long as what holds it, and no two are the same.
    let compressed = try open("savez_compressed.npz")
    let (one, two) = (try compressed.elements(of: tensor), try compressed.elements(of: tensor))
    #expect(
      one.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
        != two.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) })
  }

  /// Arrays of other things do not keep the numbers beside them from being read.
  @Test func otherTypes() throws {
    let file = try open("others.npz")
    #expect(file.tensors.keys.sorted() == ["good"])
    #expect(
      file.unreadable.keys.sorted() == ["bytes", "complex", "date", "objects", "record", "text", "wide"])
    for (name, type) in [("objects", "|O"), ("complex", "<c8"), ("text", "<U2"), ("record", "[('x', '<f4')")]
    {
      #expect(try #require(file.unreadable[name]).hasPrefix("it is of type \(type)"), "\(name)")
    }
    let lzma = try open("lzma.npz")
    #expect(lzma.tensors.isEmpty)
    #expect(
      lzma.unreadable["a"] == "it is compressed with LZMA; only stored and deflated zip members are read")
  }

  /// A model that needs an array which cannot be read says so, not that it is missing.
  @Test func unreadableTensorsAreNamed() throws {
    let folder = try TemporaryFolder()
    func array(_ name: String, _ descr: String, _ size: Int) -> ZipBuilder.Member {
      .init(name + ".npy", npy(descr: descr, shape: "(4,)", byteCount: 4 * size))
    }
    let file = try folder.write(
      ZipBuilder(
        array("patch_embed.proj.weight", "'<f4'", 4), array("blocks.0.norm1.weight", "'<f4'", 4),
        array("norm.weight", "'<c8'", 8)
      ).bytes, to: "model.npz")
    let named = try NamedTensors(NpzFile(file), path: file)
    #expect(
      "\(named.missing("norm.weight"))".hasPrefix(
        "\(file): tensor \"norm.weight\": it is of type <c8, which Vitrine does not read"))
    #expect("\(named.missing("norm.bias"))".hasSuffix("tensor \"norm.bias\" is missing"))
    let other = try folder.write(ZipBuilder(array("a", "'|O'", 8)).bytes, to: "other.npz")
    let error = try #require(throws: CheckpointError.self) { try NamedTensors(NpzFile(other), path: other) }
    #expect("\(error)".contains("tensor \"a\": it is of type |O"))
  }

  // MARK: - Headers

  /// The shape that an array with a header is read with, or the message of the error.
  private func header(_ header: String, byteCount: Int = 24, version: [UInt8] = [1, 0]) throws -> String {
    let folder = try TemporaryFolder()
    let array = npy(header, [UInt8](repeating: 0, count: byteCount), version: version)
    let file = try folder.write(ZipBuilder(.init("a.npy", array)).bytes, to: "model.npz")
    do {
      return try NpzFile(file).tensors["a"].map { "\($0.type.rawValue) \($0.shape)" } ?? "unreadable"
    } catch {
      return "\(error)"
    }
  }

  @Test(arguments: [
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }          \n",
    "{'shape':(2,3),'descr':\"<f4\",'fortran_order':True}",
    " { \"fortran_order\" :\tFalse , \n'shape' : ( 2 , 3 , ) , 'descr' : 'f4' , } ",
    "{'descr': '=f4', 'fortran_order': False, 'shape': (2, 3)}",
    "{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3)}",
  ]) func headersInEveryForm(_ text: String) throws {
    for version in [[1, 0], [2, 0], [3, 0]] as [[UInt8]] {
      #expect(try header(text, version: version) == "F32 [2, 3]")
    }
  }

  @Test(arguments: [
    ("'descr': '<f4', 'fortran_order': False, 'shape': (2, 4)", "takes 32 bytes, but the file has 24"),
    ("'descr': '<f4', 'fortran_order': False, 'shape': (5,)", "takes 20 bytes, but the file has 24"),
    ("'descr': '<f8', 'fortran_order': False, 'shape': (2, 3)", "takes 48 bytes"),
    ("'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)", "is not possible"),
    ("'descr': '<f4', 'fortran_order': False, 'shape': (0, 4611686018427387904, 4)", "is not possible"),
    ("'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808,)", "a size that is too large"),
    ("'descr': '<f4', 'fortran_order': False, 'shape': (-6,)", "no size"),
    ("'descr': '<f4', 'fortran_order': False, 'shape': (6)", "no \",\""),
    ("'descr': '<f4', 'fortran_order': False, 'shape': [2, 3]", "no \"(\""),
    ("'descr': '<f4', 'fortran_order': False, 'shape': (2 3)", "no \",\""),
    ("'descr': '<f4', 'fortran_order': False, 'shape': (2, 3", "no \")\""),
    ("'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3)", "neither True nor False"),
    ("'descr': '<f4', 'fortran_order': False", "without one of"),
    ("'descr': '<f4', 'shape': (6,), 'shape': (6,)", "key \"shape\" twice"),
    ("'descr': '<f4', 'fortran_order': False, 'shape': (6,), 'x': 1", "key \"x\""),
    ("'descr': '<f4, 'fortran_order': False, 'shape': (6,)", "header with"),
    ("'descr': [(}], 'fortran_order': False, 'shape': (6,)", "brackets that do not match"),
    ("'descr': '<f4' 'fortran_order': False", "no \"}\""),
    ("'descr': , 'fortran_order': False, 'shape': (6,)", "a value without end"),
    ("'descr': '\\", "a string without end"),
    ("'descr'", "no \":\""), ("'", "a string without end"), ("descr: 1", "no string"),
  ]) func headersThatLie(_ members: String, _ message: String) throws {
    let text = try header("{\(members)}")
    #expect(text.contains(message) && text.contains("tensor \"a\": "), "\(text)")
  }

  @Test func headersBeyondTheLimits() throws {
    let ones = [String](repeating: "1", count: 32).joined(separator: ",")
    let start = "{'descr': '|u1', 'fortran_order': False, 'shape': "
    #expect(try header("\(start)(\(ones))}", byteCount: 1).hasPrefix("U8 [1, 1"))
    #expect(try header("\(start)(\(ones),1)}", byteCount: 1).contains("more than 32 dimensions"))
    let padding = String(repeating: " ", count: 9000)
    #expect(try header("\(start)(24,)}\(padding)") == "U8 [24]")
    #expect(try header("\(start)(24,)}\(padding)\(padding)").contains("above the limit of 10000"))
    #expect(try header("\(start)(24,)}", version: [4, 0]).contains("version 4.0 of numpy's format"))
    #expect(try header("\(start)(24,)}", version: [1, 1]).contains("version 1.1"))
    #expect(try header("{} x").contains("something after its dictionary"))
    #expect(try header(String(repeating: "[", count: 9999)).contains("no \"{\""))
    #expect(try header("{'descr': " + String(repeating: "[", count: 9900)).contains("without end"))
  }

  @Test func headersThatAreNone() throws {
    let folder = try TemporaryFolder()
    func message(_ bytes: [UInt8]) throws -> String {
      let file = try folder.write(ZipBuilder(.init("a.npy", bytes)).bytes, to: "model.npz")
      return "\(try #require(throws: CheckpointError.self) { try NpzFile(file) })"
    }
    #expect(try message([]).contains("magic bytes"))
    #expect(try message(Array("hello, this is a text".utf8)).contains("magic bytes"))
    let whole = npy(shape: "(2, 3)", byteCount: 24)
    for count in whole.indices {
      #expect(try message(Array(whole.prefix(count))).contains("tensor \"a\": "), "cut to \(count)")
    }
    #expect(try message(whole + [0]).contains("takes 24 bytes, but the file has 25"))
  }

  @Test func shapesWithoutElements() throws {
    let folder = try TemporaryFolder()
    let file = try folder.write(
      ZipBuilder(
        .init("none.npy", npy(fortran: "True", shape: "(3, 0, 4)", byteCount: 0)),
        .init("empty.npy", npy(descr: "'>f8'", shape: "(0,)", byteCount: 0)),
        .init("scalar.npy", npy(descr: "'>i4'", shape: "()", byteCount: 4))
      ).bytes, to: "model.npz")
    let npz = try NpzFile(file)
    for (name, count) in [("none", 0), ("empty", 0), ("scalar", 4)] {
      let tensor = try #require(npz.tensors[name])
      #expect(try npz.elements(of: tensor).withUnsafeBytes(\.count) == count)
    }
  }

  /// Every length of a cut file is refused.
  @Test(arguments: ["savez.npz", "savez_compressed.npz", "zip64_directory.npz", "descriptors_zip64.npz"])
  func cutFiles(_ name: String) throws {
    let folder = try TemporaryFolder()
    let file = try folder.copy(Self.folder.appending(name), to: "cut.npz")
    let descriptor = try FileDescriptor.open(file, .readWrite)
    defer { try? descriptor.close() }
    for count in (1..<(try MappedFile(file).count)).reversed() {
      try descriptor.resize(to: Int64(count))
      // `#expect(throws:)` would take a backtrace each time.
      do throws(CheckpointError) {
        _ = try NpzFile(file)
        Issue.record("cut to \(count) bytes, it is read")
      } catch {
        #expect("\(error)".hasPrefix("\(file): "))
      }
    }
  }

  /// A byte changed anywhere gives an error that names the file, or is harmless; it never stops the process.
  @Test(arguments: ["savez.npz", "savez_compressed.npz", "zip64_directory.npz", "descriptors_zip64.npz"])
  func changedFiles(_ name: String) throws {
    let folder = try TemporaryFolder()
    let file = try folder.copy(Self.folder.appending(name), to: "changed.npz")
    let descriptor = try FileDescriptor.open(file, .readWrite)
    defer { try? descriptor.close() }
    let source = try MappedFile(Self.folder.appending(name))
    let whole = Array(source.bytes(in: 0..<source.count))
    var refused = 0
    for (offset, byte) in whole.enumerated() {
      for mask in [0x01, 0x80, 0xFF] as [UInt8] {
        try descriptor.writeAll(toAbsoluteOffset: Int64(offset), [byte ^ mask])
        do throws(CheckpointError) {
          let npz = try NpzFile(file)
          for tensor in npz.tensors.values { _ = try npz.elements(of: tensor) }
        } catch {
          refused += 1
          #expect("\(error)".hasPrefix("\(file): "))
        }
      }
      try descriptor.writeAll(toAbsoluteOffset: Int64(offset), [byte])
    }
    // Dates, versions and attributes may change, and elements that are stored; all else may not.
    #expect(refused > whole.count / 2)
    #expect(try NpzFile(file).tensors.count == 3)
  }
}
