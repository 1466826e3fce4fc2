// What libFuzzer, which has the `main` of this program, calls. See scripts/fuzz.
import CLibFuzzer
import Foundation
import FuzzTrials

typealias Parser = FuzzTrial.Parser

/// From the environment, since libFuzzer starts itself again with its own arguments.
let parser: Parser = {
  guard let parser = ProcessInfo.processInfo.environment["VITRINE_FUZZ_PARSER"].flatMap(Parser.init) else {
    let names = Parser.allCases.map(\.rawValue).joined(separator: ", ")
    report("VITRINE_FUZZ_PARSER must be one of \(names)")
    exit(64)
  }
  return parser
}()

/// Above the size of the file: what a damaged one may cost.
private let memoryLimit = 64 << 20
/// Seconds of the processor's time, which other programs on the machine do not use up.
private let timeLimit = 1.0

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  allocation_start()
  let start = clock()
  do {
    let refusal = try FuzzTrial(parser).run(UnsafeRawBufferPointer(start: bytes, count: count))
    let peak = allocation_peak()
    // libjpeg, libpng and zlib are not built for the fuzzer: their own words tell how far an input came.
    if let refusal { feature_seen(hash(refusal)) }
    guard peak <= memoryLimit + count else { throw Excess(description: "\(peak) bytes of memory at once") }
    let seconds = Double(clock() - start) / Double(CLOCKS_PER_SEC)
    guard seconds <= timeLimit else { throw Excess(description: "\(seconds) seconds") }
    return 0
  } catch {
    report("finding: \(error)")
    abort()
  }
}

@_cdecl("LLVMFuzzerCustomMutator")
public func mutate(
  _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ capacity: Int, _ seed: UInt32
) -> Int {
  var mutator = Mutator(seed: seed, capacity: capacity)
  let output = mutator.mutate(Array(UnsafeBufferPointer(start: bytes, count: count)), of: parser)
  bytes.update(from: output, count: output.count)
  return output.count
}

/// Of a sentence without its numbers. FNV-1a: Fowler, Noll and Vo, 1991.
private func hash(_ sentence: String) -> UInt32 {
  sentence.utf8.reduce(0x811C_9DC5) { hash, byte in
    (0x30...0x39).contains(byte) ? hash : (hash ^ UInt32(byte)) &* 0x0100_0193
  }
}

private struct Excess: Error, CustomStringConvertible {
  let description: String
}

private func report(_ line: String) {
  FileHandle.standardError.write(Data("\(line)\n".utf8))
}
