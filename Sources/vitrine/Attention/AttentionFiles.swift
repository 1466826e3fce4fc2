import Checkpoints
import Images
import Pipeline
import SystemPackage

/// Writes the pictures of one image after the other, and says which they are.
final class AttentionFiles {
  private var folder: OutputFolder
  private let terminal: Terminal

  init(_ folder: OutputFolder, terminal: Terminal) {
    (self.folder, self.terminal) = (folder, terminal)
  }

  /// What is written for an image.
  struct Contents: Sendable {
    let pictures: [AttentionDrawing.Picture]
    let prediction: Prediction?
    let array: Array?
  }

  /// The maps of an image as numbers.
  struct Array: Sendable {
    let suffix: String
    let shape: [Int]
    let values: [Float]

    init(_ maps: [PatchMap], grid: ImageSize, suffix: String) {
      self.suffix = suffix
      let layers = Set(maps.map(\.layer)).count
      let isRaw = maps.first?.layer != nil
      shape = (isRaw ? [layers, maps.count / max(1, layers)] : []) + [grid.height, grid.width]
      values = maps.flatMap(\.values)
    }
  }

  /// - Throws: `CheckpointError.unwritable` or `PipelineError`.
  func write(_ contents: Contents, for input: FilePath, method: AttentionMethod) throws {
    let (stem, isNumbered) = try folder.stem(for: input)
    if isNumbered {
      terminal.logger.warning(
        "\(input): another image of this run has the same name; written as \(stem)-\(method.rawValue)...")
    }
    let said = contents.prediction.map { prediction in
      let percent = (prediction.probability * 1000).rounded() / 10
      return "\t\(prediction.label ?? "class \(prediction.index)") \(percent) %"
    }
    for picture in contents.pictures {
      let path = stem.withEnding("-\(picture.suffix).png")
      try AtomicFile.write(picture.png, to: path)
      try StandardStreams.print("\(path.string.visible)\(said ?? "")")
    }
    if let array = contents.array {
      let path = stem.withEnding("-\(array.suffix).npy")
      try NumpyFile.write(array.values, shape: array.shape, to: path)
      try StandardStreams.print(path.string.visible)
    }
  }
}

extension FilePath {
  /// This path with something more at the end of its name, whose bytes need not be UTF-8.
  func withEnding(_ ending: String) -> FilePath { FilePath(bytes: bytes + ending.utf8) }
}
