import CLibFuzzer
import Checkpoints

/// Changes inputs in ways that keep their checksums and lengths right, without which most changes would only ever reach the checks
/// of those.
struct Mutator {
  private var random: SplitMix64
  private let capacity: Int

  init(seed: UInt32, capacity: Int) {
    random = SplitMix64(state: UInt64(seed))
    self.capacity = capacity
  }

  /// The changed input: half the time libFuzzer's own change of the bytes as they are, else one of what is in the file.
  mutating func mutate(_ input: [UInt8], of parser: Parser) -> [UInt8] {
    if Bool.random(using: &random) {
      let output: [UInt8]? =
        switch parser {
        case .safetensors: mutateHeader(input)
        case .npz, .pytorch: mutateParts(of: EditableZip(input))
        case .jpeg: mutateParts(of: EditableJPEG(input))
        case .png: mutateParts(of: EditablePNG(input))
        case .dataset: mutateParts(of: EditableTar(input))
        case .json, .model, .training: nil
        }
      if let output, !output.isEmpty, output.count <= capacity { return output }
    }
    return libFuzzer(input, capacity: capacity)
  }

  /// The JSON of a safetensors file, whose length stands before it.
  private func mutateHeader(_ input: [UInt8]) -> [UInt8]? {
    guard input.count > 8 else { return nil }
    let length = input[..<8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard length <= input.count - 8 else { return nil }
    let end = 8 + Int(length)
    let header = libFuzzer(Array(input[8..<end]), capacity: capacity - (input.count - Int(length)))
    return withUnsafeBytes(of: UInt64(header.count).littleEndian, Array.init) + header + input[end...]
  }

  /// One part of a file: its contents, its name, how it is kept, where it is, or whether it is there.
  private mutating func mutateParts(of file: (some PartedFile)?) -> [UInt8]? {
    guard var file, let index = file.parts.indices.randomElement(using: &random) else { return nil }
    switch UInt8.random(in: 0..<16, using: &random) {
    case 0: file.parts[index].isDeflated.toggle()
    case 1: file.parts[index].name = libFuzzer(file.parts[index].name, capacity: 512)
    case 2: file.parts.remove(at: index)
    case 3:
      var copy = file.parts[index]
      copy.name = libFuzzer(copy.name, capacity: 512)
      file.parts.append(copy)
    case 4:
      let part = file.parts.remove(at: index)
      file.parts.insert(part, at: Int.random(in: 0...file.parts.count, using: &random))
    case 5: file.parts.insert(file.parts[index], at: index)
    default:
      let target = Bool.random(using: &random) ? file.favourite ?? index : index
      let bytes = file.parts[target].bytes
      file.parts[target].bytes = libFuzzer(bytes, capacity: max(bytes.count, 64) * 2)
    }
    return file.file()
  }

  private func libFuzzer(_ bytes: [UInt8], capacity: Int) -> [UInt8] {
    guard capacity > 0 else { return bytes }
    let start = bytes.prefix(capacity)
    return [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
      _ = buffer.update(fromContentsOf: start)
      count = LLVMFuzzerMutate(buffer.baseAddress, start.count, capacity)
    }
  }
}

/// A generator that the seed determines. Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
private struct SplitMix64: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
    return value ^ value >> 31
  }
}
