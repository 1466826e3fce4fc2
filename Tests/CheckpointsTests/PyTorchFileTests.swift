import Checkpoints
import SystemPackage
import TestSupport
import Testing

/// Descriptions of tensors that are true, and others.
@Suite struct PyTorchFileTests {
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
  }

  private func open(_ bytes: [UInt8]) throws -> PyTorchFile {
    try PyTorchFile(folder.write(bytes, to: "model.pth"))
  }

  private func failure(_ bytes: [UInt8]) throws -> String {
    "\(try #require(throws: CheckpointError.self) { try open(bytes) })"
  }

  private func values(_ name: String, in file: PyTorchFile) throws -> [Float] {
    try file.elements(of: #require(file.tensors[name])).withUnsafeBytes { bytes in
      (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    }
  }

  /// An archive and a file of the older layout with one tensor "a" of a storage of six numbers.
  private func files(
    _ storage: PickleItem = .storage("0", count: 6), offset: Int = 0, size: [Int], stride: [Int]
  ) -> [[UInt8]] {
    let object = PickleItem.dict([("a", .tensor(storage, offset: offset, size: size, stride: stride))])
    let bytes = floats([1, 2, 3, 4, 5, 6])
    return [
      PyTorchWriter.archive(object, storages: ["0": bytes]),
      PyTorchWriter.legacy(object, storages: [("0", 6, bytes)]),
    ]
  }

  // MARK: - Views of storages

  @Test(
    arguments: [
      (0, [2, 3], [3, 1], [1, 2, 3, 4, 5, 6]), (0, [3, 2], [1, 3], [1, 4, 2, 5, 3, 6]),
      (1, [2, 2], [3, 1], [2, 3, 5, 6]),
      (5, [], [], [6]), (0, [2, 2], [0, 4], [1, 5, 1, 5]), (0, [1, 6], [99, 1], [1, 2, 3, 4, 5, 6]),
      (6, [0], [1], []),
      (0, [3, 0, 2], [1, 1, 1], []), (2, [2, 1, 2], [1, 7, 2], [3, 5, 4, 6]),
    ] as [(Int, [Int], [Int], [Float])])
  func views(offset: Int, size: [Int], stride: [Int], expected: [Float]) throws {
    for bytes in files(offset: offset, size: size, stride: stride) {
      let file = try open(bytes)
      #expect(file.tensors["a"]?.shape == size)
      #expect(try values("a", in: file) == expected)
    }
  }

  @Test(
    arguments: [
      (1, [2, 3], [3, 1], "reach beyond its storage of 6 elements"), (6, [1], [1], "reach beyond"),
      (0, [7], [1], "reach beyond"),
      (0, [2], [6], "reach beyond"), (0, [2, 2], [Int.max, Int.max], "reach beyond"),
      (Int.max, [1], [1], "reach beyond"),
      (Int.max, [0], [1], "reach beyond"), (7, [0], [1], "reach beyond"), (0, [3], [1 << 62], "reach beyond"),
      (-1, [2], [1], "the storage offset -1 is negative"), (0, [2], [-1], "the stride [-1] is negative"),
      (0, [-1], [1], "the size [-1] is not possible"), (0, [1 << 62, 4], [0, 0], "is not possible"),
      (0, [1 << 62, 4, 0], [0, 0, 0], "is not possible"),
      (0, [2], [1, 1], "the size [2] and stride [1, 1] differ"),
      (0, [1 << 25], [0], "repeats a storage of 24 bytes to 134217728, which is no weight"),
      (
        0, [Int](repeating: 1, count: 17), [Int](repeating: 1, count: 17),
        "no storage, offset, size and stride"
      ),
    ] as [(Int, [Int], [Int], String)])
  func falseViews(offset: Int, size: [Int], stride: [Int], reason: String) throws {
    for bytes in files(offset: offset, size: size, stride: stride) {
      let message = try failure(bytes)
      #expect(message.contains("tensor \"a\": ") && message.contains(reason))
    }
  }

  // MARK: - Storages

  @Test func storagesThatAreNotThere() throws {
    let tensor = PickleItem.dict([("a", .tensor(.storage("7", count: 6), size: [2], stride: [1]))])
    #expect(
      try failure(PyTorchWriter.archive(tensor, storages: ["0": floats([1])])).contains(
        "tensor \"a\": its storage \"7\" is not in the file"))
    #expect(
      try failure(PyTorchWriter.legacy(tensor, storages: [])).contains("its storage \"7\" is not in the file")
    )
    #expect(
      try failure(PyTorchWriter.legacy(tensor, storages: [("8", 1, floats([1]))])).contains(
        "belongs to no tensor"))
    #expect(
      try failure(
        PyTorchWriter.legacy(tensor, storages: [("7", 6, floats([1, 2, 3, 4, 5, 6])), ("7", 0, [])])
      ).contains("is there twice"))
  }

  @Test func storagesOfOtherSizes() throws {
    let tensor = PickleItem.dict([("a", .tensor(.storage("0", count: 6), size: [2], stride: [1]))])
    #expect(
      try failure(PyTorchWriter.archive(tensor, storages: ["0": floats([1, 2])])).contains(
        "its storage \"0\" has 8 bytes, but its description says 24"))
    #expect(
      try failure(PyTorchWriter.legacy(tensor, storages: [("0", 2, floats([1, 2]))])).contains(
        "its storage \"0\" has 8 bytes, but its description says 24"))
    for count in [7, 1 << 61, 1 << 62, Int.max, -1] {
      #expect(
        try failure(PyTorchWriter.legacy(tensor, storages: [("0", count, floats([1, 2, 3, 4, 5, 6]))]))
          .contains(
            "storage \"0\" of the PyTorch pickle is cut off"))
    }
    for count in [-1, 1 << 62, Int.max] {
      for bytes in files(.storage("0", count: count), size: [2], stride: [1]) {
        let message = try failure(bytes)
        #expect(message.contains("tensor \"a\": ") || message.contains("storage \"0\" of the PyTorch pickle"))
      }
    }
  }

  /// torch before 0.4 named parts of storages: a key, where the part begins and how many elements it has.
  @Test func viewsOfStorages() throws {
    func object(_ offset: Int, _ count: Int, _ first: Int = 0) -> PickleItem {
      .dict([
        ("whole", .tensor(.storage("0", count: 6, view: PickleItem.none), size: [6], stride: [1])),
        (
          "part",
          .call(
            .global("torch._utils", "_rebuild_tensor"),
            [
              .storage("0", count: 6, view: .tuple(["1", .int(offset), .int(count)])), .int(first),
              .tuple([2]), .tuple([1]),
            ])
        ),
      ])
    }
    let storages = [("0", 6, floats([1, 2, 3, 4, 5, 6]))]
    let file = try open(PyTorchWriter.legacy(object(2, 3, 1), storages: storages))
    #expect(try values("whole", in: file) == [1, 2, 3, 4, 5, 6])
    #expect(try values("part", in: file) == [4, 5])
    for (offset, count, first) in [
      (5, 2, 0), (2, 3, 2), (-1, 3, 0), (0, -1, 0), (Int.max, 3, 0), (3, Int.max, 0), (1 << 61, 2, 0),
    ] {
      #expect(
        try failure(PyTorchWriter.legacy(object(offset, count, first), storages: storages)).contains(
          "tensor \"part\""))
    }
  }

  @Test func storageClasses() throws {
    for (type, scalar) in [("cuda.FloatStorage", ScalarType.float32), ("IntStorage", .int32)] {
      let file = try open(
        files(.storage("0", count: 6, type: type, location: "cuda:0"), size: [6], stride: [1])[0])
      #expect(file.tensors["a"]?.type == scalar)
    }
    let file = try open(files(.storage("0", count: 1, type: "Float3Storage"), size: [1], stride: [1])[0])
    #expect(
      file.unreadable["a"]?.hasPrefix("it is of type Float3Storage, which Vitrine does not read") == true)
    let other = PickleItem.persistent(.tuple(["storage", .global("os", "FloatStorage"), "0", "cpu", 6]))
    #expect(
      try failure(files(other, size: [6], stride: [1])[0]).contains("no storage, offset, size and stride"))
    #expect(
      try failure(files(.persistent("0"), size: [6], stride: [1])[0]).contains(
        "no storage, offset, size and stride"))
  }

  // MARK: - Files

  /// The contents choose the reader; what looks like a pickle of a protocol without signature is none by its looks alone.
  @Test func recognised() throws {
    func format(_ bytes: [UInt8]) throws -> String {
      try Checkpoint(folder.write(bytes, to: "model.bin")).container.format
    }
    let files = files(size: [6], stride: [1])
    #expect(try files.map(format) == ["PyTorch archive", "PyTorch pickle"])
    for attack in [
      "cposix\nsystem\n(S'true'\ntR.", "(S'true'\niposix\nsystem\n.", "(cposix\nsystem\nS'true'\no.",
    ] {
      let error = try #require(throws: CheckpointError.self) { try format(Array(attack.utf8)) }
      #expect("\(error)".contains("posix.system, which is neither a tensor nor a plain container"))
    }
    for text in ["color,size\n1,2\n", "c\n", "a text", "caption of\nan image"] {
      let error = try #require(throws: CheckpointError.self) { try format(Array(text.utf8)) }
      #expect("\(error)".hasSuffix("not a checkpoint that Vitrine reads: it is text"))
    }
  }

  @Test func otherVersions() throws {
    #expect(
      try failure(PyTorchWriter.legacy(.dict([]), storages: [], version: 1002)).hasSuffix(
        "the version of the PyTorch pickle is not 1001, the only one there is"))
  }

  @Test func tarArchives() throws {
    var bytes = [UInt8](repeating: 0, count: 1024)
    bytes.replaceSubrange(257..<262, with: Array("ustar".utf8))
    #expect(try failure(bytes).contains("it is a tar archive, as torch before 0.1.10 wrote"))
  }

  @Test func byteOrderThatIsNone() throws {
    #expect(
      try failure(
        PyTorchWriter.archive([("a/data.pkl", PickleItem.dict([]).file), ("a/byteorder", [])])
      ).contains("the byte order is \"\", expected little or big"))
  }

  /// The first of the known places that holds tensors is the state dictionary.
  @Test func choosesTheStateDictionary() throws {
    let tensors = ["state_dict_ema", "model_ema", "state_dict", "model", "teacher"].enumerated().map {
      index, key in
      let tensor = PickleItem.tensor(.storage("0", count: 6), offset: index, size: [1], stride: [1])
      return (PickleItem.string(key), PickleItem.dict([("a", tensor)]))
    }
    for start in 0..<5 {
      let others: [(PickleItem, PickleItem)] = [("epoch", 3), ("args", .none)]
      let empty = tensors[..<start].enumerated().map {
        ($1.0, $0.isMultiple(of: 2) ? PickleItem.none : .dict([("x", 1)]))
      }
      let object = PickleItem.dict(others + tensors[start...].reversed() + empty)
      let file = try open(PyTorchWriter.archive(object, storages: ["0": floats([1, 2, 3, 4, 5, 6])]))
      #expect(try values("a", in: file) == [Float(start + 1)])
      guard case .string(let key) = tensors[start].0 else { continue }
      #expect(file.metadata == ["state dictionary": key])
    }
  }

  /// Under a name of one's own it is found where nothing else could be meant: an optimizer keeps its tensors further down.
  @Test func stateDictionariesUnderOtherNames() throws {
    func tensors(_ offset: Int) -> PickleItem {
      .dict([("a", .tensor(.storage("0", count: 6), offset: offset, size: [1], stride: [1]))])
    }
    let storages = ["0": floats([1, 2, 3, 4, 5, 6])]
    let optimizer = PickleItem.dict([("state", .dict([(.int(0), tensors(3))])), ("param_groups", .list([]))])
    let members: [(PickleItem, PickleItem)] = [
      ("epoch", 3), ("optimizer_state_dict", optimizer), ("model_state_dict", tensors(1)),
    ]
    let file = try open(PyTorchWriter.archive(.dict(members), storages: storages))
    #expect(try values("a", in: file) == [2])
    #expect(file.metadata == ["state dictionary": "model_state_dict"])
    let several = PickleItem.dict(members + [("student", tensors(2))])
    #expect(
      try failure(PyTorchWriter.archive(several, storages: storages)).hasSuffix(
        "several members could be the state dictionary: \"model_state_dict\", \"student\"; save the right one on its own"
      ))
    let none = PickleItem.dict([("epoch", 3), ("optimizer", optimizer)])
    #expect(
      try failure(PyTorchWriter.archive(none, storages: storages)).contains(
        "no state dictionary was found: the file's keys are \"epoch\", \"optimizer\", expected tensors or one of state_dict_ema"
      ))
  }
}
