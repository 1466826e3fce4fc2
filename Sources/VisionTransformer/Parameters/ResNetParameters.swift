import Checkpoints
import Kernels

/// The weights of a hybrid's ResNet-V2, with the convolutions standardised.
struct ResNetParameters: Sendable {
  /// Weight [Cout, kh * kw * Cin], columns in the order row, column, channel, and the group norm that follows.
  struct Convolution: Sendable {
    let weight: PackedMatrix
    let kernel: Extent
    let stride: Extent
    let gamma: MatrixView
    let beta: MatrixView

    /// Cout
    var outputs: Int { weight.outputs }
  }

  /// A bottleneck: 1x1, 3x3, 1x1 beside a shortcut.
  struct Unit: Sendable {
    let convolutions: [Convolution]
    /// A 1x1 convolution on the shortcut, where size or width change.
    let downsample: Convolution?
  }

  let stem: Convolution
  let units: [Unit]

  /// Channels of a group norm are cut into that many groups.
  static let numGroups = 32
  static let normEpsilon: Float = 1e-5

  /// Channels of the output.
  var channels: Int { units.last?.convolutions.last?.outputs ?? stem.outputs }
}

extension ParameterReader {
  private static let backbone = "patch_embed.backbone"

  /// The network in front of the patch embedding; nil where the configuration has none.
  mutating func stem() throws(CheckpointError) -> ResNetParameters? {
    guard let depths = configuration.stem?.depths else { return nil }
    let stem = try standardized(
      "\(Self.backbone).stem.conv", norm: "\(Self.backbone).stem.norm", inputs: configuration.inChannels,
      kernel: 7,
      stride: 2)
    var units: [ResNetParameters.Unit] = []
    var channels = stem.outputs
    for (stage, depth) in depths.enumerated() {
      for index in 0..<depth {
        let name = "\(Self.backbone).stages.\(stage).blocks.\(index)"
        let stride = stage > 0 && index == 0 ? 2 : 1
        let reduce = try standardized(
          "\(name).conv1", norm: "\(name).norm1", inputs: channels, kernel: 1, stride: 1)
        let middle = try standardized(
          "\(name).conv2", norm: "\(name).norm2", inputs: reduce.outputs, kernel: 3, stride: stride)
        let expand = try standardized(
          "\(name).conv3", norm: "\(name).norm3", inputs: middle.outputs, kernel: 1, stride: 1)
        let isShortcutPlain = stride == 1 && expand.outputs == channels
        let hasDownsample = weights.tensors.contains("\(name).downsample.conv.weight")
        let downsample =
          isShortcutPlain && !hasDownsample
          ? nil
          : try standardized(
            "\(name).downsample.conv", norm: "\(name).downsample.norm", inputs: channels, kernel: 1,
            stride: stride)
        if let downsample, downsample.outputs != expand.outputs {
          try weights.tensors.require(
            "\(name).downsample.conv.weight", shape: [expand.outputs, channels, 1, 1])
        }
        units.append(.init(convolutions: [reduce, middle, expand], downsample: downsample))
        channels = expand.outputs
      }
    }
    return ResNetParameters(stem: stem, units: units)
  }

  /// A convolution whose weight is standardised for each output (arXiv 1903.10520, eq. 3; timm's `StdConv2dSame` with an epsilon
  /// of 1e-8), and its norm.
  private mutating func standardized(
    _ name: String, norm: String, inputs: Int, kernel: Int, stride: Int
  ) throws(CheckpointError) -> ResNetParameters.Convolution {
    let tensors = weights.tensors
    let outputs = tensors.shape(of: "\(name).weight")?.first ?? 0
    guard outputs > 0 else { throw tensors.missing("\(name).weight") }
    guard outputs.isMultiple(of: ResNetParameters.numGroups) else {
      throw .malformedTensor(
        path: tensors.path(of: "\(name).weight"), tensor: tensors.foreignName(of: "\(name).weight"),
        reason:
          "its \(outputs) channels cannot be cut into the \(ResNetParameters.numGroups) groups of the norm that follows"
      )
    }
    let extent = Extent(height: kernel, width: kernel)
    let weight = try pack(.fp32) { reader throws(CheckpointError) in
      let source = try reader.convolution("\(name).weight", outputs: outputs, inputs: inputs, kernel: extent)
      let target = reader.weights.allocate(rows: source.rows, columns: source.columns)
      if !reader.weights.describesOnly { Self.standardize(source, into: target) }
      return [target.view]
    }
    return ResNetParameters.Convolution(
      weight: weight, kernel: extent, stride: Extent(height: stride, width: stride),
      gamma: try vector("\(norm).weight", count: outputs), beta: try vector("\(norm).bias", count: outputs))
  }

  private static func standardize(_ source: MatrixView, into target: MutableMatrixView) {
    for row in 0..<source.rows {
      let (from, to) = (source.row(row), target.row(row))
      let count = Double(from.count)
      let mean = from.reduce(0.0) { $0 + Double($1) } / count
      var squares = 0.0
      for value in from {
        let distance = Double(value) - mean
        squares += distance * distance
      }
      let scale = 1 / (squares / count + 1e-8).squareRoot()
      for column in 0..<from.count { to[column] = Float((Double(from[column]) - mean) * scale) }
    }
  }
}
