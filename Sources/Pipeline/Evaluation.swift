import Checkpoints
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// How often a model is right on a data set, added up image by image.
public struct Evaluation: Sendable {
  /// The data set's classes.
  public let classNames: [String]
  public let mapping: ClassMapping
  /// Images by true class and by the model's most probable one: [data set's classes][model's classes].
  public private(set) var confusion: [[Int]]
  /// Images whose class is among the five most probable ones, by true class.
  private var inFive: [Int]
  private var lossSum = 0.0
  /// Images that could not be read, or for which the network's output is not finite.
  public private(set) var skipped = 0

  public init(classNames: [String], mapping: ClassMapping, numClasses: Int) {
    self.classNames = classNames
    self.mapping = mapping
    confusion = Array(repeating: Array(repeating: 0, count: numClasses), count: classNames.count)
    inFive = Array(repeating: 0, count: classNames.count)
  }

  /// Adds one image.
  /// - Parameters:
  ///   - label: its class in the data set.
  ///   - logits: [model's classes], finite; nil for an image that failed.
  public mutating func add(label: Int, logits: [Float]?) {
    guard let logits else {
      skipped += 1
      return
    }
    let target = mapping.indices[label]
    let own = logits[target]
    var (largest, best) = (-Float.infinity, 0)
    // Among equals the lower index comes first, as in `Prediction.top`.
    var rank = 0
    for (index, logit) in logits.enumerated() {
      if logit > largest { (largest, best) = (logit, index) }
      if logit > own || logit == own && index < target { rank += 1 }
    }
    let total = logits.reduce(0.0) { $0 + exp(Double($1) - Double(largest)) }
    lossSum += log(total) + Double(largest) - Double(own)
    confusion[label][best] += 1
    if rank < 5 { inFive[label] += 1 }
  }

  /// Images that went through.
  public var images: Int { confusion.joined().reduce(0, +) }

  public var report: EvaluationReport {
    let counts = confusion.map { $0.reduce(0, +) }
    let right = confusion.indices.map { confusion[$0][mapping.indices[$0]] }
    func share(_ part: Int, of whole: Int) -> Double? { whole > 0 ? Double(part) / Double(whole) : nil }
    let images = self.images
    return EvaluationReport(
      images: images, skipped: skipped, loss: images > 0 ? lossSum / Double(images) : nil,
      top1: share(right.reduce(0, +), of: images), top5: share(inFive.reduce(0, +), of: images),
      classes: classNames.indices.map {
        .init(label: classNames[$0], images: counts[$0], top1: share(right[$0], of: counts[$0]))
      })
  }

  /// The confusion matrix with the model's classes in the order of the data set's, so that what is right lies on the diagonal, and behind them the
  /// sum of those that the data set does not have, where any image was taken for one: [data set's classes][columns].
  /// - Parameter labels: of the model's classes; nil for their indices.
  public func alignedConfusion(labels: [String]?) -> (columns: [String], counts: [[Int]]) {
    let known = Set(mapping.indices)
    var columns = mapping.indices.map { labels?[$0] ?? "\($0)" }
    var counts = confusion.map { row in mapping.indices.map { row[$0] } }
    let others = confusion.map { row in row.indices.reduce(0) { known.contains($1) ? $0 : $0 + row[$1] } }
    if others.contains(where: { $0 > 0 }) {
      columns.append("another class")
      for row in counts.indices { counts[row].append(others[row]) }
    }
    return (columns, counts)
  }

  /// The confusion matrix as comma-separated values: a line for each of the data set's classes, a column for each of the model's, how many
  /// images of the one were taken for the other. Without the last line end.
  /// - Parameter labels: of the model's classes; nil for their indices.
  public func confusionCSV(labels: [String]?) -> String {
    let columns = (confusion.first ?? []).indices.map { labels?[$0] ?? "\($0)" }
    let header = (["class"] + columns).map(CSVText.field).joined(separator: ",")
    let lines = zip(classNames, confusion).map { name, counts in
      CSVText.field(name) + "," + counts.map(String.init).joined(separator: ",")
    }
    return ([header] + lines).joined(separator: "\n")
  }
}

/// What is said about a model on a data set. Shares are between 0 and 1; nil where there was no image.
public struct EvaluationReport: Codable, Sendable, Equatable {
  /// Images that went through.
  public let images: Int
  /// Images that could not be read.
  public let skipped: Int
  /// Mean cross-entropy, natural logarithm.
  public let loss: Double?
  /// Share of images whose most probable class is theirs.
  public let top1: Double?
  /// Share of images whose class is among the five most probable ones.
  public let top5: Double?
  public let classes: [ClassReport]

  public struct ClassReport: Codable, Sendable, Equatable {
    public let label: String
    public let images: Int
    public let top1: Double?

    public func encode(to encoder: any Encoder) throws {
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encode(label, forKey: .label)
      try container.encode(images, forKey: .images)
      try container.encode(top1, forKey: .top1)
    }
  }

  /// With null for what is not known, so that every report has the same keys.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(images, forKey: .images)
    try container.encode(skipped, forKey: .skipped)
    try container.encode(loss, forKey: .loss)
    try container.encode(top1, forKey: .top1)
    try container.encode(top5, forKey: .top5)
    try container.encode(classes, forKey: .classes)
  }

  /// Writes the report as JSON, whole or not at all.
  /// - Throws: `CheckpointError.unwritable`.
  public func write(to path: FilePath) throws { try write(to: AtomicFile(path)) }

  /// Writes the report as JSON into a place that was taken before.
  /// - Throws: `CheckpointError.unwritable`.
  package func write(to file: AtomicFile) throws { try JSONValue(encoding: self).write(to: file) }

  /// For people: a line for each class, then the whole. Without the last line end.
  public var table: String {
    func percent(_ share: Double?) -> String {
      guard let share else { return "-" }
      let hundredths = Int((share * 10_000).rounded())
      let rest = hundredths % 100
      return "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest) %"
    }
    func padded(_ text: String, _ width: Int) -> String {
      String(repeating: " ", count: max(0, width - text.count)) + text
    }
    let width = max(8, classes.map { $0.label.visible.count }.max() ?? 0)
    func line(_ name: String, _ images: String, _ top1: String) -> String {
      let name = name.visible + String(repeating: " ", count: width - name.visible.count)
      return "\(name)  \(padded(images, 9))  \(padded(top1, 8))\n"
    }
    var lines = line("class", "images", "top-1")
    for report in classes { lines += line(report.label, "\(report.images)", percent(report.top1)) }
    lines += line("all", "\(images)", percent(top1)) + "\n"
    let loss = loss.map { "\(($0 * 10_000).rounded() / 10_000)" } ?? "-"
    return lines + "top-1 \(percent(top1))  top-5 \(percent(top5))  loss \(loss)"
  }
}
