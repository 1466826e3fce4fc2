import Kernels

/// Pixels to tokens, forward and backward: patches are projected, positions added, prefix tokens put in front.
extension ShardPass {
  /// - Parameters:
  ///   - pixels: float32 [B, channels, height, width].
  ///   - patches: receives the patch rows [B · patches, channels · P · P].
  ///   - projected: receives the projected patches [B · patches, D] where a norm follows; nil elsewhere.
  ///   - tokens: receives [B · N, D], before the norm in front of the blocks.
  func embed(
    _ pixels: UnsafePointer<Float>, patches: MutableMatrixView, projected: MutableMatrixView?,
    into tokens: MutableMatrixView
  ) {
    writePatches(pixels, into: patches)
    arena.scope {
      let d = tokens.columns
      let result = projected ?? arena.matrix(rows: patches.rows, columns: d)
      linear(patches.view, slots.patchEmbedding, into: result)
      let embedded = slots.patchNorm.map { normalized(result.view, $0) } ?? result.view
      for sample in 0..<batch {
        let first = sample * numTokens
        tokens[first + numPrefixTokens..<first + numTokens, 0..<d].copy(
          from: embedded[sample * numPatches..<(sample + 1) * numPatches, 0..<d])
        var row = first
        for token in slots.prefixTokens {
          tokens[row..<row + token.rows, 0..<d].copy(from: values[token])
          row += token.rows
        }
        forEachPositioned(sample) { rows, positions in
          Elementwise.add(values[positions], to: tokens[rows, 0..<d])
        }
      }
    }
    dropout?.apply(rates.embedding, .embedding, batch: batch, to: tokens)
  }

  /// - Parameter gradient: that of the tokens [B · N, D]; used up.
  func embeddingBackward(
    patches: MatrixView, projected: MatrixView?, _ gradient: MutableMatrixView
  ) {
    dropout?.apply(rates.embedding, .embedding, batch: batch, to: gradient)
    arena.scope {
      let d = gradient.columns
      let dPatches = arena.matrix(rows: patches.rows, columns: d)
      for sample in 0..<batch {
        let first = sample * numTokens
        forEachPositioned(sample) { rows, positions in
          Elementwise.add(gradient[rows, 0..<d].view, to: gradients.mutable(positions))
        }
        var row = first
        for token in slots.prefixTokens {
          Elementwise.add(gradient[row..<row + token.rows, 0..<d].view, to: gradients.mutable(token))
          row += token.rows
        }
        dPatches[sample * numPatches..<(sample + 1) * numPatches, 0..<d].copy(
          from: gradient[first + numPrefixTokens..<first + numTokens, 0..<d].view)
      }
      if let norm = slots.patchNorm, let projected {
        normBackward(projected, norm, dPatches.view, into: dPatches, adding: false)
      }
      linearBackward(patches, slots.patchEmbedding, dPatches.view)
    }
  }

  /// Calls `body` for the runs of one sample's tokens that have positions, and the positions' place.
  private func forEachPositioned(_ sample: Int, _ body: (_ rows: Range<Int>, _ positions: Slot) -> Void) {
    guard let positions = slots.positions else { return }
    let first = sample * numTokens
    let (numPositioned, d) = (configuration.numPositionedPrefixTokens, positions.columns)
    func part(_ rows: Range<Int>) -> Slot {
      Slot(offset: positions.offset + rows.lowerBound * d, rows: rows.count, columns: d)
    }
    if numPositioned > 0 { body(first..<first + numPositioned, part(0..<numPositioned)) }
    let patches = first + numPrefixTokens
    guard let kept = keptPatches?[sample] else {
      return body(patches..<patches + numPatches, part(numPositioned..<positions.rows))
    }
    for (row, patch) in kept.enumerated() {
      body(patches + row..<patches + row + 1, part(numPositioned + patch..<numPositioned + patch + 1))
    }
  }

  /// Patches in the order of reading, those alone that become tokens; within a patch channel, then row, then column.
  private func writePatches(_ pixels: UnsafePointer<Float>, into patches: MutableMatrixView) {
    let (grid, patch) = (configuration.gridSize, configuration.patchSize)
    let (height, width) = (configuration.imageSize.height, configuration.imageSize.width)
    let channels = configuration.inChannels
    for sample in 0..<batch {
      let image = pixels + sample * channels * height * width
      for index in 0..<numPatches {
        let (row, column) = (keptPatches?[sample][index] ?? index).quotientAndRemainder(
          dividingBy: grid.width)
        var target = patches.base + (sample * numPatches + index) * patches.rowStride
        for channel in 0..<channels {
          for line in 0..<patch.height {
            let source = (channel * height + row * patch.height + line) * width + column * patch.width
            target.update(from: image + source, count: patch.width)
            target += patch.width
          }
        }
      }
    }
  }
}
