import TestSupport
import Testing
import VisionTransformer

/// What keeps the network's rounding errors small.
@Suite struct NumericsTests {
  /// The pooled features and the tokens of an arbitrary image.
  private func output(of model: VisionTransformer) -> [Float] {
    let size = model.transform.size
    let input = (0..<model.configuration.inChannels * size.height * size.width).map {
      Float($0 % 17) / 8 - 1
    }
    return InferenceSession(model).run(.tensors([input])) { output in
      Array(output.features.row(0)) + (0..<output.tokens.rows).flatMap { output.tokens.row($0) }
    }
  }

  /// A bias of the keys adds the same to all scores of a query, which the softmax takes away: it must not cost accuracy.
  @Test(arguments: [
    ("timm-token", ".attn.qkv.bias"), ("hf-dinov2", ".key.bias"), ("timm-diff", ".attn.qkv.bias"),
    ("timm-parallel-scaling-bias", ".in_proj.bias"), ("timm-map", "attn_pool.kv.bias"),
  ]) func biasOfTheKeys(_ name: String, _ suffix: String) throws {
    var parts = try ModelParts(name)
    let model = try parts.load()
    let (d, m) = (model.configuration.embedDim, model.configuration.mlpDim)
    let first = [".attn.qkv.bias": d, ".in_proj.bias": m + d][suffix] ?? 0
    let names = parts.tensors.map(\.name).filter { $0.hasSuffix(suffix) }
    #expect(!names.isEmpty)
    for name in names {
      let thousands = [Float](repeating: 1000, count: d).span.bytes.withUnsafeBytes(Array.init)
      parts[name]?.bytes.replaceSubrange(first * 4..<(first + d) * 4, with: thousands)
    }
    #expect(try output(of: parts.load()) == output(of: model))
  }
}
