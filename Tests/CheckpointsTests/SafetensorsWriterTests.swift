import Checkpoints
import Foundation
import SystemPackage
import TestSupport
import Testing

@Suite struct SafetensorsWriterTests {
  private func entries(_ folder: TemporaryFolder) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path.string).sorted()
  }

  /// Files of the reference implementation, written again from their tensors, are the same to the byte.
  @Test(arguments: ["hf-vit", "timm-token", "timm-token-f16", "timm-diff-parallel"])
  func writesTheReferenceBytes(_ model: String) throws {
    let source = Fixtures.models.appending(model).appending("model.safetensors")
    let file = try SafetensorsFile(source)
    let folder = try TemporaryFolder()
    let target = folder.path.appending("copy.safetensors")
    let writer = try SafetensorsWriter(
      target, tensors: file.tensors.values.shuffled(), metadata: file.metadata)
    for tensor in writer.tensors {
      try file.elements(of: tensor).withUnsafeBytes { bytes in
        // In two pieces.
        let half = bytes.count / 2
        try writer.append(UnsafeRawBufferPointer(rebasing: bytes[..<half]))
        try writer.append(UnsafeRawBufferPointer(rebasing: bytes[half...]))
      }
    }
    try writer.finish()
    #expect(
      try Data(contentsOf: URL(filePath: target.string)) == Data(contentsOf: URL(filePath: source.string)))
  }

  @Test func ordersByWidthAndName() throws {
    let folder = try TemporaryFolder()
    let writer = try SafetensorsWriter(
      folder.path.appending("x.safetensors"),
      tensors: [
        TensorInfo(name: "b", type: .float16, shape: [1]), TensorInfo(name: "a", type: .float16, shape: [1]),
        TensorInfo(name: "c", type: .float64, shape: [1]), TensorInfo(name: "d", type: .float32, shape: []),
      ])
    #expect(writer.tensors.map(\.name) == ["c", "d", "a", "b"])
  }

  @Test func namesAreEscaped() throws {
    let folder = try TemporaryFolder()
    let path = folder.path.appending("x.safetensors")
    let name = "a\"b\\c\n/\u{e9}"
    let writer = try SafetensorsWriter(path, tensors: [TensorInfo(name: name, type: .uint8, shape: [0])])
    try writer.finish()
    let file = try SafetensorsFile(path)
    #expect(file.tensors[name]?.shape == [0])
    #expect(file.metadata == ["format": "pt"])
  }

  @Test func nothingIsThereUntilItIsWhole() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("what was there", to: "x.safetensors")
    do {
      let writer = try SafetensorsWriter(path, tensors: [TensorInfo(name: "a", type: .uint8, shape: [4])])
      try [1, 2, 3].withUnsafeBytes { try writer.append(UnsafeRawBufferPointer(rebasing: $0[..<3])) }
      #expect {
        try writer.finish()
      } throws: {
        "\($0)" == "\(path): 3 bytes of elements, but the header says 4"
      }
    }
    #expect(try entries(folder) == ["x.safetensors"])
    #expect(try String(contentsOfFile: path.string, encoding: .utf8) == "what was there")
  }

  @Test func whatCannotBe() throws {
    let folder = try TemporaryFolder()
    let twice = TensorInfo(name: "a", type: .float32, shape: [1])
    let vast = TensorInfo(name: "b", type: .float32, shape: [.max, 2])
    for (tensors, reason) in [
      ([twice, twice], "the name is there twice"), ([vast], "is not possible"),
      ([TensorInfo(name: "__metadata__", type: .float32, shape: [1])], "twice"),
    ] {
      #expect {
        _ = try SafetensorsWriter(folder.path.appending("x"), tensors: tensors)
      } throws: {
        "\($0)".contains(reason)
      }
    }
    let nowhere = folder.path.appending("no").appending("x.safetensors")
    #expect {
      _ = try SafetensorsWriter(nowhere, tensors: [twice])
    } throws: {
      $0 as? CheckpointError == .unwritable(path: nowhere, reason: "no such file or directory")
    }
    // A disk that is full.
    if FileManager.default.fileExists(atPath: "/dev/full") {
      #expect(throws: CheckpointError.self) { _ = try SafetensorsWriter("/dev/full/x", tensors: [twice]) }
    }
    #expect(try entries(folder).isEmpty)
  }
}
