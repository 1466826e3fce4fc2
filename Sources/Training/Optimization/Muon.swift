import Kernels

/// One step of Muon on a weight matrix, in the form and order of PyTorch's `torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`: the
/// momentum's singular values are brought near 1, but for the smallest, so that a step moves the weights alike in every direction (Jordan
/// and others, "Muon: an optimizer for hidden layers in neural networks", 2024). The step's length is that of AdamW's (Liu and others,
/// arXiv:2502.16982), and so learning rates and weight decays that were found for AdamW hold.
struct Muon {
  let learningRate: Double
  let weightDecay: Double
  let momentum: Double
  let nesterov: Bool
  /// Multiplies the gradients before all else.
  let gradientScale: Float

  /// Moves `weights` [O, K] by `gradient`, with the momentum kept from step to step in `mean`; all without gaps.
  func step(
    _ weights: MutableMatrixView, gradient: MatrixView, mean: MutableMatrixView, arena: Arena
  ) {
    arena.scope {
      let (rows, columns) = (weights.rows, weights.columns)
      let update = arena.matrix(rows: rows, columns: columns)
      let (kept, fresh) = (Float(momentum), Float(1 - momentum))
      for index in 0..<rows * columns {
        let g = gradientScale * gradient.base[index]
        let m = mean.base[index] + fresh * (g - mean.base[index])
        mean.base[index] = m
        update.base[index] = nesterov ? g + kept * (m - g) : m
      }
      Self.orthogonalize(update, arena: arena)
      let decay = Float(1 - learningRate * weightDecay)
      let rate = Float(learningRate * 0.2 * Double(max(rows, columns)).squareRoot())
      for index in 0..<rows * columns {
        weights.base[index] = decay * weights.base[index] - rate * update.base[index]
      }
    }
  }

  /// Brings the singular values of x [O, K] near 1 (between about 0.7 and 1.2, those below some thousandths of its norm less far) and keeps
  /// its singular vectors: five steps of Newton's and Schulz's iteration of fifth degree, with the coefficients of the paper. A matrix
  /// of zeros stays one.
  ///
  /// PyTorch's computes in bfloat16; here it is float32.
  static func orthogonalize(_ x: MutableMatrixView, arena: Arena) {
    let (a, b, c): (Float, Float, Float) = (3.4445, -4.775, 2.0315)
    let count = x.rows * x.columns
    let norm = ParameterBuffers.sumOfSquares(UnsafeBufferPointer(start: x.base, count: count)).squareRoot()
    let scale = Float(1 / max(norm, 1e-7))
    for index in 0..<count { x.base[index] *= scale }
    // x xᵀ or xᵀ x, whichever is smaller.
    let isWide = x.rows <= x.columns
    let size = min(x.rows, x.columns)
    arena.scope {
      let gram = arena.matrix(rows: size, columns: size)
      let polynomial = arena.matrix(rows: size, columns: size)
      let moved = arena.matrix(rows: x.rows, columns: x.columns)
      for _ in 0..<5 {
        if isWide {
          Compute.multiply(.asIs(x.view), .transposed(x.view), into: gram, arena: arena)
        } else {
          Compute.multiply(.transposed(x.view), .asIs(x.view), into: gram, arena: arena)
        }
        Compute.multiply(.asIs(gram.view), .asIs(gram.view), into: polynomial, arena: arena)
        for index in 0..<size * size {
          polynomial.base[index] = b * gram.base[index] + c * polynomial.base[index]
        }
        if isWide {
          Compute.multiply(.asIs(polynomial.view), .asIs(x.view), into: moved, arena: arena)
        } else {
          Compute.multiply(.asIs(x.view), .asIs(polynomial.view), into: moved, arena: arena)
        }
        for index in 0..<count { x.base[index] = a * x.base[index] + moved.base[index] }
      }
    }
  }
}
