"""Convolutions of one, two and three dimensions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.case import Case, floats, ids


class ConvNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU()
        )
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean((2, 3)))


class ResidualBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.norm(self.conv(x)))


class SameConvTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(torch.tanh(self.conv(x)))


def frozen_weight(conv: nn.Conv2d) -> nn.Module:
    conv.weight.requires_grad_(False)
    return conv


LINE, PLANE, CUBE = {"x": floats(4, 12)}, {"x": floats(4, 7, 6)}, {"x": floats(2, 4, 5, 4)}

CASES = [
    Case("conv1d", lambda: nn.Conv1d(4, 3, 3), LINE, floats(3, 10)),
    Case("conv1d stride 2, padding 1, dilation 2", lambda: nn.Conv1d(4, 3, 3, 2, 1, 2), LINE, floats(3, 5)),
    Case("conv1d groups", lambda: nn.Conv1d(4, 6, 3, groups=2, bias=False), LINE, floats(6, 10)),
    Case("conv1d padding same", lambda: nn.Conv1d(4, 3, 4, padding="same"), LINE, floats(3, 12)),
    Case("conv1d circular", lambda: nn.Conv1d(4, 3, 3, padding=1, padding_mode="circular"), LINE, floats(3, 12)),
    Case("conv1d of one position", lambda: nn.Conv1d(4, 3, 12), LINE, floats(3, 1)),
    Case("conv2d", lambda: nn.Conv2d(4, 3, 3), PLANE, floats(3, 5, 4)),
    Case("conv2d without bias", lambda: nn.Conv2d(4, 3, 3, bias=False), PLANE, floats(3, 5, 4)),
    Case("conv2d 1x1", lambda: nn.Conv2d(4, 3, 1), PLANE, floats(3, 7, 6)),
    Case(
        "conv2d oblong, stride, padding, dilation, groups",
        lambda: nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2),
        PLANE,
        floats(6, 4, 4),
    ),
    Case("conv2d depthwise", lambda: nn.Conv2d(4, 4, 3, padding=1, groups=4), PLANE, floats(4, 7, 6)),
    Case("conv2d depthwise, multiplier 2", lambda: nn.Conv2d(4, 8, 3, groups=4), PLANE, floats(8, 5, 4)),
    Case("conv2d rows that do not divide by the stride", lambda: nn.Conv2d(4, 3, 3, stride=3), PLANE, floats(3, 2, 2)),
    Case("conv2d frozen weight", lambda: frozen_weight(nn.Conv2d(4, 3, 3)), PLANE, floats(3, 5, 4)),
    Case("conv3d", lambda: nn.Conv3d(2, 3, 2), CUBE, floats(3, 3, 4, 3)),
    Case(
        "conv3d stride, padding, dilation, groups",
        lambda: nn.Conv3d(2, 4, 2, stride=(1, 2, 1), padding=1, dilation=(2, 1, 1), groups=2),
        CUBE,
        floats(4, 4, 3, 5),
    ),
    Case("same conv twice", SameConvTwice, {"x": floats(3, 8)}, floats(3, 8)),
    Case("conv net", ConvNet, {"x": floats(1, 8, 8)}, ids(3), "cross_entropy"),
    Case("residual block", ResidualBlock, {"x": floats(3, 5, 5)}, floats(3, 5, 5)),
    Case("conv transpose 1d", lambda: nn.ConvTranspose1d(4, 3, 3, 2), LINE, floats(3, 25), may_be_refused=True),
    Case("conv transpose 2d", lambda: nn.ConvTranspose2d(4, 2, 2, 2), PLANE, floats(2, 14, 12), may_be_refused=True),
]
