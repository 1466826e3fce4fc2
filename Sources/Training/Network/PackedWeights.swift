import Kernels

/// The weights of the linear layers as products read them, packed once for all shards of a batch.
final class PackedWeights: @unchecked Sendable {
  /// What the weight [O, K] of a layer is multiplied with.
  struct Layer: Sendable {
    /// [K, O]: the layer's input.
    let forward: PackedFactor
    /// [O, K]: the gradient of its output; nil where nobody asks for that of its input.
    let backward: PackedFactor?
  }

  private let buffer: FloatBuffer
  private let slots: [Slot]
  /// By the offset of the weight's slot.
  private let layers: [Int: Layer]

  /// - Parameters:
  ///   - precision: of the products.
  ///   - headOnly: whether the heads alone are trained, so that no gradient goes back through a layer.
  init(_ layout: ParameterLayout, precision: Precision, headOnly: Bool) {
    let model = layout.slots
    let inner = model.blocks.flatMap { block in
      [block.attention.qkv, block.attention.projection, block.mlp.fc1, block.mlp.fc2]
    }
    let passed = (inner + [model.head] + [model.distillationHead].compactMap { $0 }).map(\.weight)
    // The largest first: the threads that pack them are through at about the same time.
    slots = ([model.patchEmbedding.weight] + passed).sorted { ($0.count, $0.offset) > ($1.count, $1.offset) }
    let returning = headOnly ? [] : Set(passed.map(\.offset))

    func count(_ inner: Int, _ outputs: Int) -> Int {
      PackedFactor.floatCount(inner: inner, outputs: outputs, precision: precision)
    }
    let total = slots.reduce(0) { sum, slot in
      sum + count(slot.columns, slot.rows)
        + (returning.contains(slot.offset) ? count(slot.rows, slot.columns) : 0)
    }
    buffer = FloatBuffer(count: total, zeroed: false)
    var layers: [Int: Layer] = [:]
    var place = 0
    for slot in slots {
      let forward = PackedFactor(
        inner: slot.columns, outputs: slot.rows, precision: precision, in: buffer, at: place)
      place += count(slot.columns, slot.rows)
      var backward: PackedFactor?
      if returning.contains(slot.offset) {
        backward = PackedFactor(
          inner: slot.rows, outputs: slot.columns, precision: precision, in: buffer, at: place)
        place += count(slot.rows, slot.columns)
      }
      layers[slot.offset] = Layer(forward: forward, backward: backward)
    }
    self.layers = layers
  }

  /// Packs the weights as they are now, split over the threads of a pool.
  /// - Parameter backward: whether a backward pass follows.
  func pack(_ values: ParameterValues, backward: Bool, pool: ThreadPool) {
    pool.forEach(slots.count) { index in
      let layer = self[slots[index]]
      let weight = values[slots[index]]
      layer.forward.pack(.transposed(weight))
      if backward { layer.backward?.pack(.asIs(weight)) }
    }
  }

  subscript(weight: Slot) -> Layer {
    guard let layer = layers[weight.offset] else {
      preconditionFailure("the weight [\(weight.rows), \(weight.columns)] was not packed")
    }
    return layer
  }
}
