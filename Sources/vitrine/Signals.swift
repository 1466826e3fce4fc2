import Pipeline
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The signal that asked the run to stop; 0 while none did.
private let receivedSignal = Atomic<CInt>(0)
private let runCancellation = Cancellation()

/// Ctrl-C, `kill` and a terminal that is closed let the images in flight finish; a second signal ends the process at once. A closed pipe and
/// a file that may not grow any further are met as errors when writing, not as signals.
enum Signals {
  /// Installs the handlers.
  /// - Returns: what is cancelled when a signal arrives.
  static func install() -> Cancellation {
    // The globals must exist before a handler may touch them.
    _ = receivedSignal.load(ordering: .relaxed)
    let cancellation = runCancellation
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { signal in
      receivedSignal.store(signal, ordering: .relaxed)
      runCancellation.cancel()
    }
    action.sa_flags = CInt(bitPattern: UInt32(SA_RESETHAND))
    var wanted = sigset_t()
    sigemptyset(&wanted)
    for number in [SIGINT, SIGTERM, SIGHUP] {
      // nohup has the end of the terminal ignored, which is to stay so.
      var before = sigaction()
      sigaction(number, nil, &before)
      if number == SIGHUP, isIgnored(before) { continue }
      sigaction(number, &action, nil)
      sigaddset(&wanted, number)
    }
    // A parent may have left them blocked.
    pthread_sigmask(SIG_UNBLOCK, &wanted, nil)
    return cancellation
  }

  private static func isIgnored(_ action: sigaction) -> Bool {
    unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
      == unsafeBitCast(SIG_IGN, to: Int.self)
  }

  /// Lets writing to a closed pipe, and beyond the size that files may have (`ulimit -f`), fail instead of ending the process.
  static func ignoreFailuresOfWriting() {
    signal(SIGPIPE, SIG_IGN)
    signal(SIGXFSZ, SIG_IGN)
  }

  /// 128 + the signal's number, as shells have it; nil where none arrived.
  static var exitStatus: CInt? {
    let signal = receivedSignal.load(ordering: .relaxed)
    return signal == 0 ? nil : 128 + signal
  }
}
