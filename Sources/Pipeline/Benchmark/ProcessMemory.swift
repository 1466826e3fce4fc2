#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The memory of this process.
public enum ProcessMemory {
  /// The most that was resident so far, in bytes: heap, stacks, and pages of mapped files.
  public static var peakBytes: Int {
    #if os(Linux)
      // getrusage's figure includes what the parent held when it started this process.
      if let status = status(of: "VmHWM:") { return status }
    #endif
    var usage = rusage()
    #if canImport(Glibc)
      getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    #else
      getrusage(RUSAGE_SELF, &usage)
    #endif
    // Darwin counts bytes, Linux kibibytes.
    #if canImport(Darwin)
      return Int(usage.ru_maxrss)
    #else
      return Int(usage.ru_maxrss) * 1024
    #endif
  }

  #if os(Linux)
    /// A line such as "VmHWM:    1234 kB" of /proc/self/status, in bytes.
    private static func status(of field: String) -> Int? {
      guard let file = fopen("/proc/self/status", "r") else { return nil }
      defer { fclose(file) }
      return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
        while let line = fgets(buffer.baseAddress, CInt(buffer.count), file) {
          let words = String(cString: line).split { $0 == " " || $0 == "\t" || $0 == "\n" }
          if words.count >= 2, words[0] == field { return Int(words[1]).map { $0 * 1024 } }
        }
        return nil
      }
    }
  #endif
}
