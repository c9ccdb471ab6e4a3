"""Models of Hugging Face's transformers for images and sounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from zoo.architectures.architecture import Architecture, stirred
from zoo.architectures.encoders import TRACED, pretrained
from zoo.case import Draw, floats, ids
from zoo.normalisation import frozen_statistics


class FirstLogits(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x).logits


def classifier(kind: str, task: str = "ForImageClassification", **options: Any) -> Callable[[], nn.Module]:
    return lambda: FirstLogits(pretrained(kind, task, {"num_labels": 3} | options))


def with_group_norm(build: Callable[[], nn.Module], groups: int = 2) -> Callable[[], nn.Module]:
    """Every BatchNorm becomes a GroupNorm, as its refusal says."""

    def swap(module: nn.Module) -> nn.Module:
        for name, child in module.named_children():
            if isinstance(child, nn.modules.batchnorm._BatchNorm):
                setattr(module, name, stirred(nn.GroupNorm(groups, child.num_features)))
            else:
                swap(child)
        return module

    return lambda: swap(build())


def with_frozen_statistics(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """Every BatchNorm keeps the statistics that it has."""

    def freeze(module: nn.Module) -> nn.Module:
        for child in module.modules():
            if isinstance(child, nn.modules.batchnorm._BatchNorm):
                frozen_statistics(child)
        return module

    return lambda: freeze(build())


SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
PATCHES = {"image_size": 8, "patch_size": 4}
WINDOWS = {"image_size": 16, "patch_size": 2, "embed_dim": 8, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4}
STAGES = {"hidden_sizes": [8, 12], "depths": [1, 2]}
PYRAMID = {
    "num_encoder_blocks": 2,
    "depths": [1, 1],
    "hidden_sizes": [8, 12],
    "num_attention_heads": [1, 2],
    "mlp_ratios": [2, 2],
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "drop_path_rate": 0.0,
}
RESNET = classifier("ResNet", embedding_size=4, layer_type="basic", **STAGES)
EFFICIENTNET = classifier(
    "EfficientNet",
    image_size=16,
    width_coefficient=0.25,
    depth_coefficient=0.3,
    hidden_dim=320,
    dropout_rate=0.0,
    drop_connect_rate=0.0,
    in_channels=[16, 16],
    out_channels=[16, 24],
    kernel_sizes=[3, 5],
    strides=[1, 2],
    num_block_repeats=[1, 2],
    expand_ratios=[1, 6],
    depthwise_padding=[],
)
LEVIT = classifier(
    "Levit",
    image_size=32,
    hidden_sizes=[16, 16, 16],
    num_attention_heads=[2, 2, 2],
    depths=[1, 1, 1],
    key_dim=[4, 4, 4],
    drop_path_rate=0,
    mlp_ratio=[2, 2, 2],
    attention_ratio=[2, 2, 2],
)
MOBILEVIT = classifier(
    "MobileViT",
    image_size=32,
    hidden_sizes=[8, 12, 16],
    neck_hidden_sizes=[4, 4, 8, 8, 8, 8, 16],
    num_attention_heads=2,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    classifier_dropout_prob=0.0,
)
WAV2VEC2 = classifier(
    "Wav2Vec2",
    "ForSequenceClassification",
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=24,
    conv_dim=[8, 8],
    conv_stride=[4, 2],
    conv_kernel=[8, 3],
    num_feat_extract_layers=2,
    num_conv_pos_embeddings=4,
    num_conv_pos_embedding_groups=2,
    hidden_dropout=0.0,
    attention_dropout=0.0,
    activation_dropout=0.0,
    feat_proj_dropout=0.0,
    layerdrop=0.0,
    apply_spec_augment=False,
    final_dropout=0.0,
    classifier_proj_size=8,
)
SPECTROGRAM = {"max_length": 16, "num_mel_bins": 8, "patch_size": 4, "frequency_stride": 4, "time_stride": 4}
WHISPER = {
    "vocab_size": 29,
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "num_mel_bins": 8,
    "max_source_positions": 8,
    "max_target_positions": 8,
    "dropout": 0.0,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
    "classifier_proj_size": 8,
}

GROUPS = "convolution, group_norm, linear"
FROZEN = "batch_norm, convolution, linear"
TOKENS = "convolution, expand, layer_norm, linear"
SWAP = "each BatchNorm replaced: `GroupNorm(min(32, channels), channels)`"
KEPT = "`model.train()`, then `.eval()` on each BatchNorm: scale and shift are trained, the statistics stay"


def images(size: int) -> dict[str, Draw]:
    return {"x": floats(3, size, size)}


def row(name: str, build: Callable[[], nn.Module], measured: str, inputs: dict[str, Draw], **more: Any) -> Architecture:
    return Architecture(name, build, inputs, ids(3), "cross_entropy", ("trace",), measured=measured, only=TRACED, **more)


ARCHITECTURES = [
    row("ViT", classifier("ViT", **PATCHES, **SMALL), TOKENS, images(8), notable={"model.vit.embeddings.cls_token": "expand"}),
    row("DeiT", classifier("DeiT", **PATCHES, **SMALL), TOKENS, images(8), slow=True),
    row(
        "DINOv2",
        classifier("Dinov2", mlp_ratio=2, **PATCHES, **SMALL),
        "convolution, expand, layer_norm, linear, unused",
        images(8),
        notable={"model.dinov2.embeddings.mask_token": "unused"},
        rounds_to_float32=True,
        remark="traced, it resizes its positions in float32",
        slow=True,
    ),
    row("Swin", classifier("Swin", drop_path_rate=0.0, **WINDOWS), TOKENS, images(16), remark="shifted windows are rolled"),
    row("ConvNeXt", classifier("ConvNext", num_stages=2, drop_path_rate=0.0, **STAGES), TOKENS, images(16)),
    row("ResNet, GroupNorm", with_group_norm(RESNET), GROUPS, images(16), remark=SWAP),
    row("ResNet, frozen BatchNorm", with_frozen_statistics(RESNET), FROZEN, images(16), remark=KEPT, slow=True),
    row("EfficientNet, GroupNorm", with_group_norm(EFFICIENTNET), GROUPS, images(16), remark=SWAP),
    row("EfficientNet, frozen BatchNorm", with_frozen_statistics(EFFICIENTNET), FROZEN, images(16), remark=KEPT, slow=True),
    row(
        "LeViT, frozen BatchNorm", with_frozen_statistics(LEVIT), "batch_norm, convolution, expand, linear", images(32), remark=KEPT
    ),
    row(
        "SegFormer",
        classifier("Segformer", sr_ratios=[2, 1], patch_sizes=[3, 3], strides=[2, 2], **PYRAMID),
        "convolution, layer_norm, linear",
        images(16),
        slow=True,
    ),
    row(
        "Audio spectrogram transformer",
        classifier("AST", "ForAudioClassification", **SPECTROGRAM, **SMALL),
        TOKENS,
        {"x": floats(16, 8)},
        slow=True,
    ),
    row(
        "Wav2Vec 2.0",
        WAV2VEC2,
        "convolution, expand, group_norm, layer_norm, linear, unused",
        {"x": floats(128)},
        remark="its convolution of positions is weight-normalised",
    ),
    row(
        "Whisper's encoder",
        classifier("Whisper", "ForAudioClassification", **WHISPER),
        "convolution, layer_norm, linear",
        {"x": floats(8, 16)},
        slow=True,
    ),
    row(
        "BEiT",
        classifier("Beit", drop_path_rate=0.0, use_relative_position_bias=True, **PATCHES, **SMALL),
        TOKENS,
        images(8),
        slow=True,
    ),
    row("Swin v2", classifier("Swinv2", drop_path_rate=0.0, **WINDOWS), TOKENS, images(16), slow=True),
    row("ConvNeXt v2", classifier("ConvNextV2", num_stages=2, drop_path_rate=0.0, **STAGES), TOKENS, images(16), slow=True),
    row(
        "RegNet, GroupNorm",
        with_group_norm(classifier("RegNet", embedding_size=4, hidden_sizes=[8, 16], depths=[1, 1], groups_width=4)),
        GROUPS,
        images(16),
        remark=SWAP,
        slow=True,
    ),
    row(
        "MobileNet v2, GroupNorm",
        with_group_norm(classifier("MobileNetV2", image_size=32, depth_multiplier=0.25, classifier_dropout_prob=0.0)),
        GROUPS,
        images(32),
        remark=SWAP,
        slow=True,
    ),
    row(
        "MobileViT, GroupNorm",
        with_group_norm(MOBILEVIT),
        "convolution, group_norm, layer_norm, linear",
        images(32),
        remark=SWAP,
        slow=True,
    ),
    row(
        "PoolFormer",
        classifier(
            "PoolFormer",
            num_encoder_blocks=2,
            depths=[1, 1],
            hidden_sizes=[8, 12],
            patch_sizes=[3, 3],
            strides=[2, 2],
            padding=[1, 1],
            drop_path_rate=0.0,
        ),
        "convolution, expand, group_norm, linear",
        images(16),
        slow=True,
    ),
    row(
        "FocalNet",
        classifier(
            "FocalNet",
            image_size=16,
            patch_size=2,
            embed_dim=8,
            depths=[1, 1],
            focal_levels=[2, 2],
            focal_windows=[3, 3],
            hidden_dropout_prob=0.0,
            drop_path_rate=0.0,
        ),
        "convolution, layer_norm, linear",
        images(16),
        slow=True,
    ),
    row(
        "Pyramid vision transformer",
        classifier("Pvt", image_size=16, sequence_reduction_ratios=[2, 1], patch_sizes=[4, 2], strides=[4, 2], **PYRAMID),
        TOKENS,
        images(16),
        slow=True,
    ),
]
