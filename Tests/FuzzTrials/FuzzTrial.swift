import SystemPackage

/// What fuzzing does with one input, and what must hold whatever the input is.
package struct FuzzTrial {
  /// The parsers, by the names of their corpora.
  package enum Parser: String, CaseIterable, Sendable {
    /// Files of weights.
    case safetensors, npz, pytorch, json
    /// Images.
    case jpeg, png
    /// Archives of data sets.
    case dataset
    /// Configurations of models and of trainings.
    case model, training
  }

  /// A rule that does not hold.
  package struct Finding: Error, CustomStringConvertible {
    package let description: String
  }

  package let parser: Parser

  /// A message is one sentence, not a copy of the file.
  private static let messageLimit = 8 << 10

  package init(_ parser: Parser) {
    self.parser = parser
  }

  /// Reads the input as a file of the parser's format; that it is refused is as good as that it is read.
  /// - Returns: the sentence with which it is refused; nil where it is read.
  /// - Throws: `Finding`.
  package func run(_ bytes: UnsafeRawBufferPointer) throws(Finding) -> String? {
    // A file without any bytes is never opened.
    guard !bytes.isEmpty else { return nil }
    do {
      switch parser {
      case .safetensors, .npz, .pytorch, .json: try CheckpointTrial(parser).run(bytes)
      case .jpeg, .png: try ImageTrial.run(bytes)
      case .dataset: try DatasetTrial.run(bytes)
      case .model: try ModelTrial.run(bytes)
      case .training: try TrainingTrial.run(bytes)
      }
      return nil
    } catch let finding as Finding {
      throw finding
    } catch {
      return try Self.check(error)
    }
  }

  /// - Returns: the error's sentence.
  /// - Throws: `Finding` where it is none that a user should read.
  @discardableResult static func check(_ error: any Error) throws(Finding) -> String {
    let message = "\(error)"
    try require(!(error is DecodingError || error is EncodingError), "an error of the decoder's: \(message)")
    try require(message.utf8.count <= messageLimit, "a message of \(message.utf8.count) bytes")
    try require(
      message.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }, "a message with control characters: \(message)")
    return message
  }

  static func require(_ condition: Bool, _ message: @autoclosure () -> String) throws(Finding) {
    guard condition else { throw Finding(description: message()) }
  }
}
