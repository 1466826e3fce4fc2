import CKernels

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What the machine offers to this process.
public enum CPU {
  /// Cores that this process may keep busy, at least 1: its affinity mask (`taskset`), limited by the CPU
  /// quota of its control groups (containers), rounded up.
  public static var usableCores: Int {
    let affinity = Int(ckernels_affinity_cores())
    let cores = affinity > 0 ? affinity : ProcessInfo.processInfo.activeProcessorCount
    guard let quota = cgroupQuota else { return max(1, cores) }
    return max(1, Int(min(Double(cores), quota.rounded(.up))))
  }

  /// Bytes of a core's second-level cache; a guess where the system does not tell.
  public static var secondLevelCache: Int { ckernels_second_level_cache() }

  /// CPU time per wall time that the tightest of the process's control groups grants, if any limits it.
  private static var cgroupQuota: Double? {
    guard let groups = try? String(contentsOfFile: "/proc/self/cgroup", encoding: .utf8) else { return nil }
    return tightestQuota(groups: groups) { path in try? String(contentsOfFile: path, encoding: .utf8) }
  }

  /// The quota out of the text of /proc/self/cgroup and the files under /sys/fs/cgroup, which `read` returns.
  ///
  /// A limit may sit on any ancestor of the group. Inside a container, the group's path is often the host's
  /// and not to be found; then the mount's root is the container's own group, and it is looked at in any
  /// case.
  package static func tightestQuota(groups: String, read: (String) -> String?) -> Double? {
    var quotas: [Double] = []
    for line in groups.split(separator: "\n") {
      // hierarchy:controllers:path; version 2 has no controllers
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3 else { continue }
      let isVersion2 = parts[1].isEmpty
      guard isVersion2 || parts[1].split(separator: ",").contains("cpu") else { continue }
      let mounts =
        isVersion2
        ? ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] : ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"]
      for folder in mounts.flatMap({ mount in ancestors(String(parts[2])).map { mount + $0 } }) {
        let quota = isVersion2 ? version2Quota(folder, read) : version1Quota(folder, read)
        if let quota { quotas.append(quota) }
      }
    }
    return quotas.min()
  }

  /// "/a/b" gives "/a/b", "/a", "".
  private static func ancestors(_ path: String) -> [String] {
    let names = path.split(separator: "/").filter { $0 != ".." }
    return (0...names.count).reversed().map { count in names[..<count].map { "/" + $0 }.joined() }
  }

  /// cpu.max: "quota period" in µs, or "max period" for no limit.
  private static func version2Quota(_ folder: String, _ read: (String) -> String?) -> Double? {
    guard let text = read(folder + "/cpu.max") else { return nil }
    let numbers = text.split(whereSeparator: \.isWhitespace).map { Double($0) }
    guard numbers.count == 2, let quota = numbers[0], let period = numbers[1] else { return nil }
    return quota > 0 && period > 0 ? quota / period : nil
  }

  /// cpu.cfs_quota_us, -1 for no limit, and cpu.cfs_period_us.
  private static func version1Quota(_ folder: String, _ read: (String) -> String?) -> Double? {
    func number(_ name: String) -> Double? {
      read(folder + "/" + name)?.split(whereSeparator: \.isWhitespace).first.flatMap { Double($0) }
    }
    guard let quota = number("cpu.cfs_quota_us"), let period = number("cpu.cfs_period_us") else { return nil }
    return quota > 0 && period > 0 ? quota / period : nil
  }
}
