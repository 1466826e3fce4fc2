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
    try batch.run(walker, workerBytes: bytes) { compute in
      let recorder = ExplorerRecorder(model, attribution: attribution, compute: compute)
      return { photos, prepared in
        zip(photos, prepared).map { photo, image in
          Result { try recorder.picture(photo, image).encoded(limit: limit) }
        }
      }
    } deliver: { item in
      guard case .success(let success) = item.outcome else { return }
      guard file.count < ExplorerFile.maxCount else {
        throw ExplorerError.tooManyPictures(path: path)
      }
      try file.add(success.value, name: item.path.lastComponent?.string ?? "")
    } finally: {
      guard file.count > 0 else { return }
      try file.finish()
      try StandardStreams.print("\(path)")
    }
  }
}

/// Why there is no page.
enum ExplorerError: Error, CustomStringConvertible {
  case tooManyPictures(path: FilePath)

  var description: String {
    switch self {
    case .tooManyPictures(let path):
      "\(path): a page holds \(ExplorerFile.maxCount) pictures at most; give fewer images"
    }
  }
}
