import Checkpoints
import Images

/// Where the positions come from, and how they lie.
extension ConfigurationReader {
  /// big_vision's models without positions of their own compute them.
  func positionKind(_ facts: TensorFacts) -> PositionKind {
    facts.positions != nil ? .learned : tensors.scheme.library == .bigVision ? .sinCos2D : .none
  }

  /// Positions that fill a square may be those of a rectangle that the user asks for: both have as many.
  func doubt(aboutGrid grid: ImageSize, _ facts: TensorFacts, patchSize: ImageSize) -> String? {
    guard checkpoint.configuration == nil, facts.positions != nil, let size else { return nil }
    let wanted = ImageSize(height: size.height / patchSize.height, width: size.width / patchSize.width)
    guard wanted != grid, wanted.height * wanted.width == grid.height * grid.width else { return nil }
    return
      "\(checkpoint.path): \(grid.height * grid.width) positions are taken for a grid of \(grid) and resampled; where the model was "
      + "trained at \(size), a config.json has to say so"
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
    _ facts: TensorFacts, _ declared: Declared, patchSize: ImageSize
  ) throws -> (grid: ImageSize, numPositioned: Int) {
    func grid(_ size: ImageSize) -> ImageSize {
      ImageSize(height: max(1, size.height / patchSize.height), width: max(1, size.width / patchSize.width))
    }
    guard let positions = facts.positions else { return (grid(declared.imageSize ?? ImageSize(224)), 0) }

    let numPrefixTokens = facts.numPrefixTokens
    let prefixes = numPrefixTokens > 1 ? [numPrefixTokens, 1, 0] : [numPrefixTokens, 0]
    func fit(_ grid: (_ patches: Int) -> ImageSize?) -> (grid: ImageSize, numPositioned: Int)? {
      for prefix in prefixes {
        if let grid = grid(positions - prefix), grid.height * grid.width == positions - prefix {
          return (grid, prefix)
        }
      }
      return nil
    }
    if let size = declared.imageSize {
      if let found = fit({ _ in grid(size) }) { return found }
      guard !declared.requiresImageSize else {
        throw ModelError.disagreement(
          path: checkpoint.path, field: "image_size", configured: "\(size)",
          tensors: "\(positions) positions for patches of \(patchSize) and \(numPrefixTokens) prefix tokens")
      }
    }
    let square = fit { patches in
      patches > 0 ? ImageSize(Int(Double(patches).squareRoot().rounded())) : nil
    }
    if let found = square ?? fit({ _ in size.map(grid) }) { return found }
    throw ModelError.configuration(
      path: tensors.path(of: "pos_embed"), field: tensors.foreignName(of: "pos_embed"),
      value: "\(positions) positions",
      remedy: "no square grid of patches with \(numPrefixTokens) prefix tokens; give the trained size by "
        + "--size HEIGHTxWIDTH, or state it in config.json")
  }
}
