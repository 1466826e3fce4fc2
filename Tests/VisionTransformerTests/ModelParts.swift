import Checkpoints
import Foundation
import SystemPackage
import TestSupport
import Testing
import VisionTransformer

/// A model of the fixtures, taken apart so that one thing can be changed.
struct ModelParts {
  let folder = Result { try TemporaryFolder() }
  var tensors: [SafetensorsBuilder.Tensor]
  var configuration: String

  init(_ name: String) throws {
    let source = Fixtures.models.appending(name)
    let file = try SafetensorsFile(source.appending("model.safetensors"))
    tensors = file.tensors.values.sorted { $0.name < $1.name }.map {
      .init(
        $0.name, type: $0.type.rawValue, shape: $0.shape,
        bytes: file.elements(of: $0).withUnsafeBytes(Array.init))
    }
    configuration = try String(contentsOfFile: source.appending("config.json").string, encoding: .utf8)
  }

  subscript(name: String) -> SafetensorsBuilder.Tensor? {
    get { tensors.first { $0.name == name } }
    set {
      tensors.removeAll { $0.name == name }
      if let newValue { tensors.append(newValue) }
    }
  }

  func load(_ options: VisionTransformer.Options = .init()) throws -> VisionTransformer {
    let folder = try folder.get()
    try folder.write(SafetensorsBuilder.file(tensors), to: "model.safetensors")
    try folder.write(configuration, to: "config.json")
    let model = try VisionTransformer(Checkpoint(folder.path), options: options)
    return model
  }

  func message(_ options: VisionTransformer.Options = .init()) throws -> String {
    let error = try #require(throws: (any Error).self) { try load(options) }
    let message = "\(error)"
    #expect(!message.contains("\n"))
    return message
  }
}
