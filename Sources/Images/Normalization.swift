/// How a byte becomes a number of the network's input: scaled, less the mean, divided by the deviation.
public struct Normalization: Sendable, Equatable {
  /// How bytes are scaled before the mean is taken off. The two ways differ in the last bit.
  public enum Scaling: Sendable, Equatable {
    /// byte / 255 in single precision (torchvision's `to_tensor`, timm).
    case dividedBy255
    /// byte × factor in double precision, then rounded to single (transformers' `rescale`).
    case multiplied(by: Double)
  }

  public let scaling: Scaling
  /// Mean of red, green and blue, in units of the scaled bytes.
  public let mean: [Double]
  /// Standard deviation of red, green and blue, above zero.
  public let std: [Double]

  /// The result for each byte, float32 [3, 256].
  let table: [Float]

  /// - Precondition: `mean` and `std` have three values.
  package init(scaling: Scaling, mean: [Double], std: [Double]) {
    precondition(mean.count == 3 && std.count == 3, "three channels")
    self.scaling = scaling
    self.mean = mean
    self.std = std
    table = zip(mean, std).flatMap { mean, std in
      (0...255).map { byte in
        let scaled: Float =
          switch scaling {
          case .dividedBy255: Float(byte) / 255
          case .multiplied(let factor): Float(Double(byte) * factor)
          }
        return (scaled - Float(mean)) / Float(std)
      }
    }
  }

  /// Normalises pixels that follow each other into three planes.
  ///
  /// - Parameters:
  ///   - pixels: uint8 [count, 3].
  ///   - output: float32, where red goes; green goes `planeStride` numbers further on, blue twice as far.
  ///     Nil writes nothing.
  ///   - channels: 3, or 1 for the first alone.
  package func write(
    _ pixels: UnsafeBufferPointer<UInt8>, to output: UnsafeMutablePointer<Float>?, planeStride: Int,
    channels: Int
  ) {
    guard let pixel = pixels.baseAddress, let output else { return }
    table.withUnsafeBufferPointer { table in
      guard let red = table.baseAddress else { return }
      guard channels == 3 else {
        for index in 0..<pixels.count / 3 { output[index] = red[Int(pixel[3 &* index])] }
        return
      }
      let (green, blue) = (red + 256, red + 512)
      let (greenOutput, blueOutput) = (output + planeStride, output + 2 * planeStride)
      for index in 0..<pixels.count / 3 {
        output[index] = red[Int(pixel[3 &* index])]
        greenOutput[index] = green[Int(pixel[3 &* index &+ 1])]
        blueOutput[index] = blue[Int(pixel[3 &* index &+ 2])]
      }
    }
  }

  /// The mean as a colour, round(255 × mean), with which timm pads.
  var fill: [UInt8] {
    mean.map { UInt8(min(max((255 * $0).rounded(.toNearestOrEven), 0), 255)) }
  }
}
