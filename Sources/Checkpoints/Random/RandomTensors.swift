import SystemPackage

/// Tensors of random numbers, made when they are asked for: stands in for a file where what counts is how fast a network computes,
/// not what.
///
/// Each number is a function of the seed, the tensor's name and the number's place in it, so that the same tensors come out on every
/// machine, in whatever order they are asked for.
public struct RandomTensors: TensorContainer {
  /// A tensor and the distribution of its numbers.
  public struct Description: Sendable, Equatable {
    public let name: String
    public let shape: [Int]
    public let mean: Float
    /// Standard deviation.
    public let deviation: Float

    public init(_ name: String, shape: [Int], mean: Float = 0, deviation: Float) {
      (self.name, self.shape, self.mean, self.deviation) = (name, shape, mean, deviation)
    }
  }

  public let format = "random numbers"
  public let tensors: [String: TensorInfo]
  public let metadata: [String: String] = [:]
  private let descriptions: [String: Description]
  private let seed: UInt64
  private let name: FilePath

  /// - Parameters:
  ///   - descriptions: the tensors; names differ from one another.
  ///   - name: stands for the path in messages.
  public init(_ descriptions: [Description], seed: UInt64, name: FilePath) {
    self.descriptions = Dictionary(descriptions.map { ($0.name, $0) }) { $1 }
    tensors = self.descriptions.mapValues { TensorInfo(name: $0.name, type: .float32, shape: $0.shape) }
    (self.seed, self.name) = (seed, name)
  }

  public func path(of tensor: TensorInfo) -> FilePath { name }

  public func elements(of tensor: TensorInfo) -> TensorElements {
    guard let description = descriptions[tensor.name] else {
      preconditionFailure("tensor \"\(tensor.name)\" is not of this container")
    }
    let numbers = Numbers(count: tensor.count)
    let start = CounterHash.value(at: seed, of: CounterHash.key(of: tensor.name))
    // The sum of four uniform numbers of 16 bits is as good as normal here; this is its deviation.
    let scale = description.deviation / 37_837
    for index in 0..<tensor.count {
      let bits = CounterHash.value(at: UInt64(index), of: start)
      let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48)
      numbers.base[index] = description.mean + Float(Int(sum) - 2 * 0xffff) * scale
    }
    return TensorElements(
      UnsafeRawBufferPointer(start: numbers.base, count: tensor.count * MemoryLayout<Float>.stride),
      owner: numbers)
  }

  /// Owned memory.
  private final class Numbers: @unchecked Sendable {
    let base: UnsafeMutablePointer<Float>

    init(count: Int) {
      base = UnsafeMutableRawPointer.allocate(
        byteCount: max(1, count) * MemoryLayout<Float>.stride, alignment: 64
      ).bindMemory(to: Float.self, capacity: max(1, count))
    }

    deinit { UnsafeMutableRawPointer(base).deallocate() }
  }
}

/// Random bits by their place in a sequence: the mixing function of SplitMix64 over a counter (Steele, Lea, Flood, "Fast Splittable
/// Pseudorandom Number Generators", 2014, figure 17).
package enum CounterHash {
  /// The number at a place of the sequence that `key` names.
  @inline(__always)
  package static func value(at counter: UInt64, of key: UInt64) -> UInt64 {
    var bits = key &+ (counter &+ 1) &* 0x9e37_79b9_7f4a_7c15
    bits = (bits ^ (bits >> 30)) &* 0xbf58_476d_1ce4_e5b9
    bits = (bits ^ (bits >> 27)) &* 0x94d0_49bb_1331_11eb
    return bits ^ (bits >> 31)
  }

  /// The key of the sequence with that name.
  package static func key(of name: String) -> UInt64 {
    name.utf8.reduce(0) { value(at: UInt64($1), of: $0) }
  }
}
