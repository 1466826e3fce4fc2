import CKernels

extension Compute {
  /// out = x · weightᵀ + bias: the layout of PyTorch's `Linear`; then an activation, where one is given.
  /// - Parameters:
  ///   - x: [R, K].
  ///   - weight: [O, K].
  ///   - bias: [O]; nil for none.
  ///   - activation: applied to each element of the result; nil for none.
  ///   - out: [R, O].
  public func linear(
    _ x: MatrixView, weight: MatrixView, bias: UnsafePointer<Float>?, activation: Activation? = nil,
    into out: MutableMatrixView
  ) {
    checkLinear(x, weight, out, "linear")
    let bias = SharedVector(bias)
    splitProduct(x, weight) { rows, columns in
      let (x, weight, block) = (x.rowBlock(rows), weight.rowBlock(columns), out[rows, columns])
      if let activation {
        BLAS.multiply(x, weight, .transposed, into: block)
        activation.apply(to: block, bias: bias.from(columns.lowerBound))
      } else {
        BLAS.multiply(x, weight, addingBias: bias.from(columns.lowerBound), into: block)
      }
    }
  }

  /// `linear` without an activation, its sums in double precision and rounded once.
  ///
  /// Meant for the projection of patches. In a flat patch the terms of a sum are large and cancel, so that a sum in
  /// float32 is off by many units in the last place; such tokens are the ones whose errors the blocks then amplify.
  /// In a ViT this is the smallest of the products, 1 to 2 % of the work.
  /// - Parameters:
  ///   - x: [R, K].
  ///   - weight: [O, K].
  ///   - bias: [O]; nil for none.
  ///   - out: [R, O].
  ///   - arena: scratch for the three matrices as doubles.
  public func linearInDouble(
    _ x: MatrixView, weight: MatrixView, bias: UnsafePointer<Float>?, into out: MutableMatrixView,
    arena: Arena
  ) {
    checkLinear(x, weight, out, "linearInDouble")
    let bias = SharedVector(bias)
    arena.scope {
      let wideWeight = WideMatrix(weight.rows, weight.columns, arena)
      let (wideX, wideOut) = (WideMatrix(x.rows, x.columns, arena), WideMatrix(out.rows, out.columns, arena))
      split(weight.rows, work: weight.rows * weight.columns) { rows in
        wideWeight.block(rows).widen(weight.rowBlock(rows))
      }
      split(x.rows, work: 2 * x.rows * weight.rows * x.columns) { rows in
        let (input, output) = (wideX.block(rows), wideOut.block(rows))
        input.widen(x.rowBlock(rows))
        BLAS.multiply(input, wideWeight, into: output)
        output.narrow(addingBias: bias.base, into: out[rows, 0..<out.columns])
      }
    }
  }

  /// residual += layerScale ⊙ (x · weightᵀ + bias): the end of each branch of a block.
  ///
  /// Layer scale: Touvron et al., "Going deeper with Image Transformers", arXiv:2103.17239, section 2.
  /// - Parameters:
  ///   - x: [R, K].
  ///   - weight: [D, K].
  ///   - bias: [D]; nil for none.
  ///   - layerScale: [D]; nil for 1.
  ///   - residual: [R, D].
  ///   - arena: scratch for [R, D], used with a layer scale only.
  public func linearResidual(
    _ x: MatrixView, weight: MatrixView, bias: UnsafePointer<Float>?, layerScale: UnsafePointer<Float>?,
    into residual: MutableMatrixView, arena: Arena
  ) {
    checkLinear(x, weight, residual, "linearResidual")
    let (bias, layerScale) = (SharedVector(bias), SharedVector(layerScale))
    guard layerScale.base != nil else {
      splitProduct(x, weight) { rows, columns in
        let block = residual[rows, columns]
        BLAS.multiply(x.rowBlock(rows), weight.rowBlock(columns), .transposed, addend: 1, into: block)
        guard let bias = bias.from(columns.lowerBound) else { return }
        Operations.active.add_bias(block.base, block.rowStride, block.rows, block.columns, bias)
      }
      return
    }
    arena.scope {
      let scratch = arena.matrix(rows: residual.rows, columns: residual.columns)
      splitProduct(x, weight) { rows, columns in
        let (branch, block) = (scratch[rows, columns], residual[rows, columns])
        BLAS.multiply(x.rowBlock(rows), weight.rowBlock(columns), .transposed, into: branch)
        Operations.active.add_residual(
          block.base, block.rowStride, branch.base, branch.rowStride, block.rows, block.columns,
          layerScale.from(columns.lowerBound), bias.from(columns.lowerBound))
      }
    }
  }

  /// Splits the product of x [R, K] and weight [O, K] over the threads: calls `body` with ranges of rows and
  /// columns that together make R × O.
  ///
  /// The longer side is split, because each thread repacks the operand that belongs to the other side.
  private func splitProduct(
    _ x: MatrixView, _ weight: MatrixView,
    _ body: @Sendable (_ rows: Range<Int>, _ columns: Range<Int>) -> Void
  ) {
    guard x.rows > 0 && weight.rows > 0 else { return }
    let work = 2 * x.rows * weight.rows * x.columns
    if x.rows > weight.rows {
      split(x.rows, work: work) { rows in body(rows, 0..<weight.rows) }
    } else {
      split(weight.rows, work: work) { columns in body(0..<x.rows, columns) }
    }
  }

  private func checkLinear(
    _ x: MatrixView, _ weight: MatrixView, _ out: MutableMatrixView, _ operation: StaticString
  ) {
    precondition(
      x.columns == weight.columns && out.rows == x.rows && out.columns == weight.rows,
      """
      \(operation): x [\(x.rows), \(x.columns)] and weight [\(weight.rows), \(weight.columns)] \
      do not fit [\(out.rows), \(out.columns)]
      """)
  }
}
