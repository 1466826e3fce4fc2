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

/// Ctrl-C and `kill` let the images in flight finish; a second one ends the process at once. A closed pipe is met as an error when
/// writing, not as a signal.
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
    sigaction(SIGINT, &action, nil)
    sigaction(SIGTERM, &action, nil)
    ignoreClosedPipes()
    // A parent may have left them blocked.
    var wanted = sigset_t()
    sigemptyset(&wanted)
    sigaddset(&wanted, SIGINT)
    sigaddset(&wanted, SIGTERM)
    pthread_sigmask(SIG_UNBLOCK, &wanted, nil)
    return cancellation
  }

  /// Lets writing to a closed pipe fail, instead of ending the process.
  static func ignoreClosedPipes() { signal(SIGPIPE, SIG_IGN) }

  /// 128 + the signal's number, as shells have it; nil where none arrived.
  static var exitStatus: CInt? {
    let signal = receivedSignal.load(ordering: .relaxed)
    return signal == 0 ? nil : 128 + signal
  }
}
