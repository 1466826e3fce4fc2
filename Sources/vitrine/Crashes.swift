import Checkpoints

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Two ends of the process that no code of its own can avert, but that are no mistake of its own either: each is told in a sentence, and the
/// exit status is 1, as for anything that stops a run. Results that were written before are whole.
enum Crashes {
  /// What the signals did before; written once, before there is a handler that reads them.
  private nonisolated(unsafe) static var (busBefore, abortBefore) = (sigaction(), sigaction())

  /// Installs the handlers.
  static func explain() {
    MappedFiles.prepare()
    handle(SIGBUS, before: &busBefore) { signal, information, _ in
      // The page behind an address of a mapped file is not there any more.
      let address = information.map { UInt(bitPattern: Crashes.address($0)) } ?? 0
      guard let path = MappedFiles.path(at: address) else { return Crashes.leave(to: signal) }
      Crashes.end("Error: ", path, ": the file was cut short, or its disk failed, while it was read\n")
    }
    handle(SIGABRT, before: &abortBefore) { signal, _, _ in
      // Swift ends the process where it gets no memory.
      guard Crashes.isMemoryShort() else { return Crashes.leave(to: signal) }
      Crashes.end(
        "Error: not enough memory; fewer --threads, a smaller --batch-size or a smaller --size take less\n",
        nil, "")
    }
  }

  private static func handle(
    _ signal: CInt, before: UnsafeMutablePointer<sigaction>,
    _ handler:
      @escaping @convention(c) (CInt, UnsafeMutablePointer<siginfo_t>?, UnsafeMutableRawPointer?) -> Void
  ) {
    var action = sigaction()
    action.__sigaction_handler.sa_sigaction = handler
    action.sa_flags = CInt(bitPattern: UInt32(SA_SIGINFO))
    sigaction(signal, &action, before)
    // A parent may have left it blocked.
    var wanted = sigset_t()
    sigemptyset(&wanted)
    sigaddset(&wanted, signal)
    pthread_sigmask(SIG_UNBLOCK, &wanted, nil)
  }

  // MARK: Called by handlers: no memory, no locks.

  private static func address(_ information: UnsafeMutablePointer<siginfo_t>) -> UnsafeMutableRawPointer? {
    #if canImport(Darwin)
      information.pointee.si_addr
    #else
      information.pointee._sifields._sigfault.si_addr
    #endif
  }

  /// Lets the signal do what it did before there was a handler, as soon as the handler returns.
  private static func leave(to signal: CInt) {
    if signal == SIGBUS { sigaction(signal, &busBefore, nil) } else { sigaction(signal, &abortBefore, nil) }
  }

  /// Whether the system refuses as much as the largest images and scratch take.
  private static func isMemoryShort() -> Bool {
    let size = 1 << 30
    let memory = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let memory, memory != MAP_FAILED else { return true }
    munmap(memory, size)
    return false
  }

  private static func end(_ start: StaticString, _ path: UnsafePointer<CChar>?, _ rest: StaticString) -> Never
  {
    // A progress bar may be there.
    if isatty(STDERR_FILENO) == 1 { _ = write(STDERR_FILENO, "\r\u{1B}[K", 4) }
    _ = write(STDERR_FILENO, start.utf8Start, start.utf8CodeUnitCount)
    if let path { _ = write(STDERR_FILENO, path, strlen(path)) }
    _ = write(STDERR_FILENO, rest.utf8Start, rest.utf8CodeUnitCount)
    _exit(1)
  }
}
