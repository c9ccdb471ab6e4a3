"""Parts of a model trained: adapters, prompts, biases, heads; and parameters that are no layer's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.architectures.architecture import Architecture, stirred
from zoo.case import Draw, floats, ids

VOCABULARY, LENGTH = 17, 6


class Encoder(nn.Module):
    """What is pretrained: embeddings, one transformer layer by hand, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCABULARY, 8), nn.Parameter(0.1 * torch.randn(1, LENGTH, 8))
        self.query, self.key, self.value, self.out = (nn.Linear(8, 8) for _ in range(4))
        self.norm, self.up, self.down, self.last = nn.LayerNorm(8), nn.Linear(8, 12), nn.Linear(12, 8), nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)

    def encode(self, x: Tensor) -> Tensor:
        q, k, v = self.query(x), self.key(x), self.value(x)
        x = self.norm(x + self.out(F.softmax(q @ k.transpose(1, 2) / 8**0.5, -1) @ v))
        return self.last(x + self.down(F.gelu(self.up(x))))

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.encode(self.tokens(ids) + self.positions).mean(1))


class LowRank(nn.Module):
    """LoRA: a frozen layer, and beside it a product of two thin ones."""

    def __init__(self, frozen: nn.Linear, rank: int = 2) -> None:
        super().__init__()
        self.frozen = frozen
        self.a = nn.Parameter(0.3 * torch.randn(rank, frozen.in_features))
        self.b = nn.Parameter(0.1 * torch.randn(frozen.out_features, rank))
        self.scale = 4.0

    def forward(self, x: Tensor) -> Tensor:
        return self.frozen(x) + self.scale * F.linear(F.linear(x, self.a), self.b)


def lora() -> nn.Module:
    model = Encoder().requires_grad_(False)
    model.query, model.value = LowRank(model.query), LowRank(model.value)
    model.head.requires_grad_(True)
    return model


class Dora(LowRank):
    """The sum as one weight, its rows of a learnt length."""

    def __init__(self, frozen: nn.Linear) -> None:
        super().__init__(frozen)
        self.length = nn.Parameter(frozen.weight.detach().norm(dim=1, keepdim=True))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.frozen.weight + self.scale * self.b @ self.a
        return F.linear(x, self.length * weight / torch.linalg.vector_norm(weight, dim=1, keepdim=True), self.frozen.bias)


def dora() -> nn.Module:
    model = Encoder().requires_grad_(False)
    model.up = Dora(model.up)
    model.head.requires_grad_(True)
    return model


class Bottleneck(nn.Module):
    """Houlsby's adapter behind a frozen layer."""

    def __init__(self, frozen: nn.Module) -> None:
        super().__init__()
        self.frozen, self.narrow, self.wide = frozen, nn.Linear(8, 3), nn.Linear(3, 8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.frozen(x)
        return y + self.wide(F.gelu(self.narrow(y)))


def adapters() -> nn.Module:
    model = Encoder().requires_grad_(False)
    model.down = Bottleneck(model.down)
    model.head.requires_grad_(True)
    return model


class Prompted(nn.Module):
    """Prompt tuning: a few learnt vectors before the embedded tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Encoder().requires_grad_(False)
        self.prompt = nn.Parameter(torch.randn(1, 3, 8))

    def forward(self, ids: Tensor) -> Tensor:
        x = torch.cat([self.prompt.expand(ids.size(0), -1, -1), self.model.tokens(ids) + self.model.positions], 1)
        return self.model.head(self.model.encode(x).mean(1))


def bitfit() -> nn.Module:
    model = Encoder()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.endswith("bias"))
    return model


def scales() -> nn.Module:
    """Only the normalisations, and the head."""
    model = Encoder().requires_grad_(False)
    for layer in (model.norm, model.last, model.head):
        layer.requires_grad_(True)
    return model


def head_only() -> nn.Module:
    model = Encoder().requires_grad_(False)
    model.head.requires_grad_(True)
    return model


class LastState(nn.Module):
    """A frozen recurrence under a trained head."""

    def __init__(self) -> None:
        super().__init__()
        self.cells, self.head = nn.LSTM(4, 5, batch_first=True).requires_grad_(False), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cells(x)[0][:, -1])


class Functional(nn.Module):
    """No layers at all: parameters and torch.nn.functional."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.weight = nn.Parameter(0.3 * torch.randn(4, 2, 3)), nn.Parameter(0.3 * torch.randn(3, 4))
        self.bias, self.gain = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.conv1d(x, self.kernel, padding=1)).mean(2)
        return F.linear(F.layer_norm(x, [4], self.gain), self.weight, self.bias)


class WeightNormed(nn.Module):
    """torch.nn.utils.parametrizations.weight_norm on a dense and a convolutional layer."""

    def __init__(self) -> None:
        super().__init__()
        wrap = torch.nn.utils.parametrizations.weight_norm
        self.conv, self.head = wrap(nn.Conv1d(2, 4, 3)), wrap(nn.Linear(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.conv(x)).mean(2))


class SpectralNormed(nn.Module):
    """torch.nn.utils.parametrizations.spectral_norm, whose vectors stand still in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.utils.parametrizations.spectral_norm(nn.Linear(6, 4)).eval()
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.first(x)))


def row(
    name: str, build: Callable[[], nn.Module], measured: str, inputs: dict[str, Draw] | None = None, **more: Any
) -> Architecture:
    inputs = inputs or {"ids": ids(VOCABULARY, LENGTH)}
    return Architecture(name, lambda: stirred(build(), 0.05), inputs, ids(3), "cross_entropy", measured=measured, **more)


LINE = {"x": floats(2, 8)}
PARAMETRIZED: dict[str, Any] = {"forms": ("trace",), "only": "torch's parametrizations cannot be scripted"}

ARCHITECTURES = [
    row("LoRA", lora, "linear", notable={"query.a": "linear", "query.frozen.weight": "frozen"}, remark="adapters and head"),
    row("DoRA", dora, "expand, linear", notable={"up.length": "expand"}),
    row("Bottleneck adapters", adapters, "linear"),
    row("Prompt tuning", Prompted, "expand", notable={"prompt": "expand"}),
    row("BitFit", bitfit, "layer_norm, linear", notable={"query.bias": "linear", "query.weight": "frozen"}, remark="biases only"),
    row("Normalisations and head", scales, "layer_norm, linear", remark="the rest is frozen"),
    row("Head on a frozen encoder", head_only, "linear"),
    row("Head on a frozen LSTM", LastState, "linear", {"x": floats(6, 4)}),
    row(
        "Functional parameters",
        Functional,
        "convolution, layer_norm, linear",
        LINE,
        remark="`nn.Parameter` and `F.linear`, no layers",
    ),
    row("Weight normalisation", WeightNormed, "expand", LINE, **PARAMETRIZED),
    row(
        "Spectral normalisation",
        SpectralNormed,
        "expand, linear",
        {"x": floats(6)},
        remark="`.eval()` on the layer: its vectors stand still",
        **PARAMETRIZED,
    ),
]
