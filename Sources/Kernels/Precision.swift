import CKernels

/// What the numbers of the matrix products are.
public enum Precision: String, Sendable, CaseIterable {
  /// float32
  case fp32
  /// bfloat16 on both sides, sums in float32
  case bf16
  /// 8-bit integers on both sides, exact sums
  case int8

  /// fp32 instead of int8 where sums over K could leave the int32.
  func fitting(inner: Int) -> Precision {
    self == .int8 && inner > ckernels_int8_largest_inner ? .fp32 : self
  }

  /// Whether the variant in use multiplies numbers of this kind as such. Where it does not, results are the same but for the last
  /// bits, and products are no faster than those of float32 (bf16) or less so (int8).
  public var isNative: Bool {
    switch self {
    case .fp32: true
    case .bf16: kernel.element == CKERNELS_BFLOAT16
    case .int8: kernel.element == CKERNELS_UINT8 && KernelVariant.active != .plain
    }
  }

  /// Whether products read rows of bfloat16 of that width where they lie.
  public func readsHalves(columns: Int) -> Bool { self == .bf16 && isNative && columns % 2 == 0 }

  /// The product in the variant in use.
  var kernel: ckernels_product_kernel {
    switch self {
    case .fp32: Operations.active.products.0
    case .bf16: Operations.active.products.1
    case .int8: Operations.active.products.2
    }
  }
}

extension ckernels_product_kernel {
  /// Bytes of an element of a row.
  var elementBytes: Int {
    switch element {
    case CKERNELS_UINT8: 1
    case CKERNELS_BFLOAT16, CKERNELS_UINT16: 2
    default: 4
    }
  }

  /// Bytes of a row of `columns` elements, up to a whole group.
  func rowBytes(_ columns: Int) -> Int { (columns * elementBytes + 3) / 4 * 4 }

  /// Bytes of one panel.
  func panelBytes(inner: Int) -> Int { ckernels_panel_bytes(layout, inner) }

  /// Panels for a number of outputs.
  func panelCount(outputs: Int) -> Int { ceilingOfQuotient(outputs, layout.width) }
}

extension Activation {
  var cActivation: ckernels_activation {
    switch self {
    case .gelu: CKERNELS_GELU
    case .geluTanh: CKERNELS_GELU_TANH
    case .quickGELU: CKERNELS_QUICK_GELU
    case .silu: CKERNELS_SILU
    case .relu: CKERNELS_RELU
    case .tanh: CKERNELS_TANH
    }
  }
}
