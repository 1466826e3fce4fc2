import Pipeline

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The descriptors 0, 1 and 2, which a parent may have closed.
enum StandardStreams {
  /// Opens what is closed, so that no file that is opened later takes its place and receives results or messages that are not for
  /// it. Input is then empty, messages are lost, and writing results fails as it should.
  static func fill() {
    for (descriptor, mode) in [
      (STDIN_FILENO, O_RDONLY), (STDOUT_FILENO, O_RDONLY), (STDERR_FILENO, O_WRONLY),
    ]
    where fcntl(descriptor, F_GETFD) == -1 {
      // The lowest free descriptor is taken: those below are open by now.
      _ = open("/dev/null", mode)
    }
  }
  /// Writes a result of some lines to standard output; a reader that has closed the pipe is no error.
  /// - Throws: `PipelineError.write`.
  static func print(_ text: String) throws(PipelineError) {
    do {
      try ResultFile.standardOutput().append(line: text)
    } catch {
      guard case .closedPipe = error else { throw error }
    }
  }
}
