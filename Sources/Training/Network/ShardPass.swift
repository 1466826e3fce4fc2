import Kernels
import VisionTransformer

/// The forward and the backward pass of one worker over its share of a batch, on one thread.
///
/// The walk is that of timm's `VisionTransformer.forward` (arXiv 2010.11929, equations 1 to 4). Activations live in an arena that grows
/// in the first step and stays.
final class ShardPass {
  /// Which parameters get gradients.
  enum Extent: Sendable {
    case all
    /// The heads alone: a linear probe.
    case head
    /// None: the gradients of activations alone are wanted.
    case none
  }

  let slots: ModelSlots
  let configuration: ViTConfiguration
  let rates: DropoutRates
  let activation: Activation
  let compute = Compute()
  let arena = Arena()
  let products: Products
  /// Those of this pass, packed.
  let weights: PackedWeights
  private let gradientBuffer: FloatBuffer
  /// Whether the backward pass computes each block's activations again, from the tokens in front of it.
  private let recomputes: Bool
  private let extent: Extent

  /// The weights of this pass.
  private(set) var values: ParameterValues
  /// B
  private(set) var batch = 0
  /// nil where nothing is dropped.
  private(set) var dropout: Dropout?
  /// For each sample the numbers of its patches that become tokens, in ascending order; nil where all do.
  private(set) var keptPatches: [[Int]]?

  /// - Parameter weights: packed by the caller before each pass.
  init(
    _ layout: ParameterLayout, rates: DropoutRates, recomputes: Bool, extent: Extent, precision: Precision,
    weights: PackedWeights
  ) {
    slots = layout.slots
    configuration = layout.architecture.configuration
    self.rates = rates
    self.recomputes = recomputes
    self.extent = extent
    products = Products(precision: precision, arena: arena)
    self.weights = weights
    activation = configuration.activation.function
    gradientBuffer = FloatBuffer(count: extent == .none ? 0 : layout.bufferCount)
    values = ParameterValues(base: gradientBuffer.base)
  }

  /// Whether parameters get gradients.
  var trainsParameters: Bool { extent != .none }

  /// Sees the attention probabilities of a head, [queries, N], and their gradient, as the backward pass comes to them: blocks from the
  /// last to the first.
  typealias AttentionObserver = (
    _ block: Int, _ sample: Int, _ head: Int, _ probabilities: MatrixView, _ gradient: MatrixView
  ) -> Void
  private(set) var attentionObserver: AttentionObserver?
  /// Whether another backward pass over the same activations follows.
  private(set) var keepsActivations = false

  /// The gradients of the last training pass.
  var gradients: ParameterValues { ParameterValues(base: gradientBuffer.base) }

  /// N
  var numTokens: Int { numPrefixTokens + numPatches }
  /// The patches of a sample that become tokens.
  var numPatches: Int { keptPatches?.first?.count ?? allPatches }
  private var allPatches: Int { configuration.gridSize.height * configuration.gridSize.width }
  var numPrefixTokens: Int { configuration.numPrefixTokens }

  /// Samples to be worked on.
  struct Shard {
    /// float32 [B, channels, height, width]
    let pixels: UnsafePointer<Float>
    /// [B, C]
    let targets: MatrixView
    /// [B]
    let labels: UnsafeBufferPointer<Int>
  }

  /// Forward and backward; `gradients` holds the result.
  /// - Parameter weight: 1 / the number of samples that the loss is the mean of.
  func train(_ shard: Shard, values: ParameterValues, weight: Float, dropout: Dropout?) -> Totals {
    gradientBuffer.base.update(repeating: 0, count: gradientBuffer.count)
    begin(shard, values, dropout)
    return arena.scope {
      let head = headActivations()
      let (walk, tokens) = forward(shard, keepsActivations: extent == .all)
      classify(tokens, saving: head)
      let dLogits = arena.matrix(rows: batch, columns: configuration.numClasses)
      let totals = CrossEntropy.evaluate(
        logits: head.logits.view, targets: shard.targets, labels: shard.labels, weight: weight,
        gradient: dLogits)
      guard extent == .all else {
        classifyBackward(head, dLogits, into: nil)
        return totals
      }
      let gradient = arena.matrix(rows: tokens.rows, columns: tokens.columns)
      classifyBackward(head, dLogits, into: gradient)
      backward(walk, gradient)
      return totals
    }
  }

  /// A forward pass, and backward passes from classes of the caller's choice, without dropout; parameters get no gradients.
  /// - Parameters:
  ///   - shard: one sample, whose targets and labels are not read.
  ///   - choose: receives the logits [C], and gives the classes.
  ///   - observer: gives for each of these, by its number, what sees what comes back to the attentions.
  func explain(
    _ shard: Shard, values: ParameterValues, choose: (UnsafeBufferPointer<Float>) -> [Int],
    observer: (_ pass: Int) -> AttentionObserver
  ) {
    precondition(extent == .none && shard.targets.rows == 1, "a pass that trains, or several samples")
    begin(shard, values, nil)
    defer { (attentionObserver, keepsActivations) = (nil, false) }
    arena.scope {
      let head = headActivations()
      let (walk, tokens) = forward(shard, keepsActivations: true)
      classify(tokens, saving: head)
      let labels = choose(head.logits.view.row(0))
      for (pass, label) in labels.enumerated() {
        attentionObserver = observer(pass)
        keepsActivations = pass + 1 < labels.count
        arena.scope {
          let dLogits = arena.matrix(rows: 1, columns: configuration.numClasses)
          dLogits.row(0).update(repeating: 0)
          dLogits.row(0)[label] = 1
          let gradient = arena.matrix(rows: tokens.rows, columns: tokens.columns)
          classifyBackward(head, dLogits, into: gradient)
          backward(walk, gradient)
        }
      }
    }
  }

  /// The forward pass alone, without dropout.
  /// - Parameter logits: receives [B, C]; nil where only the sums are wanted.
  func evaluate(_ shard: Shard, values: ParameterValues, logits: MutableMatrixView? = nil) -> Totals {
    begin(shard, values, nil)
    return arena.scope {
      let head = headActivations()
      classify(forward(shard, keepsActivations: false).tokens, saving: head)
      logits?.copy(from: head.logits.view)
      return CrossEntropy.evaluate(
        logits: head.logits.view, targets: shard.targets, labels: shard.labels, weight: 0, gradient: nil)
    }
  }

  private func begin(_ shard: Shard, _ values: ParameterValues, _ dropout: Dropout?) {
    batch = shard.targets.rows
    self.values = values
    self.dropout = dropout
    keptPatches =
      if let dropout, dropout.rates.patch > 0 {
        (0..<batch).map { dropout.patches(of: allPatches, sample: $0) }
      } else {
        nil
      }
  }

  // MARK: The walk

  /// What the backward pass needs.
  private struct Walk {
    /// [B · patches, channels · P · P]
    let patches: MatrixView
    let projected: MatrixView?
    /// Tokens in front of `norm_pre` [R, D]; nil where there is none.
    let unnormed: MatrixView?
    /// Each block's input [R, D], and behind the last block its output [Q, D].
    var tokens: [MatrixView]
    /// Empty where they are computed again.
    var blocks: [BlockActivations]
  }

  /// - Parameter keepsActivations: whether a backward pass follows.
  /// - Returns: what it needs, and the last block's tokens [Q, D] behind the last norm.
  private func forward(_ shard: Shard, keepsActivations: Bool) -> (Walk, tokens: MatrixView) {
    let (rows, d) = (batch * numTokens, configuration.embedDim)
    func tokens() -> MutableMatrixView { arena.matrix(rows: rows, columns: d) }
    let patches = arena.matrix(
      rows: batch * numPatches, columns: configuration.patchDim)
    let projected = slots.patchNorm == nil ? nil : arena.matrix(rows: patches.rows, columns: d)
    var x = tokens()
    embed(shard.pixels, patches: patches, projected: projected, into: x)
    let unnormed = slots.preNorm == nil ? nil : x
    if let norm = slots.preNorm {
      x = tokens()
      normalize(unnormed?.view ?? x.view, norm, into: x)
    }
    var walk = Walk(
      patches: patches.view, projected: projected?.view, unnormed: unnormed?.view, tokens: [x.view],
      blocks: [])
    let spare = tokens()
    for index in slots.blocks.indices {
      let outputs = 0..<batch * numQueries(index)
      if keepsActivations {
        let output = arena.matrix(rows: outputs.count, columns: d)
        if recomputes {
          arena.scope { forward(index, saving: activations(of: index, input: x.view), into: output) }
        } else {
          let saved = activations(of: index, input: x.view)
          forward(index, saving: saved, into: output)
          walk.blocks.append(saved)
        }
        x = output
        walk.tokens.append(x.view)
      } else {
        let output = spare[outputs, 0..<d]
        arena.scope { forward(index, saving: activations(of: index, input: x.view), into: output) }
        x = x[outputs, 0..<d]
        x.copy(from: output.view)
      }
    }
    return (walk, slots.norm.map { normalized(x.view, $0) } ?? x.view)
  }

  /// - Parameter gradient: that of the tokens behind the last norm [Q, D]; used up.
  private func backward(_ walk: Walk, _ gradient: MutableMatrixView) {
    var gradient = gradient
    if let norm = slots.norm, let last = walk.tokens.last {
      normBackward(last, norm, gradient.view, into: gradient, adding: false)
    }
    for index in slots.blocks.indices.reversed() {
      let input = walk.tokens[index]
      // In place where the block has as many outputs as inputs.
      let dInput =
        gradient.rows == input.rows ? gradient : arena.matrix(rows: input.rows, columns: input.columns)
      if recomputes {
        arena.scope {
          let saved = activations(of: index, input: input)
          arena.scope {
            let output = arena.matrix(rows: gradient.rows, columns: gradient.columns)
            forward(index, saving: saved, into: output)
          }
          backward(index, saved: saved, gradient, into: dInput)
        }
      } else {
        backward(index, saved: walk.blocks[index], gradient, into: dInput)
      }
      gradient = dInput
    }
    guard trainsParameters else { return }
    if let norm = slots.preNorm, let unnormed = walk.unnormed {
      normBackward(unnormed, norm, gradient.view, into: gradient, adding: false)
    }
    embeddingBackward(patches: walk.patches, projected: walk.projected, gradient)
  }
}
