import Kernels

/// Shares of values that are dropped while training, by timm's names.
public struct DropoutRates: Codable, Sendable, Equatable {
  /// Of each sample's patches, behind the positions; the blocks see the others alone, and so have less to do (`patch_drop_rate`; Li et
  /// al., arXiv:2212.00794). Prefix tokens stay.
  public var patch = 0.0
  /// The first epochs, in which patches are dropped; nil for all. Evaluation sees every patch, and a network that does so in its last
  /// epochs does better there.
  public var patchEpochs: Int?
  /// Of the tokens' values after the positions were added (`pos_drop_rate`).
  public var embedding: Float = 0
  /// Of the values behind the attention's projection, and in the MLP (`proj_drop_rate`).
  public var projection: Float = 0
  /// Of the attention's probabilities (`attn_drop_rate`).
  public var attention: Float = 0
  /// Of whole branches, a sample at a time; from 0 in the first block rising to this in the last (`drop_path_rate`: stochastic depth,
  /// arXiv 1603.09382).
  public var path: Float = 0
  /// Of the features in front of the head (`drop_rate`).
  public var head: Float = 0

  public init() {}

  enum CodingKeys: String, CodingKey {
    case patch, embedding, projection, attention, path, head
    case patchEpochs = "patch_epochs"
  }

  /// What is dropped in an epoch, counted from 0.
  func inEpoch(_ epoch: Int) -> DropoutRates {
    var rates = self
    if let patchEpochs, epoch >= patchEpochs { rates.patch = 0 }
    rates.patchEpochs = nil
    return rates
  }

  /// How many of `count` patches stay, as timm's `PatchDropout` counts: at least one.
  public func keptPatches(of count: Int) -> Int {
    max(1, Int(Double(count) * (1 - patch)))
  }
}

/// Draws what is dropped. The same place (step, sample, layer) gives the same mask in the forward and the backward pass, whatever the
/// number of threads.
struct Dropout: Sendable {
  let rates: DropoutRates
  let depth: Int
  let seed: UInt64
  /// Number of the optimiser's step.
  let step: Int
  /// The place in the step's whole batch of the first sample that is worked on.
  let firstSample: Int

  /// Where in the network something is dropped.
  enum Site {
    case embedding
    case patches
    case attention(block: Int, head: Int)
    case projection(block: Int)
    case hidden(block: Int)
    case output(block: Int)
    case attentionPath(block: Int)
    case mlpPath(block: Int)
    case head

    var number: UInt64 {
      func number(_ block: Int, _ kind: Int, _ head: Int = 0) -> UInt64 {
        UInt64(block + 1) << 24 | UInt64(kind) << 16 | UInt64(head)
      }
      return switch self {
      case .embedding: 0
      case .head: 1
      case .patches: 2
      case .attention(let block, let head): number(block, 0, head)
      case .projection(let block): number(block, 1)
      case .hidden(let block): number(block, 2)
      case .output(let block): number(block, 3)
      case .attentionPath(let block): number(block, 4)
      case .mlpPath(let block): number(block, 5)
      }
    }
  }

  /// The stream of `CounterRandom` that masks come from.
  private static let stream: UInt64 = 0x64_726F_70

  private func random(_ site: Site, sample: Int) -> CounterRandom {
    CounterRandom(
      seed: seed, stream: Self.stream, position: UInt64(step), UInt64(firstSample + sample), site.number)
  }

  /// The patches of a sample that stay, in ascending order: each choice of so many is as probable as another.
  func patches(of count: Int, sample: Int) -> [Int] {
    var random = random(.patches, sample: sample)
    var order = Array(0..<count)
    let kept = rates.keptPatches(of: count)
    // The first steps of Fisher and Yates's shuffle.
    for place in 0..<kept {
      order.swapAt(place, place + random.index(below: count - place))
    }
    return order[..<kept].sorted()
  }

  /// Drops a share of the values of one sample's rows and multiplies the others so that the mean stays.
  func apply(_ rate: Float, _ site: Site, sample: Int, to x: MutableMatrixView) {
    guard rate > 0 else { return }
    var random = random(site, sample: sample)
    let threshold = UInt32(min(65_536, (Double(rate) * 65_536).rounded()))
    let scale = 1 / (1 - rate)
    for row in 0..<x.rows {
      let values = x.row(row)
      var column = 0
      while column < values.count {
        let word = random.word()
        values[column] *= word & 0xFFFF < threshold ? 0 : scale
        if column + 1 < values.count { values[column + 1] *= word >> 16 < threshold ? 0 : scale }
        column += 2
      }
    }
  }

  /// `apply` to all samples of x [B · rows, D]. A sample's first rows get the same mask however many follow.
  func apply(_ rate: Float, _ site: Site, batch: Int, to x: MutableMatrixView) {
    guard rate > 0 else { return }
    let rows = x.rows / batch
    for sample in 0..<batch {
      apply(rate, site, sample: sample, to: x[sample * rows..<(sample + 1) * rows, 0..<x.columns])
    }
  }

  /// The factor of one sample's branch: 0 where it is dropped.
  func pathFactor(_ site: Site, block: Int, sample: Int) -> Float {
    let rate = pathRate(block)
    guard rate > 0 else { return 1 }
    var random = random(site, sample: sample)
    return random.uniform() < rate ? 0 : 1 / (1 - rate)
  }

  func pathRate(_ block: Int) -> Float {
    depth > 1 ? rates.path * Float(block) / Float(depth - 1) : 0
  }
}
