import Checkpoints
import SystemPackage
import Testing

@Suite struct JSONTests {
  private func read(_ text: String) throws(CheckpointError) -> JSONValue {
    let bytes = Array(text.utf8)
    return try bytes.span.bytes.withUnsafeBytes { bytes throws(CheckpointError) in
      try JSONFile.value(of: MappedFile(borrowing: bytes, path: "config.json"))
    }
  }

  @Test func values() throws {
    let text = """
       {"null": null, "truth": [true, false], "numbers": [0, -1, 2.5, 1e-6, -0.25E+2, 9007199254740993],
        "text": "\\"\\\\\\/\\b\\f\\n\\r\\t\\u00fc \\ud83d\\ude00 ü", "empty": [{}, [], ""], "twice": 1, "twice": 2 }\r\n
      """
    #expect(
      try read(text)
        == .object([
          "null": .null, "truth": .array([.bool(true), .bool(false)]),
          "numbers": .array([0, -1, 2.5, 1e-6, -25, 9_007_199_254_740_992].map(JSONValue.number)),
          "text": .string("\"\\/\u{8}\u{C}\n\r\tü 😀 ü"),
          "empty": .array([.object([:]), .array([]), .string("")]),
          "twice": .number(2),
        ]))
  }

  /// What Python writes, though JSON has no such numbers.
  @Test func numbersOfPython() throws {
    #expect(try read("[Infinity, -Infinity]") == .array([.number(.infinity), .number(-.infinity)]))
    let value = try #require(read("NaN").double)
    #expect(value.isNaN)
  }

  @Test(arguments: [
    "{", "[", "[1", "[1,", "[1,]", "[1 2]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":1 \"b\":2}", "{a:1}",
    "1 2", "01", "1.",
    ".5", "1e", "-", "+1", "tru", "\"", "\"\\\"", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\\ud800\\u0061\"",
    "\"\\udc00\"", "\"\n\"", " ",
    "'a'", "]",
  ]) func damaged(_ text: String) throws {
    let error = try #require(throws: CheckpointError.self) { try read(text) }
    #expect("\(error)".hasPrefix("config.json: not valid JSON: "))
  }

  @Test func bounds() throws {
    let deep = String(repeating: "[", count: 101) + String(repeating: "]", count: 101)
    #expect(throws: CheckpointError.self) { try read(deep) }
    #expect(throws: Never.self) { try read(String(deep.dropFirst().dropLast())) }
    let error = try #require(throws: CheckpointError.self) {
      try read("[\(String(repeating: "1,", count: 300_000))1]")
    }
    #expect("\(error)".contains("too many values"))
  }

  /// What a message quotes cannot command a terminal, nor fill it.
  @Test func messages() {
    let escape = CheckpointError.missingTensor(path: "a", tensor: "b\u{1B}[2J\u{202E}\n")
    #expect("\(escape)" == "a: tensor \"b\\u{1b}[2J\\u{202e}\\u{a}\" is missing")
    let long = CheckpointError.missingTensor(path: "a", tensor: String(repeating: "ü", count: 100_000))
    #expect("\(long)".hasPrefix("a: tensor \"ü") && "\(long)".hasSuffix("ü\" is missing"))
    #expect("\(long)".count < 2000)
  }
}
