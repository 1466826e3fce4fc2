import Kernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Sums over samples: what the metrics are made of.
public struct Totals: Sendable, Equatable {
  public var samples = 0
  /// The sum of the samples' losses.
  public var loss = 0.0
  /// Samples whose label has the largest logit, and one of the five largest.
  public var top1 = 0
  public var top5 = 0

  public init() {}

  public static func += (a: inout Totals, b: Totals) {
    a.samples += b.samples
    a.loss += b.loss
    a.top1 += b.top1
    a.top5 += b.top5
  }

  public var meanLoss: Double { samples > 0 ? loss / Double(samples) : 0 }
  public var top1Share: Double { samples > 0 ? Double(top1) / Double(samples) : 0 }
  public var top5Share: Double { samples > 0 ? Double(top5) / Double(samples) : 0 }
}

/// Cross entropy with soft targets: -sum over classes of t · log softmax(logits), timm's `SoftTargetCrossEntropy`.
enum CrossEntropy {
  /// - Parameters:
  ///   - logits: [B, C].
  ///   - targets: [B, C], each row with a sum of 1.
  ///   - labels: [B], for the shares that are right.
  ///   - weight: multiplies the gradient: 1 / the number of samples that the mean is over.
  ///   - gradient: receives that of the logits [B, C]; nil where it is not wanted.
  /// - Returns: sums over the samples.
  static func evaluate(
    logits: MatrixView, targets: MatrixView, labels: UnsafeBufferPointer<Int>, weight: Float,
    gradient: MutableMatrixView?
  ) -> Totals {
    var totals = Totals()
    for sample in 0..<logits.rows {
      let (z, t) = (logits.row(sample), targets.row(sample))
      // Double precision: the loss is a small difference of large numbers where the model is sure.
      let largest = Double(z.max() ?? 0)
      var sum = 0.0
      for value in z { sum += exp(Double(value) - largest) }
      let logSum = largest + log(sum)
      var (loss, mass) = (0.0, 0.0)
      for column in t.indices {
        loss -= Double(t[column]) * (Double(z[column]) - logSum)
        mass += Double(t[column])
      }
      totals.loss += loss
      let label = labels[sample]
      // Of equal logits the first counts as the larger, as in a stable sort. With a NaN nothing is right.
      var above = z[label].isNaN ? z.count : 0
      for column in z.indices where z[column] > z[label] || (z[column] == z[label] && column < label) {
        above += 1
      }
      totals.top1 += above < 1 ? 1 : 0
      totals.top5 += above < 5 ? 1 : 0
      guard let result = gradient?.row(sample) else { continue }
      for column in z.indices {
        let probability = exp(Double(z[column]) - logSum)
        result[column] = weight * Float(mass * probability - Double(t[column]))
      }
    }
    totals.samples = logits.rows
    return totals
  }
}
