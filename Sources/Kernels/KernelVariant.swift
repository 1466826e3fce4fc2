import CKernels

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// An instruction set that the inner loops of CKernels exist for.
public enum KernelVariant: String, CaseIterable, Sendable {
  /// C without intrinsics, on every machine.
  case plain
  /// AVX2, FMA and F16C.
  case avx2
  /// And AVX-VNNI: products of 8-bit integers. Processors without AVX-512 have it, such as Intel's for laptops since Alder Lake.
  case avx2vnni
  /// AVX-512 F, BW, DQ and VL.
  case avx512
  /// And VNNI: products of 8-bit integers.
  case avx512vnni
  /// And BF16: products of bfloat16.
  case avx512bf16
  /// And AMX: products of 8-bit integers and of bfloat16 in tiles. Intel's processors for servers have it since Sapphire Rapids; the
  /// system has to grant it, as Linux does.
  case amx

  /// Environment variable that forces a variant.
  static let environmentVariable = "VITRINE_KERNELS"

  /// The variants that this build, processor and operating system support, in the order of what they need.
  public static var available: [KernelVariant] {
    allCases.filter { ckernels_operations_of($0.cVariant) != nil }
  }

  /// The variant in use: what `VITRINE_KERNELS` asked for at start, else the one that is fastest on this processor. That is not `avx512bf16`
  /// where its products are slower than float32's, as on Intel's since Sapphire Rapids.
  public static var active: KernelVariant {
    switch ckernels_active_variant() {
    case CKERNELS_AMX: .amx
    case CKERNELS_AVX512_BF16: .avx512bf16
    case CKERNELS_AVX512_VNNI: .avx512vnni
    case CKERNELS_AVX512: .avx512
    case CKERNELS_AVX2_VNNI: .avx2vnni
    case CKERNELS_AVX2: .avx2
    default: .plain
    }
  }

  /// Checks that the environment variable `VITRINE_KERNELS`, if set, names an available variant.
  ///
  /// Without this check, a value that cannot be honoured is ignored.
  /// - Throws: `KernelVariantError` with the allowed values.
  public static func validateEnvironment() throws(KernelVariantError) {
    try validate(ProcessInfo.processInfo.environment[environmentVariable])
  }

  package static func validate(_ value: String?) throws(KernelVariantError) {
    guard let value, !value.isEmpty else { return }
    guard let variant = KernelVariant(rawValue: value) else {
      throw KernelVariantError(value: value, reason: .unknown, allowed: available)
    }
    guard available.contains(variant) else {
      throw KernelVariantError(value: value, reason: .notSupported, allowed: available)
    }
  }

  /// The name of the variant in C.
  package var cVariant: ckernels_variant {
    switch self {
    case .plain: CKERNELS_PLAIN
    case .avx2: CKERNELS_AVX2
    case .avx2vnni: CKERNELS_AVX2_VNNI
    case .avx512: CKERNELS_AVX512
    case .avx512vnni: CKERNELS_AVX512_VNNI
    case .avx512bf16: CKERNELS_AVX512_BF16
    case .amx: CKERNELS_AMX
    }
  }
}

/// `VITRINE_KERNELS` asks for something that cannot be had.
public struct KernelVariantError: Error, Equatable, CustomStringConvertible {
  public enum Reason: Sendable {
    /// No variant has that name.
    case unknown
    /// This build, processor or operating system lacks it.
    case notSupported
  }

  /// The value of the environment variable.
  public let value: String
  public let reason: Reason
  /// The values that would do on this machine.
  public let allowed: [KernelVariant]

  package init(value: String, reason: Reason, allowed: [KernelVariant]) {
    (self.value, self.reason, self.allowed) = (value, reason, allowed)
  }

  public var description: String {
    let names = allowed.map(\.rawValue).joined(separator: ", ")
    let problem =
      switch reason {
      case .unknown: "is not a kernel variant"
      case .notSupported: "is not supported by this CPU"
      }
    return
      "\(KernelVariant.environmentVariable)=\(value) \(problem); allowed here: \(names) (or leave it unset)"
  }
}
