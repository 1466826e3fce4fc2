import Foundation
import Images
import TestSupport

/// A fixture that is not as the script that wrote it says.
struct FixtureError: Error, CustomStringConvertible {
  let description: String
}

/// One file of Tests/Fixtures/images: named arrays and the text that travels with them.
struct ImageFixture {
  struct Tensor {
    let type: String
    let shape: [Int]
    let bytes: [UInt8]

    /// A uint8 [height, width, 3] tensor.
    var image: Image {
      get throws {
        guard type == "U8", shape.count == 3, shape[2] == 3 else {
          throw FixtureError(description: "\(type) \(shape) is no image")
        }
        return Image(width: shape[1], height: shape[0], pixels: bytes)
      }
    }

    /// The elements of a float32 or uint8 tensor as numbers.
    var floats: [Float] {
      get throws {
        switch type {
        case "U8":
          return bytes.map(Float.init)
        case "F32":
          return bytes.withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
          }
        default:
          throw FixtureError(description: "no numbers of type \(type)")
        }
      }
    }
  }

  let tensors: [String: Tensor]
  let metadata: [String: String]

  /// Reads `Tests/Fixtures/images/NAME.safetensors`.
  init(_ name: String) throws {
    let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let data = try Data(contentsOf: folder.appending(path: "Fixtures/images/\(name).safetensors"))
    let length = data.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    let header = try JSONSerialization.jsonObject(with: data.dropFirst(8).prefix(length))
    guard let entries = header as? [String: [String: Any]] else {
      throw FixtureError(description: "\(name): no header")
    }
    var tensors: [String: Tensor] = [:]
    for (key, entry) in entries where key != "__metadata__" {
      guard let type = entry["dtype"] as? String, let shape = entry["shape"] as? [Int],
        let offsets = entry["data_offsets"] as? [Int], offsets.count == 2
      else { throw FixtureError(description: "\(name): \(key) has no type, shape or place") }
      let bytes = data.dropFirst(8 + length + offsets[0]).prefix(offsets[1] - offsets[0])
      tensors[key] = Tensor(type: type, shape: shape, bytes: Array(bytes))
    }
    self.tensors = tensors
    metadata = entries["__metadata__"] as? [String: String] ?? [:]
  }

  func tensor(_ name: String) throws -> Tensor {
    guard let tensor = tensors[name] else { throw FixtureError(description: "no tensor \(name)") }
    return tensor
  }

  /// Names of tensors that end so, without the ending, in order.
  func names(endingIn suffix: String) -> [String] {
    tensors.keys.filter { $0.hasSuffix(suffix) }.map { String($0.dropLast(suffix.count)) }.sorted()
  }
}

extension Image {
  /// Every pixel by lot.
  static func noise(width: Int, height: Int, seed: UInt64) -> Image {
    var generator = SplitMix64(state: seed)
    let pixels = (0..<width * height * 3).map { _ in UInt8.random(in: 0...255, using: &generator) }
    return Image(width: width, height: height, pixels: pixels)
  }
}

/// What a decoder is fed to be provoked.
extension [UInt8] {
  /// An eXIf or other chunk in front of the pixel data of a PNG. Its checksum is wrong, which nobody asks
  /// for.
  func insertingPNGChunk(_ name: String, _ payload: [UInt8]) -> [UInt8] {
    let length = (0..<4).map { UInt8(truncatingIfNeeded: payload.count >> (24 - 8 * $0)) }
    return Array(self[..<33]) + length + Array(name.utf8) + payload + [0, 0, 0, 0] + Array(self[33...])
  }

  /// A segment behind the start marker of a JPEG.
  func insertingJPEGSegment(_ marker: UInt8, _ payload: [UInt8]) -> [UInt8] {
    let length = payload.count + 2
    let header = [0xFF, marker, UInt8(length >> 8), UInt8(length & 0xFF)]
    return Array(self[..<2]) + header + payload + Array(self[2...])
  }
}
