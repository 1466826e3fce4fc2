import Checkpoints
import Logging
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Standard error: log messages, and below them the progress bar where it is a terminal.
final class Terminal: Sendable {
  private struct State {
    var bar = ""
  }

  private let state = Mutex(State())
  let isInteractive: Bool
  let isQuiet: Bool
  private let usesColor: Bool

  /// Whether a progress bar is shown: not between results that go to the same terminal.
  private let showsBar: Bool

  /// - Parameters:
  ///   - quiet: no bar, notes or summary.
  ///   - printsResults: whether results go to standard output.
  init(quiet: Bool, printsResults: Bool = false) {
    isQuiet = quiet
    isInteractive = !quiet && isatty(STDERR_FILENO) == 1
    showsBar = isInteractive && !(printsResults && isatty(STDOUT_FILENO) == 1)
    usesColor = isatty(STDERR_FILENO) == 1 && (getenv("NO_COLOR").map { $0.pointee == 0 } ?? true)
  }

  /// Messages for the user, by swift-log's levels.
  var logger: Logger {
    var logger = Logger(label: "vitrine") { _ in TerminalLogHandler(terminal: self) }
    logger.logLevel = isQuiet ? .warning : .info
    return logger
  }

  /// Writes a message above the progress bar.
  fileprivate func write(_ level: Logger.Level, _ message: String) {
    let (word, color) =
      switch level {
      case .error, .critical: ("error: ", "31")
      case .warning: ("warning: ", "33")
      default: ("", "")
      }
    let start = usesColor && !color.isEmpty ? "\u{1B}[\(color)m\(word)\u{1B}[0m" : word
    state.withLock { state in
      Self.put(clear(state.bar) + start + message.visible + "\n" + state.bar)
    }
  }

  /// Replaces the progress bar.
  func show(bar: String) {
    guard showsBar else { return }
    let line = String(bar.prefix(max(10, columns - 1)))
    state.withLock { state in
      Self.put(clear(state.bar) + line)
      state.bar = line
    }
  }

  private func clear(_ bar: String) -> String { bar.isEmpty ? "" : "\r\u{1B}[K" }

  private var columns: Int {
    var size = winsize()
    return ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
  }

  /// Standard error has nobody to report its own failure to.
  private static func put(_ text: String) {
    var text = text
    text.withUTF8 { bytes in
      var done = 0
      while done < bytes.count, let start = bytes.baseAddress {
        let count = systemWrite(STDERR_FILENO, start + done, bytes.count - done)
        if count <= 0, errno != EINTR { return }
        done += max(0, count)
      }
    }
  }
}

/// swift-log's way to the terminal.
private struct TerminalLogHandler: LogHandler {
  let terminal: Terminal
  var metadata: Logger.Metadata = [:]
  var logLevel = Logger.Level.info

  init(terminal: Terminal) {
    self.terminal = terminal
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    terminal.write(event.level, event.message.description)
  }
}
