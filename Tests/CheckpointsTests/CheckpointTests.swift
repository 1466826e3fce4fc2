import Checkpoints
import SystemPackage
import TestSupport
import Testing

@Suite struct CheckpointTests {
  @Test func foldersAndFiles() throws {
    let folder = Fixtures.models.appending("hf-vit")
    let whole = try Checkpoint(folder)
    let file = try Checkpoint(folder.appending("model.safetensors"))
    #expect(whole.configuration?["model_type"]?.string == "vit")
    #expect(whole.preprocessorConfiguration != nil)
    // The weights by their usual name bring the configuration beside them along ...
    #expect(file.configuration == whole.configuration)
    // ... a file of another name stands for itself.
    #expect(try Checkpoint(folder.appending("expected.safetensors")).configuration == nil)
  }

  @Test func shards() throws {
    let sharded = try Checkpoint(Fixtures.models.appending("hf-vit-sharded"))
    let single = try Checkpoint(Fixtures.models.appending("hf-vit"))
    #expect(sharded.container.format == "sharded safetensors")
    #expect(sharded.container.tensors.keys.sorted() == single.container.tensors.keys.sorted())
    for (name, tensor) in single.container.tensors {
      let other = try #require(sharded.container.tensors[name])
      #expect(other.shape == tensor.shape)
      #expect(
        try sharded.container.elements(of: other).withUnsafeBytes(Array.init)
          == single.container.elements(of: tensor).withUnsafeBytes(Array.init), "\(name)")
    }
  }

  /// Shards may be of any kind.
  @Test func shardsOfPyTorch() throws {
    let source = Fixtures.folder.appending("containers/pytorch/plain-protocol-2.pth")
    let single = try Checkpoint(source)
    let folder = try TemporaryFolder()
    try folder.copy(source, to: "pytorch_model-00001-of-00001.bin")
    let map = single.container.tensors.keys.map { "\"\($0)\":\"pytorch_model-00001-of-00001.bin\"" }
    try folder.write("{\"weight_map\":{\(map.joined(separator: ","))}}", to: "pytorch_model.bin.index.json")
    let sharded = try Checkpoint(folder.path)
    #expect(sharded.container.format == "sharded PyTorch archive")
    #expect(sharded.container.tensors == single.container.tensors && !sharded.container.tensors.isEmpty)
  }

  @Test func brokenShards() throws {
    let folder = try TemporaryFolder()
    func message(_ index: String) throws -> String {
      try folder.write(index, to: "model.safetensors.index.json")
      return "\(try #require(throws: CheckpointError.self) { try Checkpoint(folder.path) })"
    }
    try folder.write(SafetensorsBuilder.file([.init("a", shape: [1], [1])]), to: "one.safetensors")
    #expect(
      try message("{\"weight_map\":{\"a\":\"two.safetensors\"}}").contains("two.safetensors: no such file"))
    #expect(try message("{\"weight_map\":{\"b\":\"one.safetensors\"}}").contains("does not hold it"))
    #expect(try message("{\"weight_map\":{\"a\":\"../one.safetensors\"}}").contains("is not a file name"))
    #expect(try message("{\"weight_map\":{\"a\":\"/etc/passwd\"}}").contains("is not a file name"))
    #expect(
      try message("{\"weight_map\":{\"a\":\"model.safetensors.index.json\"}}").contains(
        "not a checkpoint that Vitrine reads"))
    #expect(try message("{\"weights\":{}}").contains("\"weight_map\" is missing"))
    #expect(try message("[1, 2").contains("no object at byte 0"))
  }

  @Test func foldersWithoutAModel() throws {
    let folder = try TemporaryFolder()
    let error = try #require(throws: CheckpointError.self) { try Checkpoint(folder.path) }
    #expect("\(error)".contains("no weights in this folder; expected one of model.safetensors"))
    // A training's folder, say.
    try folder.write("x", to: "best/model.safetensors")
    try folder.write("x", to: "tensorboard/events")
    let inside = try #require(throws: CheckpointError.self) { try Checkpoint(folder.path) }
    #expect(
      "\(inside)".hasSuffix("no weights in this folder, but in those within it: \"best\"; name one of them"))
  }

  /// The contents of a file say what it is, not its name.
  @Test func formats() throws {
    let folder = try TemporaryFolder()
    let safetensors = SafetensorsBuilder.file([.init("a", shape: [1], [1])])
    let npz = ZipBuilder(.init("a.npy", npy(shape: "(1,)", byteCount: 4))).bytes
    func format(_ bytes: [UInt8], _ name: String) throws -> String {
      try Checkpoint(folder.write(bytes, to: name)).container.format
    }
    #expect(try format(safetensors, "model.npz") == "safetensors")
    #expect(try format(npz, "model.safetensors") == "npz")
    #expect(try format(npz, "weights") == "npz")
    func message(_ bytes: [UInt8]) throws -> String {
      let file = try folder.write(bytes, to: "model.bin")
      return "\(try #require(throws: CheckpointError.self) { try Checkpoint(file) })"
    }
    #expect(try message(npy(shape: "(5,)", byteCount: 20)).contains("a single numpy array"))
    #expect(try message(ZipBuilder(.init("readme.txt", [1])).bytes).contains("neither numpy arrays nor"))
    #expect(try message([0x50, 0x4B, 3, 4, 0]).contains("has no end record"))
    #expect(try message(Array("version https://git-lfs.github.com/spec/v1".utf8)).contains("git lfs pull"))
    #expect(try message([1, 2, 3]).hasSuffix("model.bin: not a checkpoint that Vitrine reads"))
    #expect(try message(Array("{\"model\": {\"a\": 1}}\n".utf8)).hasSuffix(": it is text"))
    #expect(try message(Array("<!DOCTYPE html>\n<html>".utf8)).contains("a web page"))
    // A header whose length lies is a damaged safetensors file, and one that is longer than what is looked at, too.
    let long = SafetensorsBuilder.file([.init(String(repeating: "a", count: 300), shape: [1], [1])])
    #expect(try message([UInt8](repeating: 0xFF, count: 8) + long.dropFirst(8)).contains("above 100000000"))
    #expect(
      try message([UInt8](repeating: 0xFF, count: 8) + safetensors.dropFirst(8)).contains("above 100000000"))
  }

  /// A folder with one file of weights under any name, and with several.
  @Test func foldersWithOtherNames() throws {
    let folder = try TemporaryFolder()
    let npz = ZipBuilder(.init("a.npy", npy(shape: "(1,)", byteCount: 4))).bytes
    try folder.write("{\"model_type\":\"vit\"}", to: "config.json")
    try folder.write("no weights", to: ".hidden.npz")
    try folder.write("no weights", to: "folder.pth/readme.txt")
    try folder.write(npz, to: "B_16.npz")
    let checkpoint = try Checkpoint(folder.path)
    #expect(checkpoint.container.format == "npz" && checkpoint.configuration != nil)
    #expect(try Checkpoint(folder.path.appending("B_16.npz")).configuration == nil)
    try folder.write("no weights", to: "optimizer.pt")
    let error = try #require(throws: CheckpointError.self) { try Checkpoint(folder.path) }
    #expect(
      "\(error)"
        == "\(folder.path): several files in this folder could be the weights: \"B_16.npz\", \"optimizer.pt\"; "
        + "name one of them")
    // The usual names go before others, and bring the configuration along.
    try folder.write(npz, to: "pytorch_model.bin")
    #expect(try Checkpoint(folder.path).container.format == "npz")
    #expect(try Checkpoint(folder.path.appending("pytorch_model.bin")).configuration != nil)
    try folder.write(SafetensorsBuilder.file([.init("a", shape: [1], [1])]), to: "model.safetensors")
    #expect(try Checkpoint(folder.path).container.format == "safetensors")
  }

  /// Version 5 of transformers saves the processors of a model in one file, which goes before the older one.
  @Test func processors() throws {
    let folder = try TemporaryFolder()
    try folder.write(SafetensorsBuilder.file([.init("a", shape: [1], [1])]), to: "model.safetensors")
    func edge() throws -> (Int?, String?) {
      let checkpoint = try Checkpoint(folder.path)
      return (
        checkpoint.preprocessorConfiguration?["size"]?.int,
        checkpoint.preprocessorConfigurationPath.lastComponent?.string
      )
    }
    try folder.write("{\"size\": 224}", to: "preprocessor_config.json")
    #expect(try edge() == (224, "preprocessor_config.json"))
    try folder.write("{\"processor_class\": \"CLIPProcessor\"}", to: "processor_config.json")
    #expect(try edge() == (224, "preprocessor_config.json"))
    try folder.write("{\"image_processor\": {\"size\": 336}}", to: "processor_config.json")
    #expect(try edge() == (336, "processor_config.json"))
    try folder.write("{\"image_processor\": ", to: "processor_config.json")
    #expect(throws: CheckpointError.self) { try edge() }
  }

  @Test(arguments: ["last.ckpt", "model_best.pth.tar"]) func namesOfTraining(_ name: String) throws {
    let folder = try TemporaryFolder()
    try folder.copy(Fixtures.folder.appending("containers/pytorch/plain-protocol-2.pth"), to: name)
    #expect(try Checkpoint(folder.path).container.format == "PyTorch archive")
  }

  @Test func brokenConfiguration() throws {
    let folder = try TemporaryFolder()
    try folder.write(SafetensorsBuilder.file([.init("a", shape: [1], [1])]), to: "model.safetensors")
    try folder.write("{\"architecture\": ", to: "config.json")
    let error = try #require(throws: CheckpointError.self) { try Checkpoint(folder.path) }
    #expect("\(error)".contains("config.json: not valid JSON"))
  }
}
