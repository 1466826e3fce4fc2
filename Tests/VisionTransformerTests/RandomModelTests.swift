import Checkpoints
import Foundation
import Images
import TestSupport
import Testing
import VisionTransformer

/// Models of random weights.
@Suite struct RandomModelTests {
  /// What timm's models have (`scripts/reference/timm_tensors.py`).
  private struct Facts: Decodable {
    let tensors: Int
    let elements: Int
    let hash: String
  }

  private static func fnv1a(_ text: String) -> String {
    let value = text.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  /// Every architecture has the tensors of timm's model: names and shapes. Those that are refused are refused by name.
  @Test func tensorsOfEveryArchitecture() throws {
    let file = try Data(
      contentsOf: URL(fileURLWithPath: Fixtures.folder.appending("timm-tensors.json").string))
    let facts = try JSONDecoder().decode([String: Facts].self, from: file)
    #expect(Set(facts.keys) == Set(TimmArchitectures.entries.map(\.name)))
    var refused: [String] = []
    for entry in TimmArchitectures.entries {
      let expected = try #require(facts[entry.name])
      let descriptions: [RandomTensors.Description]
      do throws(ModelError) {
        descriptions = try ArchitectureTensors(entry).descriptions
      } catch {
        #expect("\(error)".contains("only ResNet-V2 is supported"), "\(error)")
        refused.append(entry.name)
        continue
      }
      #expect(descriptions.count == expected.tensors, "\(entry.name)")
      #expect(
        descriptions.reduce(0) { $0 + $1.shape.reduce(1, *) } == expected.elements, "\(entry.name)")
      let lines = descriptions.sorted { $0.name < $1.name }.map { description in
        ([description.name] + description.shape.map(String.init)).joined(separator: " ") + "\n"
      }
      #expect(Self.fnv1a(lines.joined()) == expected.hash, "\(entry.name): other names or shapes")
    }
    #expect(refused.count == 5)
  }

  /// Every kind of block, pool and embedding opens, runs, and gives finite numbers.
  @Test(arguments: [
    ("test_vit", 32), ("test_vit3", 32), ("vit_pwee_patch16_reg1_gap_256", 32),
    ("vit_dpwee_patch16_reg1_gap_256", 32), ("vit_dwee_patch16_reg1_gap_256", 32),
    ("deit_tiny_distilled_patch16_224", 32), ("vit_tiny_r_s16_p8_224", 64),
  ]) func results(_ name: String, _ size: Int) throws {
    func logits(_ seed: UInt64) throws -> [Float] {
      let model = try VisionTransformer(
        randomWeightsOf: name, seed: seed, options: .init(transform: .init(size: ImageSize(size))))
      #expect(model.warnings.isEmpty && model.architectureName == name)
      #expect(model.transform.size == ImageSize(size))
      let image = Image(
        width: size, height: size, pixels: (0..<size * size * 3).map { UInt8(truncatingIfNeeded: $0 * 37) })
      return InferenceSession(model).run(.images([image])) { output in
        output.logits.map { Array($0.row(0)) } ?? []
      }
    }
    let first = try logits(1)
    #expect(!first.isEmpty && first.allSatisfy(\.isFinite))
    // Neither all alike nor out of proportion.
    let (low, high) = (first.min() ?? 0, first.max() ?? 0)
    #expect(high - low > 0.1 && high < 100 && low > -100)
    #expect(try logits(1) == first)
    #expect(try logits(2) != first)
  }

  @Test func unknownArchitectures() {
    #expect(throws: ModelError.self) { try VisionTransformer(randomWeightsOf: "vit_base_patch17_224") }
    #expect(throws: ModelError.self) { try VisionTransformer(randomWeightsOf: "vit_base_resnet50d_224") }
  }

  @Test func numbersFollowTheirDistribution() throws {
    let container = RandomTensors(
      [.init("a", shape: [100, 200], mean: 1, deviation: 0.5), .init("b", shape: [20_000], deviation: 1)],
      seed: 7, name: "numbers")
    func numbers(_ name: String) throws -> [Float] {
      let tensor = try #require(container.tensors[name])
      return container.elements(of: tensor).withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }
    for (name, mean, deviation) in [("a", 1.0, 0.5), ("b", 0.0, 1.0)] {
      let values = try numbers(name).map(Double.init)
      #expect(values.count == 20_000)
      let average = values.reduce(0, +) / 20_000
      let variance = values.reduce(0) { $0 + ($1 - average) * ($1 - average) } / 20_000
      // Five standard errors: of the mean, and of the deviation (at most that of a normal distribution).
      #expect(abs(average - mean) < 5 * deviation / 141)
      #expect(abs(variance.squareRoot() - deviation) < 5 * deviation / 200)
    }
    #expect(try numbers("a").map { $0 - 1 } != numbers("b").map { $0 / 2 })
  }
}
