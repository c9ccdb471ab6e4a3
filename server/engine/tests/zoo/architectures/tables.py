"""Dense networks for tables, sets, coordinates and reconstructions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.architectures.architecture import Architecture, several_hot, stirred
from zoo.case import Draw, floats, ids


def mlp(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, 8), nn.ReLU(), nn.Dropout(0.0), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, outputs))


class Highway(nn.Module):
    """Each layer's gate chooses between its work and its input."""

    def __init__(self) -> None:
        super().__init__()
        self.work = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
        self.gates = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        for work, gate in zip(self.work, self.gates):  # noqa: B905 - TorchScript's zip knows no strict
            opened = torch.sigmoid(gate(x))
            x = opened * F.relu(work(x)) + (1 - opened) * x
        return self.head(x)


class DeepSets(nn.Module):
    """A set of points of one record, pooled."""

    def __init__(self) -> None:
        super().__init__()
        self.each, self.all = mlp(3, 5), mlp(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        points = self.each(x)
        return self.all(torch.cat([points.mean(1), points.amax(1)], 1))


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = mlp(8, 2), mlp(2, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


class WideAndDeep(nn.Module):
    """Categories through embeddings, numbers as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.categories = nn.ModuleList(nn.Embedding(count, 3) for count in (5, 7))
        self.deep, self.wide = mlp(10, 1), nn.Linear(4, 1)

    def forward(self, categories: Tensor, numbers: Tensor) -> Tensor:
        found = [numbers]
        for position, table in enumerate(self.categories):
            found.append(table(categories[:, position]))
        return self.deep(torch.cat(found, 1)) + self.wide(numbers)


class Recommender(nn.Module):
    """Matrix factorisation: a user, an item, their biases."""

    def __init__(self) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(9, 4), nn.Embedding(7, 4)
        self.user_bias, self.item_bias = nn.Embedding(9, 1), nn.Embedding(7, 1)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        product = (self.users(user) * self.items(item)).sum(-1, keepdim=True)
        return product + self.user_bias(user) + self.item_bias(item) + self.bias


class Siren(nn.Module):
    """Sines of dense layers, over coordinates."""

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.head = nn.ModuleList([nn.Linear(2, 8), nn.Linear(8, 8)]), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.sin(3.0 * layer(x))
        return self.head(x)


class FourierFeatures(nn.Module):
    """Fixed random frequencies before a dense network."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.randn(2, 4))
        self.layers = mlp(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        angles = 6.283185307179586 * x @ self.frequencies
        return self.layers(torch.cat([angles.sin(), angles.cos()], -1))


class BagOfWords(nn.Module):
    """fastText: the mean of the words' rows."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.head = nn.Embedding(17, 6, padding_idx=0), nn.Linear(6, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.tokens(ids).mean(1))


def row(
    name: str,
    build: Callable[[], nn.Module],
    inputs: dict[str, Draw],
    label: Draw,
    loss: str = "l2",
    measured: str = "linear",
    **more: Any,
) -> Architecture:
    return Architecture(name, lambda: stirred(build()), inputs, label, loss, measured=measured, **more)


X, CLASSES, ROWS = {"x": floats(6)}, ids(3), "embedding, linear"

ARCHITECTURES = [
    row("Logistic regression", lambda: nn.Linear(6, 3), X, CLASSES, "cross_entropy"),
    row("MLP", lambda: mlp(6, 3), X, CLASSES, "cross_entropy"),
    row("Regression", lambda: mlp(6, 2), X, floats(2), "l1"),
    row("Multi-label classification", lambda: mlp(6, 5), X, several_hot(5), "bce_with_logits"),
    row("Autoencoder", Autoencoder, {"x": floats(8)}, floats(8), "l2", remark="the label is the input again"),
    row("Highway network", Highway, X, CLASSES, "cross_entropy"),
    row("DeepSets", DeepSets, {"x": floats(7, 3)}, CLASSES, "cross_entropy", remark="the set is one record's"),
    row("Wide and deep", WideAndDeep, {"categories": ids(5, 2), "numbers": floats(4)}, several_hot(1), "bce_with_logits", ROWS),
    row(
        "Matrix factorisation",
        Recommender,
        {"user": ids(9), "item": ids(7)},
        floats(1),
        "l2",
        "embedding, expand",
        notable={"bias": "expand"},
    ),
    row("Bag of words", BagOfWords, {"ids": ids(17, 6)}, CLASSES, "cross_entropy", ROWS, remark="instead of `nn.EmbeddingBag`"),
    row("SIREN", Siren, {"x": floats(2)}, floats(3)),
    row("Fourier features", FourierFeatures, {"x": floats(2)}, floats(3), remark="the frequencies are a buffer"),
]
