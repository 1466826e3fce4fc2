import Kernels

/// The attention of a block, and who looks at it.
extension BlockWalk {
  /// Shows what the tokens of an image attend to in a head, [N, N].
  typealias ShowAttention = (_ branch: Int, _ image: Int, _ head: Int, MatrixView) -> Void

  /// The heads of all rows.
  /// - Parameter show: somebody who looks at the probabilities; not of a narrowed walk.
  func attend(
    _ block: Parameters.Block, _ compute: Compute, _ arena: Arena, showing show: ShowAttention? = nil
  ) {
    let dim = tokens.columns
    let (keyColumns, valueColumns) = (dim..<2 * dim, 2 * dim..<3 * dim)
    for (index, (branch, memory)) in zip(block.attentions, branches).enumerated() {
      let input: AttentionInput
      switch memory.projections {
      case .halves(let queries, let qkv):
        let rows = 0..<qkv.rows
        input = .halves(queries: queries, keys: qkv[rows, keyColumns], values: qkv[rows, valueColumns])
      case .floats(let queries, let qkv):
        let rows = 0..<qkv.rows
        let (keys, values) = (qkv[rows, keyColumns].view, qkv[rows, valueColumns].view)
        if let differential = branch.differential, case .floats(let heads) = memory.heads {
          subtract(
            queries.view, keys, values, differential, into: heads, compute, arena,
            showing: show.map { show in { show(index, $0, $1, $2) } })
          continue
        }
        input = .floats(queries: queries.view, keys: keys, values: values)
      }
      let output: AttentionOutput =
        switch memory.heads {
        case .halves(let heads): .halves(heads)
        case .floats(let heads): .floats(heads)
        }
      if let show {
        attend(input, into: output, compute, arena) { show(index, $0, $1, $2) }
      } else {
        compute.attention(
          input, images: images, numHeads: model.configuration.numHeads, into: output, arena: arena)
      }
    }
  }

  /// Bytes of probabilities that are kept at a time for somebody to look at, or those of one head of one image.
  private static let shownBytes = 32 << 20

  /// Attention of some images and heads at a time, each of which is shown.
  private func attend(
    _ input: AttentionInput, into output: AttentionOutput, _ compute: Compute, _ arena: Arena,
    showing show: (_ image: Int, _ head: Int, MatrixView) -> Void
  ) {
    let (numHeads, width) = (model.configuration.numHeads, model.configuration.headDim)
    let n = tokens.rows / images
    let matrices = max(1, Self.shownBytes / (4 * n * n))
    let (imageStep, headStep) = (min(images, matrices), max(1, matrices / images))
    for firstImage in stride(from: 0, to: images, by: imageStep) {
      let shown = firstImage..<min(images, firstImage + imageStep)
      for firstHead in stride(from: 0, to: numHeads, by: headStep) {
        let heads = firstHead..<min(numHeads, firstHead + headStep)
        let rows = shown.lowerBound * n..<shown.upperBound * n
        let columns = heads.lowerBound * width..<heads.upperBound * width
        arena.scope {
          let probabilities = arena.matrix(rows: shown.count * heads.count * n, columns: n)
          compute.attention(
            input[rows, columns], images: shown.count, numHeads: heads.count, into: output[rows, columns],
            probabilities: probabilities, arena: arena)
          for (place, image) in shown.enumerated() {
            for (offset, head) in heads.enumerated() {
              let start = (place * heads.count + offset) * n
              show(image, head, probabilities[start..<start + n, 0..<n].view)
            }
          }
        }
      }
    }
  }

  /// The difference of two attentions, each head with queries and keys of half its width (timm's `DiffAttention`).
  private func subtract(
    _ queries: MatrixView, _ keys: MatrixView, _ values: MatrixView, _ differential: Parameters.Differential,
    into out: MutableMatrixView, _ compute: Compute, _ arena: Arena,
    showing show: ((_ image: Int, _ head: Int, MatrixView) -> Void)?
  ) {
    let width = model.configuration.headDim
    let (rows, keyRows) = (0..<queries.rows, 0..<keys.rows)
    arena.scope {
      let second = arena.matrix(rows: queries.rows, columns: width)
      let numKeys = keys.rows / images
      let probabilities = (0..<2).map { _ in
        show == nil ? nil : arena.matrix(rows: queries.rows, columns: numKeys)
      }
      for head in 0..<model.configuration.numHeads {
        let columns = head * width..<(head + 1) * width
        let middle = columns.lowerBound + width / 2
        let target = out[rows, columns]
        let halves = [(columns.lowerBound..<middle, target), (middle..<columns.upperBound, second)]
        for ((half, result), probabilities) in zip(halves, probabilities) {
          compute.attention(
            .floats(
              queries: queries[rows, half], keys: keys[keyRows, half], values: values[keyRows, columns]),
            images: images, numHeads: 1, into: .floats(result), probabilities: probabilities, arena: arena)
        }
        subtract(second.view, times: differential.lambda, from: target)
        compute.normalize(target.view, differential.norm, into: target)
        if let show, let first = probabilities[0], let second = probabilities[1] {
          subtract(second.view, times: differential.lambda, from: first)
          for image in 0..<images {
            show(image, head, first[image * numKeys..<(image + 1) * numKeys, 0..<numKeys].view)
          }
        }
      }
    }
  }

  /// a -= factor * b
  private func subtract(_ b: MatrixView, times factor: Float, from a: MutableMatrixView) {
    for row in 0..<a.rows {
      let (a, b) = (a.row(row), b.row(row))
      for column in a.indices { a[column] -= factor * b[column] }
    }
  }
}
