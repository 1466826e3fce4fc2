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
        case .npz, .pytorch: mutateArchive(input)
        case .json: nil
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

  /// One member of a zip archive: its contents, its name, how it is kept, or whether it is there.
  private mutating func mutateArchive(_ input: [UInt8]) -> [UInt8]? {
    guard var archive = EditableArchive(input),
      let index = archive.members.indices.randomElement(using: &random)
    else { return nil }
    switch UInt8.random(in: 0..<16, using: &random) {
    case 0: archive.members[index].isDeflated.toggle()
    case 1: archive.members[index].name = libFuzzer(archive.members[index].name, capacity: 256)
    case 2: archive.members.remove(at: index)
    case 3:
      var copy = archive.members[index]
      copy.name = libFuzzer(copy.name, capacity: 256)
      archive.members.append(copy)
    default:
      // Where the archive has a pickle, that is what there is to get wrong.
      let pickle = archive.members.firstIndex { $0.name.suffix(8).elementsEqual("data.pkl".utf8) }
      let target = Bool.random(using: &random) ? pickle ?? index : index
      let bytes = archive.members[target].bytes
      archive.members[target].bytes = libFuzzer(bytes, capacity: max(bytes.count, 64) * 2)
    }
    return archive.file()
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
