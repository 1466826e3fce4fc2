import Images
import TestSupport
import Testing
import Training

/// AutoAugment, RandAugment, TrivialAugment and colour jitter against torchvision's.
@Suite struct PolicyTests {
  private struct Case: Decodable {
    let result, source: String
    let policy: String?
    let subpolicy: Int?
    let chances: [Double]?
    let negative: [Bool]?
    let order: [Int]?
    let factors: [Double]?
  }

  private struct Table: Decodable {
    let table: String
    let size: [Int]
    let bins: Int
    let op: String
    let signed: Bool
    let magnitudes: [Float]?
  }

  private let fixture: AugmentationFixture

  init() throws {
    fixture = try AugmentationFixture("policies")
  }

  @Test func imagesOfGivenChoices() throws {
    var policies = Set<String>()
    for test in try fixture.cases(Case.self) {
      let source = try fixture.source(test.source)
      let result: Image
      if let name = test.policy, let index = test.subpolicy, let chances = test.chances,
        let negative = test.negative
      {
        let augment = AutoAugment(policy: try #require(AutoAugmentPolicy(rawValue: name)))
        policies.insert(name)
        let operations = augment.operations(index, chances: chances, areNegative: negative, size: source.size)
        result = augment.apply(operations, to: source)
      } else {
        let factors = try #require(test.factors)
        let changes: [ColorJitter.Change] = [
          .brightness(factors[0]), .contrast(factors[1]), .saturation(factors[2]), .hue(factors[3]),
        ]
        result = ColorJitter.apply(try #require(test.order).map { changes[$0] }, to: source)
      }
      let difference = result.difference(from: try fixture.image(test.result))
      #expect(difference == nil, "\(test.policy ?? "jitter") \(test.subpolicy ?? 0): \(difference ?? "")")
    }
    #expect(policies.count == 3)
  }

  /// The tables of magnitudes to the last bit: where they are cut off to whole pixels, it counts.
  @Test func magnitudes() throws {
    let tables = try fixture.metadata("tables", as: [Table].self)
    #expect(tables.count > 150)
    for table in tables {
      let operation = try #require(PolicyOperation(rawValue: table.op))
      let size = ImageSize(height: table.size[0], width: table.size[1])
      let magnitudes = (table.table == "wide" ? MagnitudeTable.wide : .usual(size)).magnitudes(
        of: operation, bins: table.bins)
      #expect(magnitudes == table.magnitudes, "\(table.table) \(table.op) \(table.bins) \(size)")
      #expect(operation.isSigned == table.signed)
    }
  }

  @Test func subPolicies() throws {
    struct Choice: Decodable, Equatable {
      let operation: String
      let probability: Double
      let magnitude: Int?

      init(_ choice: AutoAugmentPolicy.Choice) {
        (operation, probability, magnitude) = (
          choice.operation.rawValue, choice.probability, choice.magnitude
        )
      }

      init(from decoder: any Decoder) throws {
        var list = try decoder.unkeyedContainer()
        operation = try list.decode(String.self)
        probability = try list.decode(Double.self)
        magnitude = try list.decodeIfPresent(Int.self)
      }
    }
    let expected = try fixture.metadata("subpolicies", as: [String: [[Choice]]].self)
    #expect(expected.count == AutoAugmentPolicy.allCases.count)
    for policy in AutoAugmentPolicy.allCases {
      #expect(policy.subPolicies.map { $0.map(Choice.init) } == expected[policy.rawValue])
    }
  }

  // MARK: - Chance

  private func name(of operation: PixelOperation) -> String {
    "\(operation)".prefix { $0 != "(" }.lowercased()
  }

  @Test func randAugmentDrawsEvenly() throws {
    let augment = try RandAugment(operations: 3, magnitude: 15)
    let size = ImageSize(height: 100, width: 200)
    var counts: [String: Int] = [:]
    var negatives = 0
    var random = CounterRandom(seed: 1, stream: 2)
    for _ in 0..<4000 {
      let operations = augment.choose(size: size, random: &random)
      #expect(operations.count == 3)
      for operation in operations {
        counts[name(of: operation), default: 0] += 1
        if case .translateX(let pixels) = operation {
          #expect(abs(abs(pixels) - 45.317) < 0.001)
          if pixels < 0 { negatives += 1 }
        }
      }
    }
    let drawn = try fixture.metadata("drawn", as: [String].self)
    #expect(Set(counts.keys) == Set(drawn.map { $0.lowercased() }))
    // 12,000 draws among 14: 857 each, with a deviation of 28.
    for (name, count) in counts { #expect(abs(count - 857) < 150, "\(name): \(count)") }
    #expect(abs(negatives - 430) < 100)
  }

  @Test func trivialAugmentDrawsEveryMagnitude() throws {
    let augment = try TrivialAugment()
    var rotations: [Double: Int] = [:]
    var random = CounterRandom(seed: 3, stream: 2)
    for _ in 0..<20_000 {
      if case .rotate(let degrees) = augment.choose(random: &random) { rotations[degrees, default: 0] += 1 }
    }
    // 31 magnitudes of two signs, and one zero.
    #expect(rotations.count == 61 && rotations.keys.max() == 135 && rotations.keys.min() == -135)
    #expect(abs(rotations.values.reduce(0, +) - 1429) < 200)
  }

  @Test func autoAugmentAppliesByProbability() {
    let augment = AutoAugment(policy: .cifar10)
    var random = CounterRandom(seed: 4, stream: 2)
    var count = 0
    for _ in 0..<10_000 { count += augment.choose(size: ImageSize(32), random: &random).count }
    let expected = AutoAugmentPolicy.cifar10.subPolicies.joined().reduce(0.0) { $0 + $1.probability } / 25
    #expect(abs(Double(count) / 10_000 - expected) < 0.03)
  }

  @Test func colorJitterDrawsWithinBounds() throws {
    let jitter = try ColorJitter(brightness: 0.6...1.4, saturation: 0.9...1.1, hue: -0.1...0.2)
    var random = CounterRandom(seed: 5, stream: 2)
    var firsts: [String: Int] = [:]
    var sums = (brightness: 0.0, hue: 0.0)
    for _ in 0..<6000 {
      let changes = jitter.choose(random: &random)
      #expect(changes.count == 3)
      firsts["\(changes[0])".prefix { $0 != "(" }.description, default: 0] += 1
      for change in changes {
        switch change {
        case .brightness(let factor):
          #expect((0.6...1.4).contains(factor))
          sums.brightness += factor
        case .saturation(let factor): #expect((0.9...1.1).contains(factor))
        case .hue(let share):
          #expect((-0.1...0.2).contains(share))
          sums.hue += share
        case .contrast: Issue.record("no contrast was asked for")
        }
      }
    }
    #expect(abs(sums.brightness / 6000 - 1) < 0.01 && abs(sums.hue / 6000 - 0.05) < 0.005)
    #expect(firsts.count == 3 && firsts.values.allSatisfy { abs($0 - 2000) < 200 })
  }
}
