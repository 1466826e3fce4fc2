import Checkpoints
import SystemPackage
import TestSupport
import Testing

@Suite struct SafetensorsTests {
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
  }

  private func open(_ bytes: [UInt8]) throws -> SafetensorsFile {
    try SafetensorsFile(folder.write(bytes, to: "model.safetensors"))
  }

  /// The message of the error that opening the file must give.
  private func failure(_ bytes: [UInt8]) throws -> String {
    let error = try #require(throws: CheckpointError.self) { try open(bytes) }
    #expect("\(error)".hasPrefix("\(folder.path)/model.safetensors: "))
    return "\(error)"
  }

  @Test func readsTensors() throws {
    let file = try open(
      SafetensorsBuilder.file([
        .init("a", shape: [2, 3], [1, 2, 3, 4, 5, 6]),
        .init("half", type: "F16", shape: [2], bytes: [0, 0x3C, 0, 0x40]),
        .init("scalar", shape: [], [7]), .init("none", shape: [0, 4], []),
      ]))
    let a = try #require(file.tensors["a"])
    #expect(a.shape == [2, 3] && a.type == .float32 && a.count == 6)
    #expect(
      file.elements(of: a).withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 20, as: Float.self) } == 6)
    let half = try #require(file.tensors["half"])
    #expect(
      half.type == .float16 && file.elements(of: half).withUnsafeBytes(Array.init) == [0, 0x3C, 0, 0x40])
    #expect(try #require(file.tensors["scalar"]).count == 1)
    #expect(try #require(file.tensors["none"]).count == 0)
    #expect(file.metadata.isEmpty)
  }

  @Test func readsMetadata() throws {
    let header = "{\"__metadata__\":{\"format\":\"pt\",\"note\":\"ü \\\"x\\\"\"}}   "
    #expect(
      try open(SafetensorsBuilder.file(header: header, data: [])).metadata == [
        "format": "pt", "note": "ü \"x\"",
      ])
  }

  @Test func emptyAndShortFiles() throws {
    #expect(try failure([]).hasSuffix("the file is empty"))
    #expect(try failure([1, 2, 3]).contains("cut off: 3 bytes"))
  }

  /// Every possible length of a cut file is refused.
  @Test func cutFiles() throws {
    let whole = SafetensorsBuilder.file([.init("a", shape: [2], [1, 2]), .init("b", shape: [3], [3, 4, 5])])
    for count in 8..<whole.count {
      #expect(throws: CheckpointError.self, "cut to \(count) of \(whole.count) bytes") {
        try open(Array(whole.prefix(count)))
      }
    }
    #expect(try failure(Array(whole.dropLast(2))).contains("tensor \"b\": the file is cut off"))
    #expect(
      try failure(whole + [0]).contains(
        "the tensors end at byte \(whole.count), but the file at \(whole.count + 1)"))
  }

  @Test(arguments: [
    (
      "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}",
      "takes 8 bytes, but the header gives it 4"
    ),
    ("\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}", "begin"),
    ("\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}", "no range"),
    ("\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}", "no range"),
    ("\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}", "no range"),
    ("\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}", "not possible"),
    ("\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,8]}", "not possible"),
    (
      "\"a\":{\"dtype\":\"F32\",\"shape\":[2305843009213693950],\"data_offsets\":[0,9223372036854775800]}",
      "cut off"
    ),
    ("\"a\":{\"dtype\":\"Q4\",\"shape\":[8],\"data_offsets\":[0,9]}", "cut off"),
    ("\"a\":{\"dtype\":\"Q4\",\"shape\":[8],\"data_offsets\":[4,8]}", "begin"),
    ("\"a\":{\"dtype\":\"Q4\",\"shape\":[8],\"data_offsets\":[8,0]}", "no range"),
    ("\"a\":{\"dtype\":\"F32\",\"shape\":[0,4611686018427387904,4],\"data_offsets\":[0,0]}", "not possible"),
    ("\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}", "\"shape\" is missing"),
    ("\"a\":{\"dtype\":\"F32\",\"shape\":\"2\",\"data_offsets\":[0,8]}", "shape"),
    ("\"a\":17", "a"),
    // One reader would see the first, another one the second.
    (
      "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"a\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[0,8]}",
      "tensor \"a\": the header has two of this name"
    ),
    (
      "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"\\u0061\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}",
      "tensor \"a\": the header has two of this name"
    ),
    (
      "\"a\":{\"dtype\":\"F32\",\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[0,8]}",
      "field \"dtype\" is there twice"
    ),
    ("\"__metadata__\":{},\"__metadata__\":{}", "\"__metadata__\" is there twice"),
    ("\"__metadata__\":{\"b\":\"\",\"b\":\"\"}", "two entries \"b\""),
    ("\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}", "2.0 is no whole number"),
    (
      "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[18446744073709551612,18446744073709551616]}",
      "no whole number in range"
    ),
    ("\"a\":{\"x\":\(String(repeating: "[", count: 200))", "nested in one another"),
    ("\"\\ud800\":17", "no Unicode"),
    (",", "no name"),
    (
      "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}",
      "begin"
    ),
    ("\"a\":{\"dtype\"", "not valid JSON"),
  ]) func headersThatLie(_ members: String, _ message: String) throws {
    let text = try failure(
      SafetensorsBuilder.file(header: "{\(members)}", data: [UInt8](repeating: 0, count: 8)))
    #expect(text.contains(message), "\(text)")
  }

  /// A tensor of an unknown type is not read, but does not keep the others from being read.
  @Test func unknownTypes() throws {
    let file = try open(
      SafetensorsBuilder.file([
        .init("a", type: "Q4", shape: [8], bytes: [1, 2, 3, 4]), .init("b", shape: [1], [7]),
      ]))
    #expect(file.tensors.keys.sorted() == ["b"])
    let b = try #require(file.tensors["b"])
    #expect(file.elements(of: b).withUnsafeBytes { $0.loadUnaligned(as: Float.self) } == 7)
    #expect(file.unreadable.keys.sorted() == ["a"])
    #expect(
      try #require(file.unreadable["a"]).hasPrefix("it is of type Q4, which Vitrine does not read"))
  }

  @Test func headerLength() throws {
    var bytes = SafetensorsBuilder.file([.init("a", shape: [1], [1])])
    bytes.replaceSubrange(0..<8, with: [UInt8](repeating: 0xFF, count: 8))
    #expect(try failure(bytes).contains("above 100000000"))
    bytes.replaceSubrange(0..<8, with: [0xFF, 0xFF, 0, 0, 0, 0, 0, 0])
    #expect(try failure(bytes).contains("the header ends at byte 65543, the file at \(bytes.count)"))
  }

  @Test func otherFiles() throws {
    #expect(try failure([0x50, 0x4B, 3, 4] + [UInt8](repeating: 0, count: 60)).contains("zip archive"))
    #expect(try failure(ZipBuilder(.init("model/data.pkl", [])).bytes).contains("PyTorch archive"))
    #expect(try failure([0x80, 2] + [UInt8](repeating: 0, count: 60)).contains("pickle"))
    #expect(try failure(Array("version https://git-lfs.github.com/spec/v1\n".utf8)).contains("git lfs pull"))
    #expect(try failure(Array("hello, this is a text".utf8)).contains("not a checkpoint that Vitrine reads"))
  }

  @Test func filesThatAreNone() throws {
    func message(_ path: FilePath) throws -> String {
      "\(try #require(throws: CheckpointError.self) { try SafetensorsFile(path) })"
    }
    #expect(try message(folder.path.appending("nothing")).hasSuffix("/nothing: no such file or directory"))
    #expect(try message(folder.path).hasSuffix("not a regular file"))
  }
}
