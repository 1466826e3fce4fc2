import VisionTransformer

extension VisionTransformer {
  /// The layer that a number on the command line stands for: from 0 on, or from -1 back from the last.
  /// - Throws: `ModelError.noSuchLayer`.
  func layerIndex(_ layer: Int) throws(ModelError) -> Int {
    let depth = configuration.depth
    let index = layer < 0 ? depth + layer : layer
    guard (0..<depth).contains(index) else { throw .noSuchLayer(layer, depth: depth) }
    return index
  }
}
