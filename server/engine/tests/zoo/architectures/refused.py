"""Honest models that are not taken, and what to do instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.architectures.architecture import Refused, stirred
from zoo.architectures.decoders import INPUTS, decoder
from zoo.architectures.encoders import INPUTS as MASKED
from zoo.architectures.encoders import LENGTH, VOCABULARY, encoder
from zoo.architectures.tables import mlp
from zoo.case import Draw, floats, ids


def with_batch_norm() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))


class Bag(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.head = nn.EmbeddingBag(VOCABULARY, 6), nn.Linear(6, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.tokens(ids))


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells, self.head = nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(x, length, batch_first=True, enforce_sorted=False)
        return self.head(self.cells(packed)[1][0][-1])


class Routed(nn.Module):
    """Experts that get the rows of a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(6, 2), nn.ModuleList(nn.Linear(6, 6) for _ in range(2))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x[0]
        chosen, out = self.gate(x).argmax(-1), torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            rows = torch.nonzero(chosen == number).squeeze(1)
            out = out.index_add(0, rows, expert(x[rows]))
        return self.head(out.mean(0, keepdim=True))


class MaskedMean(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x[x.sum(-1) > 0].mean(0, keepdim=True))


class SpatialTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.where, self.head = nn.Linear(64, 6), nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        grid = F.affine_grid(self.where(x.flatten(1)).view(1, 2, 3), [1, 1, 8, 8], align_corners=False)
        return self.head(F.grid_sample(x, grid, align_corners=False).flatten(1))


class Unpooling(nn.Module):
    """SegNet's way up."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y, places = F.max_pool2d(self.down(x), [2, 2], return_indices=True)
        return self.up(F.max_unpool2d(y, places, [2, 2]))


class SpectralNormed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.utils.parametrizations.spectral_norm(nn.Linear(6, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x)


class EarlyExit(nn.Module):
    """Stops where it is sure."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = mlp(6, 3), mlp(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        if y.max().item() > 1:
            return y
        return y + self.second(x)


def row(
    name: str, build: Callable[[], nn.Module], inputs: dict[str, Draw], operator: str, reason: str, instead: str, **more: Any
) -> Refused:
    more = {"label": ids(3), "loss": "cross_entropy"} | more
    return Refused(name, lambda: stirred(build()), inputs, operator=operator, reason=reason, instead=instead, **more)


X, TABLE = {"x": floats(6)}, "not in the table"
TRACED: dict[str, Any] = {"forms": ("trace",)}

REFUSED = [
    row(
        "BatchNorm in training mode",
        with_batch_norm,
        {"x": floats(3, 8, 8)},
        "aten::batch_norm",
        "mixes the records of a batch",
        "`nn.GroupNorm(min(32, channels), channels)` in its place, or `.eval()` on it",
        see="ResNet, GroupNorm",
    ),
    row(
        "nn.EmbeddingBag",
        Bag,
        {"ids": ids(VOCABULARY, LENGTH)},
        "aten::embedding_bag",
        TABLE,
        "`nn.Embedding`, then `mean(1)` or `sum(1)`",
        see="Bag of words",
    ),
    row(
        "Packed sequences",
        Packed,
        {"x": floats(5, 4), "length": lambda g: torch.randint(2, 6, (), generator=g)},
        "aten::_pack_padded_sequence",
        TABLE,
        "pad, give the recurrence the tensor itself, and pick or mask states afterwards",
        see="LSTM",
        forms=("script",),
    ),
    row(
        "Indexing by a mask",
        MaskedMean,
        {"x": floats(5, 6)},
        "aten::index",
        "whose shape depends on the record",
        "`torch.where` or a product with the mask: `(x * mask).sum(1) / mask.sum(1)`",
        see="nn.TransformerEncoder",
    ),
    row(
        "Mixture of experts, routed",
        Routed,
        {"x": floats(5, 6)},
        "aten::nonzero",
        "depends on what the record holds",
        "let every expert compute and weigh the answers by the gate",
        see="Experts, the best two",
        **TRACED,
    ),
    row(
        "Early exit",
        EarlyExit,
        X,
        "aten::item",
        "data-dependent control flow",
        "compute both ways and choose by `torch.where`",
        forms=("script",),
    ),
    row(
        "Spatial transformer",
        SpatialTransformer,
        {"x": floats(1, 8, 8)},
        "aten::grid_sampler",
        TABLE,
        "no way around in one operator: its kernel reads out of bounds for some grids. Turn coordinates instead of images",
        see="PointNet",
    ),
    row(
        "SegNet's unpooling",
        Unpooling,
        {"x": floats(3, 8, 8)},
        "aten::max_unpool2d",
        TABLE,
        "`nn.Upsample` or `nn.ConvTranspose2d`",
        see="U-Net with interpolation",
        forms=("script",),
        label=floats(1, 8, 8),
        loss="l2",
    ),
    row(
        "Spectral normalisation that learns",
        SpectralNormed,
        X,
        "aten::div",
        "in place",
        "`.eval()` on that layer: its vectors stand still, its weight is trained",
        see="Spectral normalisation",
        **TRACED,
    ),
    row(
        "InstanceNorm with running statistics",
        lambda: nn.Sequential(nn.InstanceNorm1d(4, affine=True, track_running_stats=True), nn.Flatten(), nn.Linear(24, 3)),
        {"x": floats(4, 6)},
        "aten::instance_norm",
        "track_running_stats=False",
        "`track_running_stats=False`",
    ),
    row(
        "Longformer",
        encoder("Longformer", attention_window=4, pad_token_id=1),
        MASKED,
        "aten::as_strided",
        TABLE,
        "an encoder that cuts its windows otherwise",
        see="ModernBERT",
        **TRACED,
    ),
    row(
        "Mixtral, sorting tokens by expert",
        decoder("Mixtral", num_key_value_heads=2, num_local_experts=2, num_experts_per_tok=1, experts_implementation="eager"),
        INPUTS,
        "aten::nonzero",
        "depends on what the record holds",
        '`experts_implementation="batched_mm"` in its configuration',
        see="Mixtral",
        label=ids(VOCABULARY, LENGTH),
        **TRACED,
    ),
]
