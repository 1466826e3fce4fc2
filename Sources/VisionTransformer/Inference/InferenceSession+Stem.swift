import Kernels

/// The convolutional network of a hybrid. Pixels are rows, channels columns; padding is TensorFlow's "SAME".
extension InferenceSession {
  /// A feature map: [height * width, channels].
  private struct Map {
    let pixels: MutableMatrixView
    let size: Extent
  }

  /// One image through the stem to patch tokens.
  /// - Parameters:
  ///   - image: pixels [height * width, channels].
  ///   - tokens: receives [patches, D].
  func embed(_ image: MutableMatrixView, size: Extent, stem: ResNetParameters, into tokens: MutableMatrixView)
  {
    arena.scope {
      let input = Map(pixels: image, size: size)
      let rootSize = stem.stem.outputSize(of: size)
      let root = arena.matrix(rows: rootSize.count, columns: stem.stem.outputs)
      convolve(input, stem.stem, activation: .relu, into: root)
      let (kernel, stride) = (Extent(height: 3, width: 3), Extent(height: 2, width: 2))
      let padding = Padding.same(size: rootSize, kernel: kernel, stride: stride)
      let pooledSize = rootSize.afterWindow(kernel: kernel, stride: stride, padding: padding)
      let pooled = arena.matrix(rows: pooledSize.count, columns: root.columns)
      compute.maxPool(
        root.view, size: rootSize, kernel: kernel, stride: stride, padding: padding, into: pooled)
      let map = forward(stem.units, Map(pixels: pooled, size: pooledSize))
      let scale = model.configuration.stem?.stride ?? 1
      let patch = Extent(
        height: model.configuration.patchSize.height / scale,
        width: model.configuration.patchSize.width / scale)
      let projection = model.parameters.patchEmbedding
      compute.convolution(
        map.pixels.view, size: map.size, weight: projection.weight, bias: projection.bias?.base,
        kernel: patch,
        stride: patch, padding: Padding(0), into: tokens, arena: arena)
    }
  }

  /// All units, one after the other, between two buffers.
  private func forward(_ units: [ResNetParameters.Unit], _ input: Map) -> Map {
    var sizes: [Extent] = []
    var capacity = 0
    for unit in units {
      let size = unit.convolutions.reduce(sizes.last ?? input.size) { $1.outputSize(of: $0) }
      sizes.append(size)
      capacity = max(capacity, size.count * (unit.convolutions.last?.outputs ?? 0))
    }
    let buffers = (0..<2).map { _ in arena.matrix(rows: 1, columns: capacity) }
    var map = input
    for (index, unit) in units.enumerated() {
      let channels = unit.convolutions.last?.outputs ?? 0
      let output = Map(
        pixels: MutableMatrixView(base: buffers[index % 2].base, rows: sizes[index].count, columns: channels),
        size: sizes[index])
      arena.scope { forward(unit, map, into: output) }
      map = output
    }
    return map
  }

  /// relu(shortcut + the three convolutions)
  private func forward(_ unit: ResNetParameters.Unit, _ input: Map, into output: Map) {
    var map = input
    for (index, convolution) in unit.convolutions.enumerated() {
      let isLast = index == unit.convolutions.count - 1
      let size = convolution.outputSize(of: map.size)
      let result =
        isLast ? output.pixels : arena.matrix(rows: size.count, columns: convolution.outputs)
      convolve(map, convolution, activation: isLast ? nil : .relu, into: result)
      map = Map(pixels: result, size: size)
    }
    var shortcut = input.pixels
    if let downsample = unit.downsample {
      shortcut = arena.matrix(rows: output.size.count, columns: downsample.outputs)
      convolve(input, downsample, activation: nil, into: shortcut)
    }
    compute.add(shortcut.view, to: output.pixels, activation: .relu)
  }

  /// A convolution and its group norm.
  private func convolve(
    _ input: Map, _ layer: ResNetParameters.Convolution, activation: Activation?,
    into result: MutableMatrixView
  ) {
    compute.convolution(
      input.pixels.view, size: input.size, weight: layer.weight, bias: nil, kernel: layer.kernel,
      stride: layer.stride, padding: layer.padding(for: input.size), into: result, arena: arena)
    compute.groupNorm(
      result.view, groups: ResNetParameters.numGroups, gamma: layer.gamma.base, beta: layer.beta.base,
      epsilon: ResNetParameters.normEpsilon, activation: activation, into: result)
  }
}

extension ResNetParameters.Convolution {
  func padding(for size: Extent) -> Padding { .same(size: size, kernel: kernel, stride: stride) }

  func outputSize(of size: Extent) -> Extent {
    size.afterWindow(kernel: kernel, stride: stride, padding: padding(for: size))
  }
}
