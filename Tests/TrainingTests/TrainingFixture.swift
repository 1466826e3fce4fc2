import Checkpoints
import Foundation
import SystemPackage
import TestSupport
import Testing
import Training
import VisionTransformer

/// One file that `scripts/reference/training_fixtures.py` has made.
struct TrainingFixture {
  let file: SafetensorsFile
  let architecture: TrainableArchitecture
  let batch: Batch
  let loss: Double
  private let extraBlocks: Int

  /// - Parameter extraBlocks: blocks of the architecture behind those that the file has weights of.
  init(_ name: String, extraBlocks: Int = 0) throws {
    let path = Fixtures.folder.appending("training").appending("\(name).safetensors")
    file = try SafetensorsFile(path)
    self.extraBlocks = extraBlocks
    var arguments = try JSONDecoder().decode(
      [String: JSONValue].self, from: Data(try #require(file.metadata["model_args"]).utf8))
    if extraBlocks > 0 {
      let depth = try #require(arguments["depth"]?.int)
      arguments["depth"] = .number(Double(depth + extraBlocks))
    }
    let model = try TimmModel(
      architecture: try #require(file.metadata["architecture"]), arguments: arguments, path: path)
    architecture = try TrainableArchitecture(model)
    let targets = try file.floats("targets")
    let classes = architecture.configuration.numClasses
    let labels = stride(from: 0, to: targets.count, by: classes).map { start in
      (0..<classes).max { targets[start + $0] < targets[start + $1] } ?? 0
    }
    batch = Batch(pixels: try file.floats("pixels"), targets: targets, labels: labels)
    loss = Double(try file.doubles("loss")[0])
  }

  func floats(_ name: String) throws -> [Float] { try file.floats(name) }

  /// A store with the fixture's weights; those of the extra blocks are 0.
  func store(averages: Bool = false) throws -> ParameterStore {
    let store = ParameterStore(ParameterLayout(architecture), moments: .two, averages: averages)
    let fileDepth = architecture.configuration.depth - extraBlocks
    let extra = (fileDepth..<fileDepth + extraBlocks).map { "blocks.\($0)." }
    let tensors = store.layout.savedTensors.filter { tensor in
      !extra.contains { tensor.name.hasPrefix($0) }
    }
    let names = Set(file.tensors.keys.filter { $0.hasPrefix("weights.") }.map { String($0.dropFirst(8)) })
    try #require(names == Set(tensors.map(\.name)), "\(names.symmetricDifference(tensors.map(\.name)))")
    for tensor in tensors {
      let values = try file.floats("weights.\(tensor.name)")
      try #require(file.tensors["weights.\(tensor.name)"]?.shape == tensor.shape, "\(tensor.name)")
      store.withElements(of: tensor) { _ = $0.update(fromContentsOf: values) }
    }
    return store
  }

  /// The batch several times over.
  func repeated(_ count: Int) -> Batch {
    func times<T>(_ values: [T]) -> [T] { (0..<count).flatMap { _ in values } }
    // Pixels that differ, so that a mistaken order shows.
    let pixels = times(batch.pixels).enumerated().map { $1 * (1 + Float($0 % 1013) / 1013) }
    return Batch(pixels: pixels, targets: times(batch.targets), labels: times(batch.labels))
  }
}

extension Batch {
  func part(_ samples: Range<Int>) -> Batch {
    let (pixel, target) = (pixels.count / count, targets.count / count)
    return Batch(
      pixels: Array(pixels[samples.lowerBound * pixel..<samples.upperBound * pixel]),
      targets: Array(targets[samples.lowerBound * target..<samples.upperBound * target]),
      labels: Array(labels[samples]))
  }
}

extension SafetensorsFile {
  func floats(_ name: String) throws -> [Float] {
    let info = try #require(tensors[name], "no tensor \(name)")
    try #require(info.type == .float32, "\(name)")
    return elements(of: info).withUnsafeBytes { bytes in
      (0..<info.count).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    }
  }

  func doubles(_ name: String) throws -> [Double] {
    let info = try #require(tensors[name], "no tensor \(name)")
    try #require(info.type == .float64, "\(name)")
    return elements(of: info).withUnsafeBytes { bytes in
      (0..<info.count).map { bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) }
    }
  }
}
