import Images

/// Cuts a tensor of pixels into patches.
enum PatchRows {
  /// - Parameters:
  ///   - tensor: float32 [channels, size.height, size.width]; what is beyond the last whole patch is left out.
  ///   - output: receives [patches, channels * P * P]: patches in the order of reading, within a row channel, then row, then column.
  static func write(
    _ tensor: [Float], channels: Int, size: ImageSize, patchSize: ImageSize,
    into output: UnsafeMutableBufferPointer<Float>
  ) {
    precondition(
      tensor.count == channels * size.height * size.width
        && output.count == size.height / patchSize.height * (size.width / patchSize.width) * channels
          * patchSize.height * patchSize.width,
      "a tensor of \(tensor.count) floats is no image of \(size) pixels")
    var target = 0
    for gridRow in 0..<size.height / patchSize.height {
      for gridColumn in 0..<size.width / patchSize.width {
        for channel in 0..<channels {
          for row in 0..<patchSize.height {
            let line = channel * size.height + gridRow * patchSize.height + row
            let start = line * size.width + gridColumn * patchSize.width
            for column in 0..<patchSize.width {
              output[target] = tensor[start + column]
              target += 1
            }
          }
        }
      }
    }
  }
}
