"""Recurrent networks, convolutions over time, torch's own attention, and volumes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.architectures.architecture import Architecture, attention_mask, stirred, tokens
from zoo.case import Draw, floats, ids

VOCABULARY, LENGTH = 17, 6


class Recurrent(nn.Module):
    """The last state of a recurrence over embedded tokens."""

    def __init__(self, cells: nn.Module, width: int) -> None:
        super().__init__()
        self.tokens, self.cells, self.head = nn.Embedding(VOCABULARY, 5, padding_idx=0), cells, nn.Linear(width, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.cells(self.tokens(ids))[0][:, -1])


class Tagger(nn.Module):
    """A label for every token, from both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.cells = nn.Embedding(VOCABULARY, 5), nn.LSTM(5, 4, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(8, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.cells(self.tokens(ids))[0])


class Forecaster(nn.Module):
    """A cell called step by step that goes on from its own predictions."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTMCell(2, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(1, 5, dtype=x.dtype)
        c = torch.zeros(1, 5, dtype=x.dtype)
        for t in range(x.size(1)):
            h, c = self.cell(x[:, t], (h, c))
        predicted = []
        for _ in range(3):
            y = self.head(h)
            predicted.append(y)
            h, c = self.cell(y, (h, c))
        return torch.stack(predicted, 1)


class TiedLanguageModel(nn.Module):
    """A recurrent language model whose embedding is its output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.cells = nn.Embedding(VOCABULARY, 6), nn.GRU(6, 6, batch_first=True)
        self.head = nn.Linear(6, VOCABULARY, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.cells(self.tokens(ids))[0])


class TextCnn(nn.Module):
    """Kim's: windows of several widths, the largest of each."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, 5, padding_idx=0)
        self.windows = nn.ModuleList(nn.Conv1d(5, 4, width) for width in (2, 3, 4))
        self.head = nn.Linear(12, 3)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids).transpose(1, 2)
        found = []
        for window in self.windows:
            found.append(F.relu(window(x)).amax(2))
        return self.head(torch.cat(found, 1))


class Causal(nn.Module):
    """One block of a temporal convolutional network."""

    def __init__(self, channels: int, out: int, dilation: int) -> None:
        super().__init__()
        self.padding = 2 * dilation
        self.first = nn.Conv1d(channels, out, 3, dilation=dilation)
        self.second = nn.Conv1d(out, out, 3, dilation=dilation)
        self.shortcut = nn.Conv1d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first(F.pad(x, (self.padding, 0))))
        y = F.relu(self.second(F.pad(y, (self.padding, 0))))
        return F.relu(y + self.shortcut(x))


def tcn() -> nn.Module:
    return nn.Sequential(Causal(2, 4, 1), Causal(4, 4, 2), nn.Conv1d(4, 2, 1))


class WaveNet(nn.Module):
    """Gated dilated convolutions with residual and skip connections; the next of a quantised signal."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, 4)
        self.gates = nn.ModuleList(nn.Conv1d(4, 8, 2, dilation=2**i, padding=2**i) for i in range(3))
        self.residual = nn.ModuleList(nn.Conv1d(4, 4, 1) for _ in range(3))
        self.head = nn.Conv1d(4, VOCABULARY, 1)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids).transpose(1, 2)
        skipped = torch.zeros_like(x)
        for gate, residual in zip(self.gates, self.residual):  # noqa: B905 - TorchScript's zip knows no strict
            filtered, opened = gate(x)[:, :, : x.size(2)].chunk(2, dim=1)
            y = torch.tanh(filtered) * torch.sigmoid(opened)
            x, skipped = x + residual(y), skipped + y
        return self.head(F.relu(skipped)).transpose(1, 2)


class Volumes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(4, 4, 2, groups=2), nn.ReLU()
        )
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x).mean(dim=[2, 3, 4]))


class TorchTransformer(nn.Module):
    """nn.TransformerEncoder over embeddings with fixed sines for positions."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, 8, padding_idx=0)
        angles = torch.arange(LENGTH)[:, None] / 100 ** (torch.arange(4)[None] / 4)
        self.register_buffer("positions", torch.cat([angles.sin(), angles.cos()], 1))
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(8), enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        x = self.tokens(ids) * math.sqrt(8) + self.positions
        x = self.encoder(x, src_key_padding_mask=attention_mask == 0)
        kept = attention_mask.unsqueeze(-1).to(x.dtype)
        return self.head((x * kept).sum(1) / kept.sum(1))


class TorchTranslator(nn.Module):
    """nn.Transformer whole: encoder, decoder, causal mask."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, 8)
        self.transformer = nn.Transformer(8, 2, 1, 1, 12, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, VOCABULARY)
        self.register_buffer("mask", torch.ones(4, 4, dtype=torch.bool).triu(1))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.head(self.transformer(self.tokens(source), self.tokens(target), tgt_mask=self.mask))


class AttentionPooling(nn.Module):
    """nn.MultiheadAttention whose query is a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, 1, 8))
        self.attention, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attention(self.query, x, x, need_weights=False)[0].squeeze(1))


class AdditiveAttention(nn.Module):
    """Bahdanau's, over a recurrence."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.GRU(4, 3, batch_first=True, bidirectional=True)
        self.score, self.head = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1, bias=False)), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        states = self.cells(x)[0]
        return self.head((F.softmax(self.score(states), dim=1) * states).sum(1))


class TorchDecoder(nn.Module):
    """nn.TransformerDecoder: a caption of what the record's memory holds."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, 8)
        layer = nn.TransformerDecoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
        self.decoder, self.head = nn.TransformerDecoder(layer, 1), nn.Linear(8, VOCABULARY)
        self.register_buffer("mask", torch.ones(4, 4, dtype=torch.bool).triu(1))

    def forward(self, ids: Tensor, memory: Tensor) -> Tensor:
        return self.head(self.decoder(self.tokens(ids), memory, tgt_mask=self.mask))


def row(
    name: str,
    build: Callable[[], nn.Module],
    measured: str,
    inputs: dict[str, Draw],
    label: Draw,
    loss: str = "cross_entropy",
    **more: Any,
) -> Architecture:
    return Architecture(name, lambda: stirred(build()), inputs, label, loss, measured=measured, **more)


IDS, SERIES, PAIR = (
    {"ids": ids(VOCABULARY, LENGTH)},
    {"x": floats(LENGTH, 4)},
    {"source": ids(VOCABULARY, LENGTH), "target": ids(VOCABULARY, 4)},
)
CLASSES, NEXT = ids(3), tokens(VOCABULARY, LENGTH)
STEPS = "embedding, linear, linear (tied)"
UNROLLED = "taken apart into the linear maps of its steps"

ARCHITECTURES = [
    row("Elman RNN", lambda: Recurrent(nn.RNN(5, 4, batch_first=True), 4), STEPS, IDS, CLASSES, remark=UNROLLED),
    row(
        "LSTM",
        lambda: Recurrent(nn.LSTM(5, 4, 2, batch_first=True), 4),
        STEPS,
        IDS,
        CLASSES,
        notable={"cells.weight_ih_l0": "linear", "cells.weight_hh_l0": "linear (tied)"},
        remark=UNROLLED,
    ),
    row(
        "LSTM with projections",
        lambda: Recurrent(nn.LSTM(5, 4, 2, batch_first=True, proj_size=3), 3),
        STEPS,
        IDS,
        CLASSES,
        remark=UNROLLED,
    ),
    row("GRU", lambda: Recurrent(nn.GRU(5, 4, batch_first=True), 4), STEPS, IDS, CLASSES, remark=UNROLLED),
    row("Bidirectional LSTM tagger", Tagger, STEPS, IDS, tokens(3, LENGTH), remark="a label for every token"),
    row(
        "LSTM cell, forecasting",
        Forecaster,
        "linear (tied)",
        {"x": floats(5, 2)},
        floats(3, 2),
        "l2",
        remark="goes on from its own predictions",
    ),
    row(
        "Recurrent language model",
        TiedLanguageModel,
        "embedding + linear (tied), linear, linear (tied)",
        IDS,
        NEXT,
        notable={"tokens.weight": "embedding + linear (tied)"},
        remark="the output layer is the embedding",
    ),
    row("Additive attention over a GRU", AdditiveAttention, "linear, linear (tied)", SERIES, CLASSES),
    row("TextCNN", TextCnn, "convolution, embedding, linear", IDS, CLASSES),
    row("TCN", tcn, "convolution", {"x": floats(2, 8)}, floats(2, 8), "l2", remark="dilated causal convolutions"),
    row(
        "WaveNet",
        WaveNet,
        "convolution, embedding, unused",
        IDS,
        NEXT,
        notable={"residual.2.weight": "unused"},
        remark="the last residual leads nowhere, and the report says so",
    ),
    row("3-D convolutions", Volumes, "convolution, group_norm, linear", {"x": floats(1, 6, 6, 6)}, CLASSES),
    row(
        "nn.TransformerEncoder",
        TorchTransformer,
        "embedding, layer_norm, linear",
        IDS | {"attention_mask": attention_mask(LENGTH)},
        CLASSES,
    ),
    row(
        "nn.TransformerDecoder",
        TorchDecoder,
        "embedding, expand, layer_norm, linear",
        {"ids": ids(VOCABULARY, 4), "memory": floats(5, 8)},
        tokens(VOCABULARY, 4),
        slow=True,
    ),
    row(
        "nn.Transformer",
        TorchTranslator,
        "embedding (tied), expand, layer_norm, linear",
        PAIR,
        tokens(VOCABULARY, 4),
        notable={"tokens.weight": "embedding (tied)"},
        remark="in `nn.MultiheadAttention` with another memory than query, each record gets a copy of the packed weight",
    ),
    row(
        "nn.MultiheadAttention, pooling",
        AttentionPooling,
        "expand, linear",
        {"x": floats(5, 8)},
        CLASSES,
        notable={"query": "expand"},
        remark="the query is a parameter",
    ),
]
