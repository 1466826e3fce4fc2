"""The timm models of model_fixtures.py: an architecture of timm and what its configuration overrides.

Every kind of argument that an architecture of timm 1.0 has is in here once (timm_architectures.py lists them). What
config.json cannot carry (`block_fn`, `mlp_layer`, an epsilon other than the layer's own) comes from the architecture;
what no architecture has (`fuse_out_proj`, a tiny ResNet) is a lone file of weights.
"""

from functools import partial

import timm
from timm.layers import HybridEmbed, StdConv2dSame
from timm.models.resnetv2 import ResNetV2, create_resnetv2_stem
from timm.models.vision_transformer import ParallelScalingBlock, VisionTransformer

TINY = dict(img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2, mlp_ratio=2, num_classes=7)
SMALL = dict(TINY, img_size=24, patch_size=6, embed_dim=16)

# name: (timm architecture, arguments, sizes at which positions are resampled)
TIMM: dict[str, tuple[str, dict, list[tuple[int, int]]]] = {
    "timm-token": ("vit_tiny_patch16_224", dict(TINY, embed_dim=48, num_heads=3), [(40, 40), (48, 64)]),
    "timm-avg": ("vit_tiny_patch16_224", dict(TINY, global_pool="avg"), []),
    "timm-avg-no-class-token": (
        "vit_tiny_patch16_224",
        dict(TINY, global_pool="avg", class_token=False, fc_norm=False),
        [(24, 40)],
    ),
    "timm-max": ("vit_tiny_patch16_224", dict(TINY, global_pool="max"), []),
    "timm-no-qkv-bias": ("vit_tiny_patch16_224", dict(TINY, qkv_bias=False), []),
    "timm-rectangular": ("vit_tiny_patch16_224", dict(TINY, img_size=(40, 48), patch_size=(8, 16)), [(32, 32)]),
    "timm-deit": ("deit_tiny_patch16_224", dict(TINY, num_heads=4), []),
    "timm-deit-distilled": ("deit_tiny_distilled_patch16_224", dict(TINY), [(24, 40)]),
    "timm-dinov2": ("vit_small_patch14_dinov2", dict(TINY, img_size=56, patch_size=14, num_classes=0), [(42, 70)]),
    "timm-dinov2-registers": (
        "vit_small_patch14_reg4_dinov2",
        dict(TINY, img_size=56, patch_size=14),
        [(42, 42), (42, 70)],
    ),
    # Pooling
    "timm-avgmax": ("vit_tiny_patch16_224", dict(SMALL, global_pool="avgmax"), []),
    "timm-map": ("vit_base_patch16_siglip_224", dict(SMALL), [(30, 36)]),
    "timm-map-tanh": ("vit_base_patch32_siglip_256", dict(SMALL), []),
    "timm-map-class-token": ("vit_base_patch16_siglip_224", dict(SMALL, class_token=True), []),
    "timm-map-registers": ("vit_so150m_patch16_reg4_map_256", dict(SMALL), []),
    "timm-pool-include-prefix": ("test_vit3", dict(SMALL), []),
    "timm-prr": ("vit_tiny_patch16_224", dict(SMALL, global_pool="prr"), []),
    "timm-prr-avg": ("vit_tiny_patch16_224", dict(SMALL, global_pool="prr", class_token=False), []),
    "timm-no-final-norm": ("vit_base_patch16_radio_v3", dict(SMALL), []),
    "timm-internvit": ("vit_intern300m_patch14_448", dict(SMALL), [(18, 30)]),
    # Tokens and positions
    "timm-registers-gap": ("vit_so150m_patch16_reg4_gap_256", dict(SMALL), [(18, 30)]),
    "timm-registers-gap-fc-norm": ("vit_betwixt_patch16_reg4_gap_256", dict(SMALL), []),
    "timm-registers-gap-no-bias": ("vit_so150m2_patch16_reg1_gap_256", dict(SMALL), []),
    "timm-gap-layer-scale": ("vit_betwixt_patch16_gap_256", dict(SMALL), []),
    "timm-dynamic": ("test_vit", dict(SMALL), [(18, 30)]),
    "timm-flexi": ("flexivit_small", dict(SMALL), []),
    "timm-deit3": ("deit3_small_patch16_224", dict(SMALL), [(30, 36)]),
    "timm-no-positions": ("vit_tiny_patch16_224", dict(SMALL, pos_embed="none"), []),
    "timm-gray": ("vit_tiny_patch16_224", dict(SMALL, in_chans=1), []),
    "timm-patch-14-rectangular-input": ("vit_tiny_patch16_224", dict(SMALL, img_size=(28, 42), patch_size=14), []),
    # Normalisations, activations and MLPs
    "timm-clip": ("vit_base_patch16_clip_224", dict(SMALL), [(36, 30)]),
    "timm-clip-quickgelu": ("vit_base_patch16_clip_quickgelu_224", dict(SMALL), []),
    "timm-gelu-tanh": ("vit_base_patch32_siglip_gap_256", dict(SMALL), []),
    "timm-qk-norm": ("vit_tiny_patch16_224", dict(SMALL, qk_norm=True), []),
    "timm-qk-norm-rms": ("vit_tiny_patch16_224", dict(SMALL, qk_norm=True, norm_layer="rmsnorm"), []),
    "timm-rms-norm": ("test_vit4", dict(SMALL), []),
    "timm-beit3": ("beit3_base_patch16_224", dict(SMALL, embed_dim=24, num_heads=3), []),
    "timm-dinov2-giant": ("vit_giant_patch14_reg4_dinov2", dict(SMALL, mlp_ratio=4), []),
    # The gate of SwiGLUPacked is the model's activation: with GELU it is a GEGLU.
    "timm-dinov2-giant-gelu": ("vit_giant_patch14_dinov2", dict(SMALL, mlp_ratio=4, act_layer="gelu"), []),
    "timm-aimv2": ("aimv2_large_patch14_224", dict(SMALL, mlp_ratio=2.75), []),
    # Blocks
    "timm-parallel-scaling": ("vit_base_patch16_xp_224", dict(SMALL), []),
    "timm-parallel-scaling-bias": ("vit_pwee_patch16_reg1_gap_256", dict(SMALL), []),
    "timm-parallel-things": ("vit_small_patch16_18x2_224", dict(SMALL), []),
    "timm-res-post": ("vit_base_patch16_rpn_224", dict(SMALL), []),
    "timm-diff": ("vit_dlittle_patch16_reg1_gap_256", dict(SMALL), []),
    "timm-diff-norms": (
        "vit_tiny_patch16_224",
        dict(SMALL, attn_layer="diff", qk_norm=True, scale_attn_norm=True, qkv_bias=False),
        [],
    ),
    "timm-diff-parallel": ("vit_dpwee_patch16_reg1_gap_256", dict(SMALL), []),
}

# Models whose embeddings are so faint that the epsilon of the first normalisation shows in the logits.
FAINT = {
    "timm-map", "timm-clip", "timm-clip-quickgelu", "timm-qk-norm-rms", "timm-rms-norm", "timm-beit3", "timm-aimv2",
    "timm-internvit", "timm-parallel-scaling",
}  # fmt: skip
# Likewise the values of attention, for the epsilon of the normalisation behind differential attention.
FAINT_VALUES = {"timm-diff", "timm-diff-parallel"}
FAINTNESS = 0.02

# --- Lone files of weights -------------------------------------------------------------------------------------------
# Heads are 64 wide, because nothing but a rule tells their number.

LONE = dict(embed_dim=64, depth=1, num_heads=1, mlp_ratio=1, num_classes=7)


def single_file() -> VisionTransformer:
    return timm.create_model("vit_tiny_patch16_224", **dict(TINY, embed_dim=128, depth=1, num_heads=2, mlp_ratio=1))


def fused_parallel_block() -> VisionTransformer:
    """Attention and MLP share one output projection."""
    block = partial(ParallelScalingBlock, fuse_out_proj=True)
    return VisionTransformer(**LONE, img_size=24, patch_size=6, block_fn=block)


def hybrid() -> VisionTransformer:
    """A ResNet-V2 of three stages (stride 16) before the transformer, as narrow as 32 groups allow."""
    backbone = ResNetV2(
        layers=(1, 2, 1), channels=(128, 128, 128), num_classes=0, global_pool="", preact=False, stem_type="same",
        conv_layer=partial(StdConv2dSame, eps=1e-8),
    )  # fmt: skip
    return VisionTransformer(**LONE, img_size=64, patch_size=1, embed_layer=partial(HybridEmbed, backbone=backbone))


def hybrid_stem() -> VisionTransformer:
    """The first convolution and pooling of that ResNet only (stride 4), then patches of 2x2."""
    backbone = create_resnetv2_stem(3, stem_type="same", preact=False, conv_layer=partial(StdConv2dSame, eps=1e-8))
    return VisionTransformer(**LONE, img_size=32, patch_size=2, embed_layer=partial(HybridEmbed, backbone=backbone))


# name: (what makes the model, sizes at which positions are resampled)
LONE_FILES = {
    "timm-single-file": (single_file, []),
    "timm-parallel-scaling-fused": (fused_parallel_block, []),
    "timm-hybrid": (hybrid, [(48, 80)]),
    "timm-hybrid-stem": (hybrid_stem, []),
}
