import Kernels

/// Patches as what differs from the mean of each channel, and the means.
///
/// In a flat patch the terms of the projection are large and cancel, so that their sum in float32 is off by many units in the last
/// place; such tokens are the ones whose errors the blocks then amplify. With x = mean + rest the sum is mean · (sum of the weights) +
/// rest · weights: the sums of the weights are further columns of the weight, taken in double precision, and what is left to be
/// summed up is small where the patch is flat.
enum PatchMeans {
  /// wide [D, C·P·P + C] = the weight [D, C·P·P], then its sum over each channel.
  static func appendSums(of weight: MatrixView, channels: Int, into wide: MutableMatrixView) {
    let area = weight.columns / channels
    wide[0..<weight.rows, 0..<weight.columns].copy(from: weight)
    for output in 0..<weight.rows {
      let (row, target) = (weight.row(output), wide.row(output))
      for channel in 0..<channels {
        let sum = row[channel * area..<(channel + 1) * area].reduce(0.0) { $0 + Double($1) }
        target[weight.columns + channel] = Float(sum)
      }
    }
  }

  /// wide [patches, C·P·P + C] = the patches [patches, C·P·P] without the means of their channels, then these.
  static func separate(_ patches: MatrixView, channels: Int, into wide: MutableMatrixView) {
    let area = patches.columns / channels
    for patch in 0..<patches.rows {
      let (row, target) = (patches.row(patch), wide.row(patch))
      for channel in 0..<channels {
        let pixels = channel * area..<(channel + 1) * area
        var sum: Float = 0
        for pixel in pixels { sum += row[pixel] }
        let mean = sum / Float(area)
        for pixel in pixels { target[pixel] = row[pixel] - mean }
        target[patches.columns + channel] = mean
      }
    }
  }
}
