import VisionTransformer

extension TimmSource {
  /// The elements of a tensor for a network of that configuration, positions resampled to its grid; nil for a head that the model
  /// does not have in this form.
  /// - Throws: `TrainingError.configuration` where the model has another network, and what reading it throws.
  func values(of tensor: SavedTensor, _ configuration: ViTConfiguration) throws -> [Float]? {
    let shape = shape(tensor.name)
    let values: [Float]
    if tensor.name == "pos_embed", let shape, shape.last == configuration.embedDim {
      values = try positions(
        for: configuration.gridSize, positioned: configuration.numPositionedPrefixTokens)
    } else if shape == tensor.shape {
      values = try floats(tensor.name)
    } else if tensor.parameter.isHead {
      return nil
    } else {
      throw TrainingError.configuration(
        key: "model.model_args",
        reason:
          "the network needs \(tensor.name) of shape \(tensor.shape), but the model to begin with has "
          + (shape.map { "\($0)" } ?? "none"))
    }
    guard values.count == tensor.elements.count else {
      throw TrainingError.configuration(
        key: "model.model_args", reason: "\(tensor.name) of the model to begin with does not fit")
    }
    return values
  }
}
