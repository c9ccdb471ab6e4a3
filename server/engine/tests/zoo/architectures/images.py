"""Networks for images, by hand and as torch's own layers give them: both scripted and traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.architectures.architecture import Architecture, several_hot, stirred
from zoo.case import Draw, floats, ids


def block(channels: int, out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.GroupNorm(2, out), nn.ReLU(inplace=True))


class Vgg(nn.Module):
    """Stacks of convolutions, pooling, and a large dense head."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels, out in [(3, 4), (4, 8)]:
            layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(out, out, 3, padding=1)]
            layers += [nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        self.features, self.pool = nn.Sequential(*layers), nn.AdaptiveAvgPool2d((2, 2))
        self.classifier = nn.Sequential(nn.Linear(32, 16), nn.ReLU(inplace=True), nn.Dropout(0.0), nn.Linear(16, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.pool(self.features(x)), 1))


class Residual(nn.Module):
    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = block(channels, out, stride), nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(2, out)
        self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(channels, out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.second(self.first(x)))
        y += self.shortcut(x)
        return F.relu(y, inplace=True)


def resnet() -> nn.Module:
    return nn.Sequential(block(3, 4), Residual(4, 4, 1), Residual(4, 8, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))


class Dense(nn.Module):
    """DenseNet: every layer sees all before it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(block(3 + 4 * i, 4) for i in range(3))
        self.head = nn.Linear(15, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)
        return self.head(x.mean(dim=[2, 3]))


class SqueezeExcitation(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, 2, 1), nn.Conv2d(2, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.up(F.silu(self.down(F.adaptive_avg_pool2d(x, 1)))))


def inverted_residual(channels: int, out: int) -> nn.Module:
    """MobileNet v3's and EfficientNet's: wider, depthwise, squeezed, narrower."""
    wide = 2 * channels
    return nn.Sequential(
        nn.Conv2d(channels, wide, 1, bias=False), nn.GroupNorm(2, wide), nn.Hardswish(),
        nn.Conv2d(wide, wide, 3, 2, 1, groups=wide, bias=False), nn.GroupNorm(2, wide), nn.Hardswish(), SqueezeExcitation(wide),
        nn.Conv2d(wide, out, 1, bias=False), nn.GroupNorm(2, out),
    )  # fmt: skip


def mobilenet() -> nn.Module:
    return nn.Sequential(
        block(3, 4), inverted_residual(4, 6), inverted_residual(6, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)
    )


class UNet(nn.Module):
    """A label for every pixel; the way up takes what the way down left."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.bottom = block(3, 4), block(4, 8)
        self.up, self.last = nn.ConvTranspose2d(8, 4, 2, stride=2), block(8, 4)
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        skipped = self.down(x)
        y = self.up(self.bottom(F.max_pool2d(skipped, 2)))
        return self.head(self.last(torch.cat([y, skipped], dim=1)))


class ResizingUNet(UNet):
    """With interpolation instead of a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False), nn.Conv2d(8, 4, 1))


class MixerBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(8), nn.LayerNorm(8)
        self.across_patches = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 4))
        self.across_channels = nn.Sequential(nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 8))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.across_patches(self.first(x).transpose(1, 2)).transpose(1, 2)
        return x + self.across_channels(self.second(x))


class Mixer(nn.Module):
    """MLP-Mixer: dense layers across patches, then across channels."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.blocks = nn.Conv2d(3, 8, 4, 4), nn.Sequential(MixerBlock(), MixerBlock())
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


class Generator(nn.Module):
    """A decoder of transposed convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(5, 6, 4), nn.GroupNorm(2, 6), nn.ReLU(), nn.ConvTranspose2d(6, 1, 4, 2, 1), nn.Tanh()
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z[:, :, None, None])


class Siamese(nn.Module):
    """Two images of one record, one network."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(block(3, 4, 2), nn.Flatten(), nn.Linear(64, 6))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return F.cosine_similarity(self.network(left), self.network(right), dim=1).unsqueeze(1)


class AlexNet(nn.Module):
    """With its normalisation across neighbouring channels."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.LocalResponseNorm(3), nn.AvgPool2d(2))
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))


class Inception(nn.Module):
    """Several windows beside one another."""

    def __init__(self) -> None:
        super().__init__()
        pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(3, 2, 1))
        self.branches = nn.ModuleList([nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(3, 2, 5, padding=2), pooled])
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for branch in self.branches:
            found.append(branch(x))
        return self.head(torch.cat(found, 1).flatten(2).mean(2))


class ShuffleNet(nn.Module):
    """Groups of channels that change places between convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1, groups=2), nn.ChannelShuffle(2), nn.Conv2d(4, 4, 3, padding=1, groups=4)
        )
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x).mean(dim=[2, 3]))


class ConvLstm(nn.Module):
    """A recurrence of images: one convolution for all gates, at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.gates, self.head = nn.Conv2d(4, 12, 3, padding=1), nn.Conv2d(3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(1, 3, 6, 6, dtype=x.dtype)
        c = torch.zeros_like(h)
        for t in range(x.size(1)):
            i, f, o, g = self.gates(torch.cat([x[:, t], h], 1)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return self.head(h)


def super_resolution() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 5, padding=2), nn.Tanh(), nn.Conv2d(4, 4, 3, padding=1), nn.PixelShuffle(2))


IMAGE = {"x": floats(3, 8, 8)}
PARTS = "convolution, group_norm, linear"


def row(
    name: str, build: Callable[[], nn.Module], measured: str = PARTS, inputs: dict[str, Draw] = IMAGE, **more: Any
) -> Architecture:
    more = {"label": ids(3), "loss": "cross_entropy"} | more
    return Architecture(name, lambda: stirred(build()), inputs, measured=measured, **more)


MASK: dict[str, Any] = {"label": several_hot(1, 8, 8), "loss": "bce_with_logits"}
TRANSPOSED = "each record gets a copy of a transposed convolution's weight"

ARCHITECTURES = [
    row("AlexNet", AlexNet, "convolution, linear"),
    row("VGG", Vgg, "convolution, linear"),
    row("Inception", Inception, "convolution, linear"),
    row("ResNet by hand", resnet, remark="with additions in place"),
    row("DenseNet", Dense),
    row("MobileNet v3 by hand", mobilenet, remark="depthwise convolutions, squeeze and excitation"),
    row("ShuffleNet", ShuffleNet, "convolution, linear"),
    row("MLP-Mixer", Mixer, "convolution, layer_norm, linear"),
    row("U-Net", UNet, "convolution, expand, group_norm", notable={"up.weight": "expand"}, remark=TRANSPOSED, **MASK),
    row("U-Net with interpolation", ResizingUNet, "convolution, group_norm", **MASK),
    row("DCGAN's generator", Generator, "expand, group_norm", {"z": floats(5)}, label=floats(1, 8, 8), loss="l2"),
    row("Super-resolution (ESPCN)", super_resolution, "convolution", {"x": floats(1, 6, 6)}, label=floats(1, 12, 12), loss="l2"),
    row(
        "Siamese network",
        Siamese,
        "convolution (tied), group_norm (tied), linear (tied)",
        {"left": floats(3, 8, 8), "right": floats(3, 8, 8)},
        label=floats(1),
        loss="l2",
        remark="both images belong to one record",
    ),
    row("ConvLSTM", ConvLstm, "convolution, convolution (tied)", {"x": floats(3, 1, 6, 6)}, label=floats(1, 6, 6), loss="l2"),
]
