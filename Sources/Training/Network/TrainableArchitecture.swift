import Checkpoints
import Images
import VisionTransformer

/// An architecture whose backward pass is there: a `ViTConfiguration`, and what only a checkpoint's tensors show otherwise.
public struct TrainableArchitecture: Sendable, Equatable {
  public let configuration: ViTConfiguration
  /// Of the patch projection; timm's models with a norm in front of the blocks have none.
  public let hasPatchBias: Bool
  /// Of the layers behind attention and in the MLP.
  public let hasProjectionBias: Bool
  /// A norm of the heads' outputs (timm's `scale_attn_norm`).
  public let hasAttentionNorm: Bool
  /// A norm in the MLP (timm's `scale_mlp_norm`).
  public let hasMLPNorm: Bool
  /// Whether timm keeps the halves of a gated MLP apart, as `fc1_g` and `fc1_x`.
  public let splitsGate: Bool

  /// - Throws: `TrainingError.notTrainable` with the part that has no backward pass.
  public init(
    _ configuration: ViTConfiguration, hasPatchBias: Bool = true, hasProjectionBias: Bool = true,
    hasAttentionNorm: Bool = false, hasMLPNorm: Bool = false, splitsGate: Bool = false
  ) throws(TrainingError) {
    let c = configuration
    let refused: [(Bool, String)] = [
      (c.stem != nil, "a ResNet in front of the patches (a hybrid)"),
      (c.block == .parallel, "blocks with attention and MLP side by side (\"block_fn\")"),
      (c.numBranches != nil, "blocks of several attentions (\"block_fn\")"),
      (c.differentialAttention, "differential attention (\"attn_layer\")"),
      (c.globalPool == .attention, "the pool \"map\""), (c.globalPool == .refinement, "the pool \"prr\""),
      (c.globalPool == .tokenAndAverage, "a head on class token and mean (Hugging Face's DINOv2)"),
      (c.positions == .sinCos2D, "positions that are computed, not learned"),
      (c.representationDim != nil, "a representation layer (\"pre_logits\")"),
      (c.projectionDim != nil, "CLIP's projection of the features"),
      (
        c.hasDistillationToken != c.hasDistillationHead,
        "a distillation token without a head of its own"
      ),
      (c.numClasses < 1, "a model without a head (\"num_classes\" is 0)"),
    ]
    if let (_, part) = refused.first(where: \.0) { throw .notTrainable(part: part) }
    self.configuration = configuration
    self.hasPatchBias = hasPatchBias
    self.hasProjectionBias = hasProjectionBias
    self.hasAttentionNorm = hasAttentionNorm
    self.hasMLPNorm = hasMLPNorm
    self.splitsGate = splitsGate
  }

  /// - Throws: `TrainingError.notTrainable` with the part that has no backward pass.
  package init(_ model: TimmModel) throws(TrainingError) {
    try self.init(
      model.configuration, hasPatchBias: model.hasPatchBias, hasProjectionBias: model.hasProjectionBias,
      hasAttentionNorm: model.hasAttentionNorm, hasMLPNorm: model.hasMLPNorm, splitsGate: model.splitsGate)
  }
}
