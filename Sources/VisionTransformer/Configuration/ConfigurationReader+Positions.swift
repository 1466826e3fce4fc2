import Checkpoints
import Images

/// Where the positions come from, and how they lie.
extension ConfigurationReader {
  /// big_vision's models without positions of their own compute them.
  func positionKind(_ facts: TensorFacts) -> PositionKind {
    facts.positions != nil ? .learned : tensors.scheme.library == .bigVision ? .sinCos2D : .none
  }

  /// The declared size where it has as many patches as the grid; else that of the patches.
  func imageSize(_ declared: Declared, grid: ImageSize, patchSize: ImageSize) -> ImageSize {
    if let size = declared.imageSize, size.height / patchSize.height == grid.height,
      size.width / patchSize.width == grid.width
    {
      return size
    }
    return ImageSize(height: grid.height * patchSize.height, width: grid.width * patchSize.width)
  }

  /// The grid for which the positions were trained, and how many prefix tokens have a position.
  ///
  /// Either all prefix tokens have one (timm, Hugging Face's DeiT), none (timm's `no_embed_class`) or the class token alone
  /// (DINOv2's registers).
  func positionGrid(
    positions: Int?, numPrefixTokens: Int, declared: Declared, patchSize: ImageSize
  ) throws -> (grid: ImageSize, numPositioned: Int) {
    let declaredGrid = declared.imageSize.map {
      ImageSize(height: max(1, $0.height / patchSize.height), width: max(1, $0.width / patchSize.width))
    }
    guard let positions else { return (declaredGrid ?? ImageSize(max(1, 224 / patchSize.height)), 0) }
    var candidates = [numPrefixTokens, 0]
    if numPrefixTokens > 1 { candidates.insert(1, at: 1) }
    if let grid = declaredGrid {
      for prefix in candidates where grid.height * grid.width == positions - prefix { return (grid, prefix) }
    }
    if declared.requiresImageSize, let size = declared.imageSize {
      throw ModelError.disagreement(
        path: checkpoint.path, field: "image_size", configured: "\(size)",
        tensors: "\(positions) positions for patches of \(patchSize) and \(numPrefixTokens) prefix tokens")
    }
    for prefix in candidates {
      let side = Int(Double(max(positions - prefix, 0)).squareRoot().rounded())
      if side > 0, side * side == positions - prefix {
        return (ImageSize(height: side, width: side), prefix)
      }
    }
    if let size {
      let grid = ImageSize(height: size.height / patchSize.height, width: size.width / patchSize.width)
      for prefix in candidates where grid.height * grid.width == positions - prefix { return (grid, prefix) }
    }
    throw ModelError.configuration(
      path: tensors.path(of: "pos_embed"), field: tensors.foreignName(of: "pos_embed"),
      value: "\(positions) positions",
      remedy:
        "no square grid of patches with \(numPrefixTokens) prefix tokens; give the trained size by --size HEIGHTxWIDTH, or state it in config.json"
    )
  }
}
