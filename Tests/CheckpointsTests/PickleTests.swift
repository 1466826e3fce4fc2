import Checkpoints
import SystemPackage
import TestSupport
import Testing

/// Pickles that nobody's `torch.save` wrote.
@Suite struct PickleTests {
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
  }

  private func open(_ bytes: [UInt8]) throws -> PyTorchFile {
    try PyTorchFile(folder.write(bytes, to: "model.pth"))
  }

  /// The message of the error that opening the file must give.
  private func failure(_ bytes: [UInt8]) throws -> String {
    let path = try folder.write(bytes, to: "model.pth")
    let message = "\(try #require(throws: CheckpointError.self) { try PyTorchFile(path) })"
    #expect(message.hasPrefix("\(path): "))
    return message
  }

  private func values(_ name: String, in file: PyTorchFile) throws -> [Float] {
    try file.elements(of: #require(file.tensors[name])).withUnsafeBytes { bytes in
      (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    }
  }

  private func pickle(_ text: String) -> [UInt8] { Array(text.utf8) }

  // MARK: - Code

  @Test func refusesCode() throws {
    let attacks: [(String, [UInt8])] = [
      ("posix.system", pickle("cposix\nsystem\n(S'true'\ntR.")),
      ("posix.system", PickleItem.dict([("a", .call(.global("posix", "system"), ["true"]))]).file),
      ("os.system", pickle("(S'true'\nios\nsystem\n.")),
      ("os.system", pickle("(cos\nsystem\nS'true'\no.")),
      ("builtins.eval", PickleItem.call(.global("builtins", "eval"), ["1"]).file),
      ("builtins.getattr", PickleItem.call(.global("builtins", "getattr"), ["a", "b"]).file),
      (
        "builtins.exec",
        [0x80, 4] + PickleItem.global("builtins", "exec").bytes + pickle(")}") + [0x92, 0x2E]
      ),
      ("subprocess.Popen", [0x80, 2] + PickleItem.global("subprocess", "Popen").bytes + [0x29, 0x81, 0x2E]),
      ("torch.load", PickleItem.call(.global("torch", "load"), ["a"]).file),
      (
        "torch._utils._rebuild_device_tensor_from_numpy",
        PickleItem.call(.global("torch._utils", "_rebuild_device_tensor_from_numpy"), []).file
      ),
      // The name is put together on the stack, from strings that were remembered.
      (
        "posix.system",
        [0x80, 4, 0x8C, 5] + pickle("posix") + [0x94, 0x30, 0x8C, 6] + pickle("system")
          + [0x94, 0x30, 0x68, 0, 0x68, 1, 0x93] + PickleItem.tuple(["true"]).bytes + pickle("R.")
      ),
      // A function that calls another, a factory, and a class that is named as an argument.
      (
        "posix.system",
        PickleItem.call(
          .global("torch._tensor", "_rebuild_from_type_v2"), [.global("posix", "system"), 1, 2, 3]
        ).file
      ),
      (
        "posix.system",
        PickleItem.call(.global("collections", "defaultdict"), [.global("posix", "system")]).file
      ),
      (
        "posix.system",
        PickleItem.call(.global("copy_reg", "_reconstructor"), [.global("posix", "system"), 1, .none]).file
      ),
    ]
    for (name, bytes) in attacks {
      let message = try failure(bytes)
      #expect(message.contains(" \(name), which is neither a tensor nor a plain container"), "\(name)")
      #expect(message.hasSuffix("torch.save(model.state_dict(), ...)"))
    }
  }

  /// A name alone does nothing, so that classes may stand among a run's settings.
  @Test func namesAreHarmless() throws {
    let file = try open(
      PyTorchWriter.archive(
        .dict([
          ("class", .global("posix", "system")),
          ("a", .tensor(.storage("0", count: 1), size: [1], stride: [1])),
        ]),
        storages: ["0": floats([3])]))
    #expect(try values("a", in: file) == [3])
  }

  @Test(
    arguments: [
      ([0x80, 2, 0x82, 1, 0x2E], "ext1"), ([0x80, 5, 0x97, 0x2E], "nextBuffer"),
      ([0x80, 5, 0x4E, 0x98, 0x2E], "readonlyBuffer"),
    ] as [([UInt8], String)])
  func refusesInstructions(bytes: [UInt8], name: String) throws {
    #expect(try failure(bytes).contains("the instruction \(name) does not occur in checkpoints"))
  }

  // MARK: - Size

  @Test(arguments: [10_000, 1_000_000])
  func nestedDeeply(depth: Int) throws {
    func repeated(_ text: String) -> [UInt8] { Array(repeatElement(pickle(text), count: depth).joined()) }
    let namespace = PickleItem.global("argparse", "Namespace").bytes + pickle("q\u{1}0")
    for bytes in [
      // Lists, tuples and dictionaries, each with its mark and without.
      repeated("](") + repeated("e"), repeated("]") + repeated("a"), repeated("(") + repeated("l"),
      repeated("(") + repeated("t"), pickle(")") + [UInt8](repeating: 0x85, count: depth),
      repeated("}(N") + pickle("N") + repeated("u"), repeated("}N") + pickle("N") + repeated("s"),
      repeated("(N") + pickle("N") + repeated("d"),
      // Objects: each is the state of the next one.
      namespace + pickle("N")
        + Array(repeatElement(pickle("q\u{0}0h\u{1})") + [0x81] + pickle("h\u{0}b"), count: depth).joined()),
    ] {
      let message = try failure([0x80, 2] + bytes + pickle("."))
      #expect(
        message.contains("more than 1000 values nested in one another")
          || depth > 10_000 && message.contains("the pickle holds too much"))
    }
  }

  /// Each dictionary holds the one before it twice, so that there are 2^59 ways to the innermost one.
  @Test(arguments: [
    (
      PickleItem.tensor(.storage("0", count: 1), size: [1], stride: [1]),
      "the state dictionary has more than 16384 tensors"
    ),
    (.none, "the state dictionary has more than 262144 entries"),
  ])
  func billionLaughs(innermost: PickleItem, reason: String) throws {
    var bytes = PickleItem.dict([("t", innermost)]).bytes + [0x71, 0]
    for level in 1..<60 {
      bytes += pickle("0}(") + PickleItem.string("a").bytes + [0x68, UInt8(level - 1)]
      bytes += PickleItem.string("b").bytes + [0x68, UInt8(level - 1)] + pickle("u") + [0x71, UInt8(level)]
    }
    let message = try failure(
      PyTorchWriter.archive(.dict([("model", .raw(bytes))]), storages: ["0": floats([3])]))
    #expect(message.contains(reason))
  }

  /// Many entries, looked through again and again for a state dictionary that is not there.
  @Test func manyEntries() throws {
    let entries = [UInt8](repeatElement([0x68, 9, 0x4E], count: 400_000).joined())
    let inner = pickle("}(") + entries + pickle("u") + [0x71, 8]
    let keys = ["state_dict_ema", "model_ema", "state_dict", "model", "teacher"]
    let object = keys.flatMap { PickleItem.string($0).bytes + ($0 == keys[0] ? inner : [0x68, 8]) }
    let message = try failure(
      PyTorchWriter.archive([
        (
          "a/data.pkl",
          [0x80, 2] + PickleItem.string("state_dict_emb").bytes + [0x71, 9] + pickle("0}(") + object
            + pickle("u.")
        )
      ]))
    #expect(message.contains("the state dictionary has more than 262144 entries"))
  }

  @Test func containsItself() throws {
    let bytes = pickle("}q\u{0}(") + PickleItem.string("self").bytes + pickle("h\u{0}u")
    #expect(
      try failure(PyTorchWriter.archive(.dict([("model", .raw(bytes))]))).contains(
        "contains itself at \"self\""))
    // A list within itself is nothing to look into.
    #expect(try failure([0x80, 2] + pickle("]q\u{0}h\u{0}a.")).contains("pickle of a list"))
  }

  @Test(arguments: [
    ("N", "values on its stack"), ("}0", "values"), ("]0", "values"), ("K\u{1}0", "values"),
    (")0}(NNNNu0", "items"),
  ])
  func tooMuch(text: String, what: String) throws {
    let repeated = Array(repeatElement(pickle(text), count: 3_000_000).joined())
    let message = try failure([0x80, 2] + repeated + pickle("."))
    #expect(message.contains("the pickle holds too much at byte ") && message.contains(what))
  }

  @Test(
    arguments: [
      // Strings, bytes and numbers that are longer than the file.
      [0x58, 0xFF, 0xFF, 0xFF, 0xFF], [0x8D] + [UInt8](repeating: 0xFF, count: 8),
      [0x8D, 0, 0, 0, 0, 0, 0, 0, 0x7F],
      [0x8E] + [UInt8](repeating: 0xFF, count: 8), [0x96, 9, 0, 0, 0, 0, 0, 0, 0],
      [0x54, 0xFF, 0xFF, 0xFF, 0xFF],
      [0x54, 9, 0, 0, 0], [0x8B, 0xFF, 0xFF, 0xFF, 0xFF], [0x8B, 9, 0, 0, 0], [0x8A, 9], [0x8C, 9],
      [0x43, 9], [0x42, 9, 0, 0, 0],
      [0x95] + [UInt8](repeating: 0xFF, count: 8), [0x95, 0xFF, 0, 0, 0, 0, 0, 0, 0], [0x47, 0], [0x4A, 0],
      [0x4D, 0], [0x55, 3],
      // What is not there.
      Array("0".utf8), Array("1".utf8), Array("t".utf8), Array("e".utf8), Array("u".utf8), Array("Na".utf8),
      Array("]Ns".utf8),
      Array("]NNs".utf8), Array("N2".utf8) + [0x85, 0x87], Array("R".utf8), Array("NNR".utf8),
      Array("NNb".utf8), Array("o".utf8),
      Array("(o".utf8), Array("Q".utf8), [0x93], [0x4E, 0x4E, 0x93], [0x81], Array("}(Nu".utf8),
      Array("(Nd".utf8), Array("]Nb".utf8),
      Array("(N}a".utf8), Array("N(Na".utf8),
      // The memo.
      [0x68, 0], Array("g0\n".utf8), Array("g-1\n".utf8), Array("Np-1\n".utf8),
      Array("Np99999999999999999999\n".utf8),
      [0x4E, 0x72, 0xFF, 0xFF, 0xFF, 0xFF], [0x6A, 0, 0, 0, 0x80], Array("q0".utf8), [0x94],
      // Text that is no number, no string, and has no end.
      Array("Ix\n".utf8), Array("I\n".utf8), Array("L-\n".utf8), Array("Fx\n".utf8), Array("Sx\n".utf8),
      Array("S'\n".utf8),
      Array("Va".utf8), Array("cos".utf8), Array("cos\nx".utf8), Array("P".utf8), [0xFF], [0x80, 6],
      // No end.
      Array("N".utf8), [],
    ] as [[UInt8]])
  func damaged(bytes: [UInt8]) throws {
    #expect(try failure([0x80, 4] + bytes).contains("the pickle is damaged at byte "))
  }

  // MARK: - Values

  /// Numbers and strings of each protocol end up as the same names.
  @Test func readsEveryKindOfString() throws {
    let tensor = PickleItem.tensor(.storage("0", count: 1), size: [], stride: [])
    let names: [(String, [UInt8])] = [
      ("plain", pickle("S'plain'\n")), ("a\nb\\c'\u{E9}", pickle("S'a\\nb\\\\c\\'\\xe9'\n")),
      ("u\u{E9}\u{1F600}\\x", pickle("Vu\\u00e9\\U0001F600\\x\n")), ("T", pickle("T\u{1}\u{0}\u{0}\u{0}T")),
      ("U", pickle("U\u{1}U")),
      ("ü", PickleItem.string("ü").bytes), ("short", [0x8C, 5] + pickle("short")),
      ("long", [0x8D] + little(UInt64(4)) + pickle("long")), ("1", pickle("I1\n")), ("-2", pickle("L-2L\n")),
      ("255", [0x4B, 0xFF]), ("513", pickle("M\u{1}\u{2}")),
      ("-3", [0x4A] + little(Int32(-3))), ("-4", [0x8A, 1, 0xFC]), ("0", [0x8A, 0]),
      ("65536", [0x8B, 3, 0, 0, 0, 0, 0, 1]),
    ]
    let file = try open(
      PyTorchWriter.archive(.dict(names.map { (.raw($0.1), tensor) }), storages: ["0": floats([3])]))
    #expect(file.tensors.keys.sorted() == names.map(\.0).sorted())
  }

  @Test func namesThatAreNone() throws {
    let tensor = PickleItem.tensor(.storage("0", count: 1), size: [], stride: [])
    let cases: [(PickleItem, String)] = [
      (.none, "has None as a key"), (.tuple([1]), "has a tuple as a key"),
      (.string(String(repeating: "a", count: 5000)), "a name of more than 512 bytes"),
    ]
    for (key, reason) in cases {
      #expect(
        try failure(PyTorchWriter.archive(.dict([(key, tensor)]), storages: ["0": floats([3])])).contains(
          reason))
    }
    #expect(
      try failure(
        PyTorchWriter.archive(
          .dict([(.string("a.b"), tensor), (.string("a"), .dict([(.string("b"), tensor)]))]),
          storages: ["0": floats([3])])
      ).hasSuffix("tensor \"a.b\": the state dictionary has two of this name"))
  }

  @Test func noStateDictionary() throws {
    #expect(
      try failure(PyTorchWriter.archive(.dict([("epoch", 1), ("weights", .dict([])), (.int(3), .none)])))
        .hasSuffix(
          "no state dictionary was found: the file's keys are \"epoch\", \"weights\", \"3\", expected tensors or one of "
            + "state_dict_ema, model_ema, state_dict, model, teacher"))
    #expect(
      try failure(PyTorchWriter.archive(.list([1]))).contains("the file holds a list, not a state dictionary")
    )
    #expect(try failure(PyTorchWriter.archive([("a/b.pkl", [1])])).contains("no data.pkl"))
    #expect(
      try failure(PickleItem.dict([]).file).contains(
        "it is a Python pickle of a dictionary, but not one that torch"))
  }
}
