import Checkpoints
import Foundation
import SystemPackage

/// What `scripts/reference` made, and folders for what tests make.
public enum Fixtures {
  public static let folder = FilePath(#filePath).removingLastComponent().removingLastComponent().appending(
    "Fixtures")
  public static let models = folder.appending("models")
  /// The names of the models there.
  public static let modelNames: [String] =
    ((try? FileManager.default.contentsOfDirectory(atPath: models.string)) ?? [])
    .filter { !$0.hasPrefix(".") && !$0.hasSuffix(".md") }.sorted()
  /// The project's own folder.
  public static let project = folder.removingLastComponent().removingLastComponent()

  /// A model of the fixtures: the folder where it has a configuration, else the one checkpoint in it.
  public static func checkpoint(_ name: String) throws -> Checkpoint {
    let folder = models.appending(name)
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.string)
    let checkpoints = files.filter { !$0.hasPrefix("expected") && !$0.hasSuffix(".json") }
    guard !files.contains("config.json"), checkpoints.count == 1 else { return try Checkpoint(folder) }
    return try Checkpoint(folder.appending(checkpoints[0]))
  }

  /// The float32 tensors of a safetensors file.
  public static func tensors(_ path: FilePath) throws -> [String: [Float]] {
    let file = try SafetensorsFile(path)
    return file.tensors.mapValues { tensor in
      file.elements(of: tensor).withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }
  }
}

/// How far a result is from its reference.
public struct Deviation: CustomStringConvertible {
  /// Largest absolute difference; NaN or infinite where a value is, or where the lengths differ.
  public let largest: Float
  public let index: Int
  public let expected: Float
  public let actual: Float

  public init(_ actual: [Float], from reference: [Float]) {
    var worst = (difference: actual.count == reference.count ? Float(0) : .infinity, index: 0)
    for index in 0..<min(actual.count, reference.count) {
      let difference = abs(actual[index] - reference[index])
      // NaN is worse than anything.
      if !(difference <= worst.difference) { worst = (difference, index) }
      if difference.isNaN { break }
    }
    largest = worst.difference
    index = worst.index
    expected = reference.indices.contains(index) ? reference[index] : .nan
    self.actual = actual.indices.contains(worst.index) ? actual[worst.index] : .nan
  }

  public var description: String { "differs by \(largest) at \(index): \(actual), expected \(expected)" }
}
