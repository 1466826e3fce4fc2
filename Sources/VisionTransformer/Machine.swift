#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What the machine has.
package enum Machine {
  /// Memory in bytes: the machine's, or less where a container has less.
  package static var memoryBytes: Int {
    let physical = max(1, sysconf(Int32(_SC_PHYS_PAGES))) * max(1, sysconf(Int32(_SC_PAGESIZE)))
    return min(physical, groupLimit ?? physical)
  }

  /// Bytes that this process can be given at most, for a single array: less than the memory where `ulimit -v` says so.
  package static var addressBytes: Int { min(memoryBytes, processLimit ?? .max) }

  private static var processLimit: Int? {
    var limit = rlimit()
    #if canImport(Glibc)
      let status = getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)
    #else
      let status = getrlimit(RLIMIT_AS, &limit)
    #endif
    return status == 0 ? Int(exactly: limit.rlim_cur) : nil
  }

  /// The limit of the control group, as a container sees its own; nil where there is none.
  private static var groupLimit: Int? {
    guard let file = fopen("/sys/fs/cgroup/memory.max", "re") else { return nil }
    defer { fclose(file) }
    var limit = 0
    return withUnsafeMutablePointer(to: &limit) { limit in
      withVaList([limit]) { vfscanf(file, "%ld", $0) } == 1 ? limit.pointee : nil
    }
  }
}
