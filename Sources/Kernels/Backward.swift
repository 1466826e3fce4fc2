import CKernels

/// Backward operations, on the caller's thread. Each takes the gradient of its output and gives that of its input; gradients of
/// parameters are added to what is there.
package enum Backward {
  private static let operations = trainingOperations

  /// Layer norm.
  /// - Parameters:
  ///   - x: the norm's input [R, D].
  ///   - dy: gradient of its output [R, D].
  ///   - dx: receives the gradient of its input [R, D]; may be `dy`.
  ///   - adding: whether it is added to what `dx` holds.
  ///   - gammaGradient, betaGradient: [D]; nil where they are not wanted.
  package static func layerNorm(
    _ x: MatrixView, _ dy: MatrixView, gamma: UnsafePointer<Float>?, epsilon: Float,
    into dx: MutableMatrixView, adding: Bool,
    gammaGradient: UnsafeMutablePointer<Float>?, betaGradient: UnsafeMutablePointer<Float>?
  ) {
    checkSameShape(x, dx, "layerNorm backward")
    checkSameShape(dy, dx, "layerNorm backward")
    operations.layer_norm_backward(
      x.base, x.rowStride, dy.base, dy.rowStride, dx.base, dx.rowStride, dx.rows, dx.columns, gamma, epsilon,
      adding, gammaGradient, betaGradient)
  }

  /// RMS norm; parameters as in `layerNorm`.
  package static func rmsNorm(
    _ x: MatrixView, _ dy: MatrixView, gamma: UnsafePointer<Float>?, epsilon: Float,
    into dx: MutableMatrixView, adding: Bool, gammaGradient: UnsafeMutablePointer<Float>?
  ) {
    checkSameShape(x, dx, "rmsNorm backward")
    checkSameShape(dy, dx, "rmsNorm backward")
    operations.rms_norm_backward(
      x.base, x.rowStride, dy.base, dy.rowStride, dx.base, dx.rowStride, dx.rows, dx.columns, gamma, epsilon,
      adding, gammaGradient)
  }

  /// An activation f: dy becomes dy · f′(x), and x becomes f(x), both [R, D].
  package static func activation(_ activation: Activation, _ x: MutableMatrixView, _ dy: MutableMatrixView) {
    checkSameShape(x.view, dy, "activation backward")
    let function =
      switch activation {
      case .gelu: operations.gelu_backward
      case .geluTanh: operations.gelu_tanh_backward
      case .quickGELU: operations.quick_gelu_backward
      case .silu: operations.silu_backward
      case .relu: operations.relu_backward
      case .tanh: preconditionFailure("tanh has no backward operation")
      }
    function(x.base, x.rowStride, dy.base, dy.rowStride, dy.rows, dy.columns)
  }

  /// softmax(scale · x): dp becomes the gradient of x.
  /// - Parameters:
  ///   - p: the softmax's output [R, C].
  ///   - dp: its gradient [R, C].
  package static func softmax(_ p: MatrixView, _ dp: MutableMatrixView, scale: Float) {
    checkSameShape(p, dp, "softmax backward")
    operations.softmax_backward(p.base, p.rowStride, dp.base, dp.rowStride, dp.rows, dp.columns, scale)
  }

  /// sums [D] += the sum over the rows of x [R, D]: the gradient of a bias.
  package static func addColumnSums(_ x: MatrixView, to sums: UnsafeMutablePointer<Float>) {
    operations.add_column_sums(x.base, x.rowStride, x.rows, x.columns, sums)
  }

  /// sums [D] += scale · the sum over the rows of x ⊙ y, both [R, D]: the gradient of a layer scale.
  package static func addColumnProducts(
    _ x: MatrixView, _ y: MatrixView, scale: Float, to sums: UnsafeMutablePointer<Float>
  ) {
    precondition(x.rows == y.rows && x.columns == y.columns, "addColumnProducts of two shapes")
    operations.add_column_products(
      x.base, x.rowStride, y.base, y.rowStride, x.rows, x.columns, scale, sums)
  }
}

/// Operations on whole buffers of parameters.
package enum ParameterBuffers {
  private static let operations = trainingOperations

  package static func sumOfSquares(_ x: UnsafeBufferPointer<Float>) -> Double {
    guard let base = x.baseAddress else { return 0 }
    return operations.sum_of_squares(base, x.count)
  }

  /// x += y
  package static func add(_ y: UnsafeBufferPointer<Float>, to x: UnsafeMutableBufferPointer<Float>) {
    precondition(x.count == y.count, "\(y.count) floats do not fit \(x.count)")
    guard let from = y.baseAddress, let to = x.baseAddress else { return }
    operations.accumulate(to, from, x.count)
  }

  /// average += share · (x - average)
  package static func moveAverage(
    _ average: UnsafeMutableBufferPointer<Float>, towards x: UnsafeBufferPointer<Float>, share: Float
  ) {
    precondition(x.count == average.count, "\(x.count) floats do not fit \(average.count)")
    guard let from = x.baseAddress, let to = average.baseAddress else { return }
    operations.move_average(to, from, x.count, share)
  }

  /// What a step of AdamW multiplies with (Loshchilov, Hutter, arXiv:1711.05101, algorithm 2, in PyTorch's order of operations).
  package struct AdamW {
    let factors: ckernels_adamw_factors

    /// - Parameters:
    ///   - step: t, counted from 1.
    ///   - gradientScale: multiplies the gradients before all else.
    package init(
      learningRate: Double, weightDecay: Double, beta1: Double, beta2: Double, epsilon: Double, step: Int,
      gradientScale: Float
    ) {
      let (correction1, correction2) = (1 - power(beta1, step), 1 - power(beta2, step))
      factors = ckernels_adamw_factors(
        gradient_scale: gradientScale, decay: Float(1 - learningRate * weightDecay),
        beta2: Float(beta2), rest1: Float(1 - beta1), rest2: Float(1 - beta2),
        step_size: Float(learningRate / correction1),
        inverse_root: Float(1 / correction2.squareRoot()), epsilon: Float(epsilon))
    }

    /// One step over `count` values; moments m and v.
    package func step(
      _ x: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>, _ m: UnsafeMutablePointer<Float>,
      _ v: UnsafeMutablePointer<Float>, count: Int
    ) {
      operations.adamw(x, gradient, m, v, count, factors)
    }
  }

  /// What a step of SGD with momentum multiplies with, as PyTorch's `torch.optim.SGD` (weight decay is added to the gradient).
  package struct SGD {
    let factors: ckernels_sgd_factors

    package init(
      learningRate: Double, weightDecay: Double, momentum: Double, nesterov: Bool, gradientScale: Float
    ) {
      factors = ckernels_sgd_factors(
        gradient_scale: gradientScale, weight_decay: Float(weightDecay), momentum: Float(momentum),
        learning_rate: Float(learningRate), nesterov: nesterov)
    }

    /// One step over `count` values; velocity v.
    package func step(
      _ x: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>, _ v: UnsafeMutablePointer<Float>,
      count: Int
    ) {
      operations.sgd(x, gradient, v, count, factors)
    }
  }
}

/// base to a whole power, by squaring.
private func power(_ base: Double, _ exponent: Int) -> Double {
  var (result, factor, left) = (1.0, base, exponent)
  while left > 0 {
    if left & 1 == 1 { result *= factor }
    factor *= factor
    left >>= 1
  }
  return result
}

/// The training operations of the variant in use.
private let trainingOperations: ckernels_training_operations = {
  guard let operations = ckernels_training_operations_of(ckernels_active_variant()) else {
    preconditionFailure("the variant in use has no training operations")
  }
  return operations.pointee
}()
