import CKernels

/// Where the results of a product go.
public enum ProductOutput: @unchecked Sendable {
  /// [R, O]
  case store(MutableMatrixView)
  /// [R, O], rounded to bfloat16.
  case storeHalves(HalfMatrixView)
  /// residual [R, O] += layerScale [O] ⊙ result; nil for a layer scale of 1.
  ///
  /// Layer scale: Touvron et al., "Going deeper with Image Transformers", arXiv:2103.17239, section 2.
  case add(MutableMatrixView, layerScale: UnsafePointer<Float>?)

  fileprivate var shape: (rows: Int, columns: Int) {
    switch self {
    case .store(let out), .add(let out, _): (out.rows, out.columns)
    case .storeHalves(let out): (out.rows, out.columns)
    }
  }
}

extension Compute {
  /// activation(x · weightᵀ + bias): PyTorch's `Linear`.
  ///
  /// A result depends on its own row of x, and in its last bits on the variant of the kernels: not on other rows, nor on the
  /// number of threads.
  /// - Parameters:
  ///   - x: [R, K], of the weight's precision.
  ///   - weight: [O, K].
  ///   - bias: [O]; nil for none.
  ///   - activation: applied to each element of the result; nil for none.
  ///   - outputs: those that are computed, of a matrix that `isCut` where they begin and end; nil for all.
  ///   - out: [R, outputs].
  public func linear(
    _ x: ProductRows, weight: PackedMatrix, bias: UnsafePointer<Float>? = nil, activation: Activation? = nil,
    outputs: Range<Int>? = nil, into out: ProductOutput
  ) {
    let outputs = outputs ?? 0..<weight.outputs
    precondition(
      x.columns == weight.inner && out.shape == (x.rows, outputs.count),
      """
      linear: x [\(x.rows), \(x.columns)] and outputs \(outputs) of weight [\(weight.outputs), \(weight.inner)] \
      do not fit [\(out.shape.rows), \(out.shape.columns)]
      """)
    precondition(
      weight.isCut(at: outputs.lowerBound) && weight.isCut(at: outputs.upperBound),
      "linear: outputs \(outputs) are not whole panels")
    precondition(
      x.precision == weight.precision, "linear: rows of \(x.precision) and weights of \(weight.precision)")
    guard let weights = weight.panels else { preconditionFailure("linear: the weights were not read") }
    let kernel = weight.precision.kernel
    let product = Product(x, weight, weights, bias, activation, firstOutput: outputs.lowerBound, out)
    let first = outputs.lowerBound / kernel.layout.width
    let panels = kernel.panelCount(outputs: outputs.count)
    split(panels, work: 2 * x.rows * outputs.count * weight.inner) { panels in
      var part = product.panels(
        first + panels.lowerBound..<first + panels.upperBound, kernel: kernel, of: weight)
      kernel.multiply(&part)
    }
  }

  /// As above, with x made into rows of the weight's precision first.
  public func linear(
    _ x: MatrixView, weight: PackedMatrix, bias: UnsafePointer<Float>? = nil, activation: Activation? = nil,
    into out: ProductOutput, arena: Arena
  ) {
    arena.scope {
      linear(
        rows(x, for: weight, arena: arena), weight: weight, bias: bias, activation: activation,
        into: out)
    }
  }
}

/// A product as C sees it.
struct Product: @unchecked Sendable {
  private let whole: ckernels_product
  /// Of the weight's outputs the one that the first column receives.
  private let firstOutput: Int

  init(
    _ x: ProductRows, _ weight: PackedMatrix, _ panels: UnsafeRawPointer, _ bias: UnsafePointer<Float>?,
    _ activation: Activation?, firstOutput: Int, _ out: ProductOutput
  ) {
    self.firstOutput = firstOutput
    let (target, stride, store, gamma) =
      switch out {
      case .store(let out): (UnsafeMutableRawPointer(out.base), out.rowStride, CKERNELS_STORE_FLOAT32, nil)
      case .storeHalves(let out):
        (UnsafeMutableRawPointer(out.base), out.rowStride, CKERNELS_STORE_BFLOAT16, nil)
      case .add(let out, let layerScale):
        (UnsafeMutableRawPointer(out.base), out.rowStride, CKERNELS_ADD_FLOAT32, layerScale)
      }
      as (UnsafeMutableRawPointer, Int, ckernels_store, UnsafePointer<Float>?)
    whole = ckernels_product(
      rows: x.rows, inner: x.columns, outputs: weight.outputs, x: x.base, x_stride: x.rowStride,
      factors: x.factors, zero_points: x.zeroPoints, panels: panels,
      scales: weight.scales.map { UnsafePointer($0) }, sums: weight.sums.map { UnsafePointer($0) },
      bias: bias,
      activation: activation?.cActivation ?? CKERNELS_IDENTITY, gamma: gamma, out: target, out_stride: stride,
      store: store)
  }

  /// The product of some of the weight's panels.
  func panels(_ panels: Range<Int>, kernel: ckernels_product_kernel, of weight: PackedMatrix)
    -> ckernels_product
  {
    let first = panels.lowerBound * kernel.layout.width
    let elementBytes = whole.store == CKERNELS_STORE_BFLOAT16 ? 2 : 4
    var part = whole
    part.outputs = min(weight.outputs, panels.upperBound * kernel.layout.width) - first
    part.panels += panels.lowerBound * kernel.panelBytes(inner: weight.inner)
    part.scales = whole.scales.map { $0 + first }
    part.sums = whole.sums.map { $0 + first }
    part.bias = whole.bias.map { $0 + first }
    part.gamma = whole.gamma.map { $0 + first }
    part.out += (first - firstOutput) * elementBytes
    return part
  }
}
