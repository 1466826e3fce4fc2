import Checkpoints
import Foundation
import Images
import TestSupport

/// One file of Tests/Fixtures/augmentation.
struct AugmentationFixture {
  let file: SafetensorsFile

  init(_ name: String) throws {
    file = try SafetensorsFile(Fixtures.folder.appending("augmentation/\(name).safetensors"))
  }

  /// JSON of the metadata.
  func metadata<Value: Decodable>(_ key: String, as type: Value.Type) throws -> Value {
    try JSONDecoder().decode(type, from: Data((file.metadata[key] ?? "").utf8))
  }

  func cases<Case: Decodable>(_ type: Case.Type) throws -> [Case] { try metadata("cases", as: [Case].self) }

  private func tensor(_ name: String) throws -> TensorInfo {
    guard let tensor = file.tensors[name] else { throw Missing(name: name) }
    return tensor
  }

  struct Missing: Error { let name: String }

  /// A uint8 [height, width, 3] tensor.
  func image(_ name: String) throws -> Image {
    let tensor = try tensor(name)
    guard tensor.type == .uint8, tensor.shape.count == 3, tensor.shape[2] == 3 else {
      throw Missing(name: name)
    }
    let pixels = file.elements(of: tensor).withUnsafeBytes { Array($0) }
    return Image(width: tensor.shape[1], height: tensor.shape[0], pixels: pixels)
  }

  func source(_ name: String) throws -> Image { try image("source.\(name)") }

  /// A float32 tensor.
  func floats(_ name: String) throws -> (shape: [Int], values: [Float]) {
    let tensor = try tensor(name)
    guard tensor.type == .float32 else { throw Missing(name: name) }
    return (tensor.shape, file.elements(of: tensor).withUnsafeBytes { Array($0.bindMemory(to: Float.self)) })
  }
}

extension Image {
  /// Where two images differ first; nil where they are the same.
  func difference(from other: Image) -> String? {
    guard size == other.size else { return "size \(size), expected \(other.size)" }
    guard let index = pixels.indices.first(where: { pixels[$0] != other.pixels[$0] }) else { return nil }
    let count = pixels.indices.count { pixels[$0] != other.pixels[$0] }
    return "\(count) bytes differ, the first at \(index): \(pixels[index]), expected \(other.pixels[index])"
  }
}
