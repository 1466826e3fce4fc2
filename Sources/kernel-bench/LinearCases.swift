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
          contestants: contestants(rows, layer.inner, layer.outputs, setting))
      }
    }
  }

  /// New kernels are added here.
  private static func contestants(_ rows: Int, _ inner: Int, _ outputs: Int, _ setting: Setting)
    -> [Contestant]
  {
    let threads = setting.together ? setting.threads : 1
    return [
      Contestant(name: "OpenBLAS", precision: .fp32) { _ in
        let (x, weight, out) = (Operand(rows, inner), Operand(outputs, inner), Operand(rows, outputs))
        return {
          // Elsewhere in Vitrine it keeps to one thread.
          if threads > 1 { openblas_set_num_threads(CInt(threads)) }
          cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasTrans, blasint(rows), blasint(outputs), blasint(inner), 1,
            x.matrix.base, blasint(inner), weight.matrix.base, blasint(inner), 0, out.matrix.base,
            blasint(outputs))
          if threads > 1 { openblas_set_num_threads(1) }
        }
      },
      Contestant(name: "linear", precision: .fp32) { compute in
        let (x, weight, out) = (Operand(rows, inner), Operand(outputs, inner), Operand(rows, outputs))
        let bias = Operand(1, outputs)
        return {
          compute.linear(
            x.matrix.view, weight: weight.matrix.view, bias: bias.matrix.base, into: out.matrix)
        }
      },
      Contestant(name: "linear+gelu", precision: .fp32) { compute in
        let (x, weight, out) = (Operand(rows, inner), Operand(outputs, inner), Operand(rows, outputs))
        let bias = Operand(1, outputs)
        return {
          compute.linear(
            x.matrix.view, weight: weight.matrix.view, bias: bias.matrix.base, activation: .gelu,
            into: out.matrix)
        }
      },
    ]
  }
}
