import Checkpoints
import Foundation
import SystemPackage
import TestSupport
import Testing

/// Files as torch writes them, made by `scripts/reference/pytorch_fixtures.py`.
@Suite struct PyTorchFixtureTests {
  static let folder = Fixtures.folder.appending("containers/pytorch")

  @Test(arguments: [
    ("plain-protocol-2", "PyTorch archive", nil), ("plain-protocol-4", "PyTorch archive", nil),
    ("plain-protocol-5", "PyTorch archive", nil), ("legacy-protocol-1", "PyTorch pickle", nil),
    ("legacy-protocol-2", "PyTorch pickle", nil), ("legacy-protocol-4", "PyTorch pickle", nil),
    ("newer", "PyTorch archive", nil), ("without-checksums", "PyTorch archive", nil),
    ("deflated", "PyTorch archive", nil),
    ("big-endian", "PyTorch archive", nil),
    ("training", "PyTorch archive", "state_dict_ema"),
    ("training-legacy", "PyTorch pickle", "state_dict_ema"),
    ("nested", "PyTorch archive", "model.state_dict"), ("dictionaries", "PyTorch archive", "model"),
    ("teacher", "PyTorch archive", "teacher"), ("unreadable", "PyTorch archive", nil),
    ("torchscript", "PyTorch archive", "TorchScript module"),
    ("torchscript-traced", "PyTorch archive", "TorchScript module"),
  ])
  func readsAsTorchDoes(name: String, format: String, dictionary: String?) throws {
    let file = try PyTorchFile(Self.folder.appending("\(name).pth"))
    let expected = try SafetensorsFile(Self.folder.appending("\(name).safetensors"))
    #expect(file.format == format)
    #expect(file.metadata == dictionary.map { ["state dictionary": $0] } ?? [:])
    #expect(file.tensors.keys.sorted() == expected.tensors.keys.sorted())
    for (name, tensor) in file.tensors {
      #expect(tensor == expected.tensors[name])
      let bytes = try file.elements(of: tensor).withUnsafeBytes(Array.init)
      let reference = try #require(expected.tensors[name].map(expected.elements(of:)))
      #expect(bytes == reference.withUnsafeBytes(Array.init), "\(name)")
    }
  }

  @Test func saysWhatIsUnreadable() throws {
    let file = try PyTorchFile(Self.folder.appending("unreadable.pth"))
    var unreadable = file.unreadable
    #expect(unreadable.removeValue(forKey: "complex")?.hasPrefix("it is of type ComplexFloatStorage") == true)
    #expect(
      unreadable == [
        "sparse": "it is sparse; save it as a dense tensor",
        "rows": "it is sparse; save it as a dense tensor",
        "quantised": "it is quantised by torch; save the model before it is quantised",
        "meta": "it is a meta tensor: it was saved without its elements",
        "negated": "it is a negated or conjugated view",
      ])
  }

  @Test(arguments: ["module", "module-legacy"])
  func refusesWholeModules(name: String) throws {
    let path = Self.folder.appending("\(name).pth")
    let error = try #require(throws: CheckpointError.self) { try PyTorchFile(path) }
    #expect(
      "\(error)"
        == "\(path): the file holds a whole object of class torch.nn.modules.linear.Linear, which is neither a "
        + "tensor nor a plain container, and nothing from a pickle is ever executed; save the state dictionary "
        + "instead: torch.save(model.state_dict(), ...)")
  }

  /// Tensors that lie in order are used where they are: a view of a part of another one begins within it.
  @Test(arguments: ["plain-protocol-2", "legacy-protocol-2"])
  func sharesStorages(name: String) throws {
    let file = try PyTorchFile(Self.folder.appending("\(name).pth"))
    func address(_ name: String) throws -> Int {
      try file.elements(of: #require(file.tensors[name])).withUnsafeBytes { Int(bitPattern: $0.baseAddress) }
    }
    #expect(try address("rows") == address("base") + 24)
    #expect(try address("tied") == address("parameter"))
  }

  /// Every length of a file that is cut is refused.
  @Test(arguments: ["dictionaries", "legacy-protocol-4", "deflated"])
  func cutFiles(name: String) throws {
    let folder = try TemporaryFolder()
    let path = try folder.copy(Self.folder.appending("\(name).pth"), to: "cut.pth")
    let count = try Data(contentsOf: URL(fileURLWithPath: path.string)).count
    for length in (0..<count).reversed() {
      #expect(truncate(path.string, length) == 0)
      #expect(throws: CheckpointError.self, "cut to \(length) of \(count) bytes") { try PyTorchFile(path) }
    }
  }

  /// Damage anywhere gives an error or other values, but never a crash.
  @Test(arguments: ["dictionaries", "legacy-protocol-4", "training", "torchscript"])
  func damagedFiles(name: String) throws {
    let folder = try TemporaryFolder()
    let whole = try Array(Data(contentsOf: URL(fileURLWithPath: Self.folder.appending("\(name).pth").string)))
    var random = SplitMix64(state: 1)
    var refused = 0
    for _ in 0..<500 {
      var bytes = whole
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      let path = try folder.write(bytes, to: "damaged.pth")
      do {
        let file = try PyTorchFile(path)
        for tensor in file.tensors.values {
          #expect(
            try file.elements(of: tensor).withUnsafeBytes(\.count) == tensor.count * tensor.type.byteCount)
        }
      } catch {
        refused += 1
      }
    }
    #expect(refused > 0)
  }
}
