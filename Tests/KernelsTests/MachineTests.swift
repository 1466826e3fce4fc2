import CKernels
import Kernels
import Testing

@Suite struct KernelVariantTests {
  @Test func plainIsAlwaysThere() {
    #expect(KernelVariant.available.first == .plain)
    #expect(KernelVariant.available.contains(KernelVariant.active))
  }

  @Test func unknownNumbersHaveNoOperations() {
    #expect(ckernels_operations_of(ckernels_variant(rawValue: 99)) == nil)
  }

  @Test func acceptsAvailableNamesAndSilence() throws {
    try KernelVariant.validate(nil)
    try KernelVariant.validate("")
    for variant in KernelVariant.available { try KernelVariant.validate(variant.rawValue) }
  }

  @Test(arguments: ["AVX2", "neon", " plain"])
  func refusesUnknownNames(value: String) throws {
    let error = try #require(throws: KernelVariantError.self) { try KernelVariant.validate(value) }
    #expect(error.reason == .unknown && error.allowed == KernelVariant.available)
    #expect(
      error.description.hasPrefix("VITRINE_KERNELS=\(value) is not a kernel variant; allowed here: plain"))
  }

  @Test func describesUnsupportedVariants() {
    let error = KernelVariantError(value: "avx512", reason: .notSupported, allowed: [.plain, .avx2])
    #expect(
      error.description
        == "VITRINE_KERNELS=avx512 is not supported by this CPU; allowed here: plain, avx2 (or leave it unset)"
    )
  }

  @Test func refusesUnsupportedVariants() {
    for variant in KernelVariant.allCases where !KernelVariant.available.contains(variant) {
      #expect(throws: KernelVariantError.self) { try KernelVariant.validate(variant.rawValue) }
    }
  }
}

@Suite struct CPUTests {
  @Test func hasACore() {
    #expect(CPU.usableCores >= 1)
  }

  private func quota(_ groups: String, _ files: [String: String]) -> Double? {
    CPU.tightestQuota(groups: groups) { files[$0] }
  }

  @Test func readsVersion2() {
    #expect(quota("0::/", ["/sys/fs/cgroup/cpu.max": "150000 100000\n"]) == 1.5)
    #expect(quota("0::/", ["/sys/fs/cgroup/cpu.max": "max 100000\n"]) == nil)
    #expect(quota("0::/a/b\n", ["/sys/fs/cgroup/a/cpu.max": "50000 100000"]) == 0.5)
    // The tightest of all ancestors counts.
    let nested = ["/sys/fs/cgroup/a/cpu.max": "400000 100000", "/sys/fs/cgroup/a/b/cpu.max": "200000 100000"]
    #expect(quota("0::/a/b\n", nested) == 2)
  }

  @Test func readsVersion1() {
    let groups = "5:memory:/x\n4:cpu,cpuacct:/docker/1\n0::/\n"
    let limited = [
      "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    ]
    #expect(quota(groups, limited) == 3)
    let free = [
      "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    ]
    #expect(quota(groups, free) == nil)
  }

  @Test(arguments: ["", "nonsense", "0::", "0::/../..", "a:b:c:d"])
  func survivesNonsense(groups: String) {
    #expect(quota(groups, [:]) == nil)
    #expect(CPU.tightestQuota(groups: groups) { _ in "x y z" } == nil)
    #expect(CPU.tightestQuota(groups: groups) { _ in "0 0" } == nil)
  }
}
