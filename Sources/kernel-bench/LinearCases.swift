import COpenBLAS
import Kernels

/// The layers of a block: out [R, O] = x [R, K] · weightᵀ + bias.
enum LinearCases {
  static func all(_ setting: Setting) -> [Case] {
    let rows = 197 * setting.batchSize
    let models: [(name: String, dim: Int)] = [("ViT-Ti", 192), ("ViT-S", 384), ("ViT-B", 768)]
    return models.flatMap { model in
      let d = model.dim
      let layers: [(name: String, inner: Int, outputs: Int)] = [
        ("qkv", d, 3 * d), ("projection", d, d), ("fc1", d, 4 * d), ("fc2", 4 * d, d),
      ]
      return layers.map { layer in
        Case(
          name: "\(model.name) \(layer.name) [\(rows), \(layer.inner)] -> \(layer.outputs)",
          operations: 2 * Double(rows * layer.inner * layer.outputs),
          contestants: [openBLAS(rows, layer.inner, layer.outputs, setting)]
            + setting.precisions.flatMap { precision in
              let isFirst = layer.name == "fc1"
              return [packed(rows, layer.inner, layer.outputs, precision)]
                + (isFirst ? [packed(rows, layer.inner, layer.outputs, precision, activation: .gelu)] : [])
            })
      }
    }
  }

  /// The yardstick: weights as they lie in a file.
  /// Version and build options of the library, and the processor that it chose its kernels for.
  static var openBLASDescription: String {
    func text(_ characters: UnsafeMutablePointer<CChar>?) -> String {
      characters.map { String(cString: $0).split(separator: " ").joined(separator: " ") } ?? "unknown"
    }
    return "\(text(openblas_get_config())), kernels for \(text(openblas_get_corename()))"
  }

  private static func openBLAS(_ rows: Int, _ inner: Int, _ outputs: Int, _ setting: Setting) -> Contestant {
    let threads = setting.together ? setting.threads : 1
    return Contestant(name: "OpenBLAS", precision: .fp32) { _ in
      let (x, weight, out) = (Operand(rows, inner), Operand(outputs, inner), Operand(rows, outputs))
      openblas_set_num_threads(CInt(threads))
      return {
        cblas_sgemm(
          CblasRowMajor, CblasNoTrans, CblasTrans, blasint(rows), blasint(outputs), blasint(inner), 1,
          x.matrix.base, blasint(inner), weight.matrix.base, blasint(inner), 0, out.matrix.base,
          blasint(outputs))
      }
    }
  }

  /// Weights packed beforehand, rows as the layer before leaves them, bias and activation in one go.
  private static func packed(
    _ rows: Int, _ inner: Int, _ outputs: Int, _ precision: Precision, activation: Activation? = nil
  ) -> Contestant {
    Contestant(
      name: precision.rawValue + (activation == nil ? "" : "+gelu"), precision: precision
    ) { compute in
      let (x, out, bias, scratch) = (
        Operand(rows, inner), Operand(rows, outputs), Operand(1, outputs), Scratch()
      )
      let source = Operand(outputs, inner)
      let weight = try withExtendedLifetime(source) {
        try PackedMatrix([source.matrix.view], precision: precision, storage: PackedStorage())
      }
      let input = compute.rows(x.matrix.view, for: weight, arena: scratch.arena)
      return {
        compute.linear(
          input, weight: weight, bias: bias.matrix.base, activation: activation, into: .store(out.matrix))
        withExtendedLifetime((x, scratch)) {}
      }
    }
  }
}
