import ArgumentParser
import Checkpoints
import Figures
import Images
import Pipeline
import SystemPackage
import Training
import VisionTransformer

/// Writes the explorer of some images: one page.
struct ExplorerRun {
  let model: VisionTransformer
  let attribution: AttributionModel?
  let batch: BatchRun
  let path: FilePath

  /// Bytes of a page with one picture, and of each picture in a gallery, in which maps are coarser.
  private static let (pageBytes, galleryBytes) = (2_950_000, 1_500_000)
  /// Room for the page itself and the elements around its data.
  private static let frameBytes = 24_000

  func run(_ walker: PathWalker, isSingle: Bool) throws {
    let (model, attribution) = (model, attribution)
    let name = model.family ?? model.path.lastComponent?.string ?? ""
    let file = try ExplorerFile(
      path,
      model: "\(name), \(model.configuration.depth) layers of \(model.configuration.numAttentionHeads) heads")
    let limit = (isSingle ? Self.pageBytes : Self.galleryBytes) - Self.frameBytes
    let matrix = 4 * Double(model.numTokens) * Double(model.numTokens)
    let bytes = Double(model.configuration.depth + 1) * matrix + 2e8
    var (paths, hasFailed): ([FilePath], Bool) = ([], false)
    func finish() throws {
      guard file.count > 0 else { return }
      try file.finish(names: DistinctNames.names(of: paths, nameless: "picture"))
      try StandardStreams.print("\(path)")
    }
    do {
      try batch.run(walker, workerBytes: bytes) { compute in
        let recorder = ExplorerRecorder(model, attribution: attribution, compute: compute)
        return { photos, prepared in
          zip(photos, prepared).map { photo, image in
            Result { try recorder.picture(photo, image).encoded(limit: limit) }
          }
        }
      } deliver: { item in
        guard case .success(let success) = item.outcome else {
          hasFailed = true
          return
        }
        guard file.count < ExplorerFile.maxCount else { throw PageIsFull() }
        try file.add(success.value)
        paths.append(item.path)
      } finally: {
        try finish()
      }
    } catch is PageIsFull {
      try finish()
      batch.terminal.logger.warning(
        "\(path) has the first \(ExplorerFile.maxCount) images: a page holds no more, and the others are left out"
      )
      if hasFailed { throw ExitCode(2) }
    }
  }
}

/// Ends the run: no image that the page has no room for need be looked at.
private struct PageIsFull: Error {}
