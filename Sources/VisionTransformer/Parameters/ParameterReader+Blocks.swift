import Checkpoints
import Kernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The layers of the blocks.
extension ParameterReader {
  mutating func block(_ index: Int) throws(CheckpointError) -> Parameters.Block {
    let name = "blocks.\(index)"
    if configuration.block == .parallel { return try parallelBlock(name, index: index) }
    guard let numBranches = configuration.numBranches else {
      return Parameters.Block(
        attentions: [
          try attention("\(name).attn", norm: "\(name).norm1", scale: "\(name).ls1", index: index)
        ],
        mlps: [try mlp("\(name).mlp", norm: "\(name).norm2", scale: "\(name).ls2")])
    }
    var attentions: [Parameters.Attention] = []
    var mlps: [Parameters.MLP] = []
    for branch in 0..<numBranches {
      let (attention, mlp) = ("\(name).attns.\(branch)", "\(name).ffns.\(branch)")
      attentions.append(
        try self.attention(
          "\(attention).attn", norm: "\(attention).norm", scale: "\(attention).ls", index: index))
      mlps.append(try self.mlp("\(mlp).mlp", norm: "\(mlp).norm", scale: "\(mlp).ls"))
    }
    return Parameters.Block(attentions: attentions, mlps: mlps)
  }

  private mutating func attention(
    _ name: String, norm: String, scale: String, index: Int
  ) throws(CheckpointError) -> Parameters.Attention {
    let d = configuration.embedDim
    return Parameters.Attention(
      norm: try self.norm(norm, dim: d),
      qkv: try withoutKeyBias(
        try linear("\(name).qkv", outputs: 3 * d, inputs: d, hasBias: configuration.qkvBias), keys: d..<2 * d
      ),
      queryNorm: try headNorm("\(name).q_norm"), keyNorm: try headNorm("\(name).k_norm"),
      differential: try differential(name, index: index),
      outputNorm: tensors.containsLike("\(name).norm.weight") ? try self.norm("\(name).norm", dim: d) : nil,
      projection: try linear("\(name).proj", outputs: d, inputs: d, hasBias: hasBias("\(name).proj")),
      layerScale: try layerScale(scale))
  }

  private mutating func mlp(
    _ name: String, norm: String, scale: String
  ) throws(CheckpointError) -> Parameters.MLP {
    let (d, m) = (configuration.embedDim, configuration.mlpDim)
    return Parameters.MLP(
      norm: try self.norm(norm, dim: d),
      fc1: try linear(
        "\(name).fc1", outputs: configuration.gatedMLP ? 2 * m : m, inputs: d,
        hasBias: hasBias("\(name).fc1")),
      innerNorm: tensors.containsLike("\(name).norm.weight") ? try self.norm("\(name).norm", dim: m) : nil,
      fc2: try linear("\(name).fc2", outputs: d, inputs: m, hasBias: hasBias("\(name).fc2")),
      layerScale: try layerScale(scale))
  }

  /// timm's `ParallelScalingBlock`: one matrix into the MLP and the heads, and one, or two, out of both.
  private mutating func parallelBlock(_ name: String, index: Int) throws(CheckpointError) -> Parameters.Block
  {
    let (d, m) = (configuration.embedDim, configuration.mlpDim)
    let norm = try self.norm("\(name).in_norm", dim: d)
    let inputBias = configuration.qkvBias ? try vector("\(name).in_proj.bias", count: m + 3 * d) : nil
    let mlpBias =
      configuration.qkvBias ? inputBias?[0..<1, 0..<m] : try vector("\(name).mlp_bias", count: m)
    let input = try weights.matrices("\(name).in_proj.weight", shape: [m + 3 * d, d], columns: d)[0]
    let fc1 = Parameters.Linear(weight: try pack(roundedPrecision, [input[0..<m, 0..<d]]), bias: mlpBias)
    let qkv = Parameters.Linear(
      weight: try pack(roundedPrecision, [input[m..<m + 3 * d, 0..<d]]),
      bias: inputBias?[0..<1, m..<m + 3 * d])
    weights.letGo()
    let (attentionOutput, mlpOutput) = try parallelOutputs(name)
    let scale = try layerScale("\(name).ls")
    let attention = Parameters.Attention(
      norm: norm, qkv: try withoutKeyBias(qkv, keys: d..<2 * d),
      queryNorm: try headNorm("\(name).q_norm"), keyNorm: try headNorm("\(name).k_norm"),
      differential: try differential(name, index: index), outputNorm: nil, projection: attentionOutput,
      layerScale: scale)
    let mlp = Parameters.MLP(norm: norm, fc1: fc1, innerNorm: nil, fc2: mlpOutput, layerScale: scale)
    return Parameters.Block(attentions: [attention], mlps: [mlp])
  }

  private mutating func parallelOutputs(
    _ name: String
  ) throws(CheckpointError) -> (attention: Parameters.Linear, mlp: Parameters.Linear) {
    let (d, m) = (configuration.embedDim, configuration.mlpDim)
    guard tensors.containsLike("\(name).out_proj.weight") else {
      return (
        try linear("\(name).attn_out_proj", outputs: d, inputs: d, hasBias: hasBias("\(name).attn_out_proj")),
        try linear("\(name).mlp_out_proj", outputs: d, inputs: m, hasBias: hasBias("\(name).mlp_out_proj"))
      )
    }
    // Columns for the attention's outputs, then for the MLP's; the bias goes with the first.
    let bias = hasBias("\(name).out_proj") ? try vector("\(name).out_proj.bias", count: d) : nil
    let output = try weights.matrices("\(name).out_proj.weight", shape: [d, d + m], columns: d + m)[0]
    defer { weights.letGo() }
    return (
      Parameters.Linear(weight: try pack(roundedPrecision, [output[0..<d, 0..<d]]), bias: bias),
      Parameters.Linear(weight: try pack(roundedPrecision, [output[0..<d, d..<d + m]]), bias: nil)
    )
  }

  /// Layers of which the rows `keys` make an attention's keys, without these rows' bias, unless a norm follows.
  ///
  /// A bias b of the keys adds q · b to all scores of a query, which the softmax takes away again. Leaving it out is exact, and
  /// keeps the scores small: in DINOv2-S the bias makes up to nine tenths of them, and most of a forward pass' rounding error.
  func withoutKeyBias(
    _ layer: Parameters.Linear, keys: Range<Int>
  ) throws(CheckpointError) -> Parameters.Linear {
    guard !configuration.queryKeyNorm, let bias = layer.bias else { return layer }
    let rest = try matrix(rows: 1, columns: bias.columns)
    rest.copy(from: bias)
    rest[0..<1, keys].row(0).update(repeating: 0)
    return Parameters.Linear(name: layer.name, weight: layer.weight, bias: rest.view)
  }

  private mutating func headNorm(_ name: String) throws(CheckpointError) -> Parameters.Norm? {
    guard configuration.queryKeyNorm else { return nil }
    let heads = configuration.numHeads * (configuration.differentialAttention ? 2 : 1)
    return try norm(name, dim: configuration.embedDim / heads)
  }

  /// lambda = exp(q1 · k1) - exp(q2 · k2) + lambda_init, or exp(a) - exp(b) + lambda_init (timm's `DiffAttention`).
  private mutating func differential(
    _ name: String, index: Int
  ) throws(CheckpointError) -> Parameters.Differential? {
    guard configuration.differentialAttention else { return nil }
    let initial = 0.8 - 0.6 * exp(-0.3 * Double(index))
    let exponents: (Double, Double)
    if tensors.containsLike("\(name).lambda_a") {
      exponents = (try scalar("\(name).lambda_a"), try scalar("\(name).lambda_b"))
    } else {
      exponents = (
        try product("\(name).lambda_q1", "\(name).lambda_k1"),
        try product("\(name).lambda_q2", "\(name).lambda_k2")
      )
    }
    let source = try vector("\(name).sub_norm.weight", count: configuration.headDim)
    let gamma = try matrix(rows: 1, columns: configuration.headDim)
    for index in 0..<configuration.headDim { gamma.row(0)[index] = source.row(0)[index] * Float(1 - initial) }
    return Parameters.Differential(
      lambda: Float(exp(exponents.0) - exp(exponents.1) + initial),
      norm: Parameters.Norm(kind: .rmsNorm, gamma: gamma.view, beta: nil, epsilon: 1e-5))
  }

  private mutating func scalar(_ name: String) throws(CheckpointError) -> Double {
    let value = try keep { reader throws(CheckpointError) in
      try reader.weights.matrices(name, shape: [], columns: 1)
    }
    return Double(value.row(0)[0])
  }

  private mutating func product(_ a: String, _ b: String) throws(CheckpointError) -> Double {
    let count = configuration.headDim / 2
    let (a, b) = (try vector(a, count: count).row(0), try vector(b, count: count).row(0))
    return zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
  }
}
